"""Files: found, recognised, read from where they were left."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from shipper.errors import SourceError, StateError
from shipper.ship.discover import Discovery, check_folders
from shipper.ship.registry import Registry
from shipper.ship.tail import BLOCK, Stream, Tailed


def opened(path: Path) -> Tailed:
    return Tailed(path, os.open(path, os.O_RDONLY))


def everything(discovery: Discovery) -> bytes:
    """Read to the end and acknowledge."""
    discovery.refresh()
    data = b""
    for tailed in discovery.files:
        while block := tailed.read():
            data += block.data
        tailed.acknowledged = tailed.read_to
    return data


# --- reading --------------------------------------------------------------------------------------------


def test_only_whole_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo\nthr")
    tailed = opened(tmp_path / "log")
    assert tailed.read().data == b"one\ntwo\n"
    assert tailed.read() is None
    with (tmp_path / "log").open("ab") as log:
        log.write(b"ee\n")
    block = tailed.read()
    assert (block.start, block.data) == (8, b"three\n")


def test_at_the_end_a_whole_record_needs_no_newline(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"a":1}\n{"b":2}')
    assert opened(tmp_path / "log").read(to_the_end=True).data == b'{"a":1}\n{"b":2}'


def test_at_the_end_half_a_record_is_left_for_its_writer(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"a":1}\n{"b":')
    assert opened(tmp_path / "log").read(to_the_end=True).data == b'{"a":1}\n'


def test_a_line_may_be_longer_than_a_block(tmp_path: Path) -> None:
    line = b"x" * (3 * BLOCK) + b"\n"
    (tmp_path / "log").write_bytes(line + b"next\n")
    tailed = opened(tmp_path / "log")
    data = b""
    while block := tailed.read():
        data += block.data
    assert data == line + b"next\n"


def test_a_file_that_was_emptied_and_written_anew_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old one\nold two\n")
    tailed = opened(log)
    tailed.read()
    os.truncate(log, 0)
    assert tailed.read() is None
    with log.open("ab") as out:
        out.write(b"new\n")
    assert tailed.read().data == b"new\n"


def test_a_file_that_regrew_past_the_old_end_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old\n")
    tailed = opened(log)
    tailed.read()
    os.truncate(log, 0)
    with log.open("ab") as out:
        out.write(b"new and longer\n")
    assert tailed.read().data == b"new and longer\n"


def test_a_stream_is_read_to_its_end_and_needs_no_last_newline() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"one\ntw")
    stream = Stream(reader)
    assert stream.read().data == b"one\n"
    os.write(writer, b"o")
    assert stream.read() is None
    os.close(writer)
    block = stream.read()
    assert (block.start, block.data) == (4, b"two")
    assert stream.ended
    assert stream.first_line() == b"one"
    os.close(reader)


# --- finding --------------------------------------------------------------------------------------------


def test_a_restart_reads_on_where_it_was_left(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    first = Discovery([str(tmp_path / "log*")], [])
    assert everything(first) == b"one\n"
    with log.open("ab") as out:
        out.write(b"two\n")
    assert everything(Discovery([str(tmp_path / "log*")], first.entries())) == b"two\n"


def test_a_file_that_was_renamed_is_still_the_same_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    discovery = Discovery([str(tmp_path / "log*")], [])
    everything(discovery)
    log.rename(tmp_path / "log.1")
    log.write_bytes(b"two\n")
    assert everything(discovery) == b"two\n"


def test_a_rename_while_nobody_looked_is_noticed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    first = Discovery([str(tmp_path / "log*")], [])
    everything(first)
    with log.open("ab") as out:
        out.write(b"late\n")
    log.rename(tmp_path / "log.1")
    log.write_bytes(b"two\n")
    assert sorted(everything(Discovery([str(tmp_path / "log*")], first.entries())).split()) == [b"late", b"two"]


def test_a_file_that_was_copied_to_another_disk_is_recognised_by_its_head(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    first = Discovery([str(log)], [])
    everything(first)
    log.unlink()
    (tmp_path / "filler").write_text("takes the inode")
    log.write_bytes(b"one\ntwo\n")
    assert everything(Discovery([str(log)], first.entries())) == b"two\n"


def test_an_inode_that_is_used_again_is_another_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    first = Discovery([str(log)], [])
    everything(first)
    with log.open("r+b") as out:  # the same inode with other content
        out.write(b"two\n")
    assert everything(Discovery([str(log)], first.entries())) == b"two\n"


def test_compressed_files_and_folders_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "log.1.gz").write_bytes(b"one\n")
    (tmp_path / "log.d").mkdir()
    assert everything(Discovery([str(tmp_path / "log*")], [])) == b""


def test_a_deleted_file_is_read_to_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    discovery = Discovery([str(log)], [])
    discovery.refresh()
    log.unlink()
    assert everything(discovery) == b"one\n"


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(SourceError, match="/nowhere/at does not exist"):
        check_folders(["/nowhere/at/all*.jsonl"])


# --- remembering ----------------------------------------------------------------------------------------


def test_positions_survive(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\n")
    tailed = opened(tmp_path / "log")
    tailed.continue_at(4)
    registry = Registry(tmp_path / "state")
    registry.save([tailed.entry()])
    registry.close()
    again = Registry(tmp_path / "state")
    assert again.entries == [tailed.entry()]
    assert (tmp_path / "state/registry.json").stat().st_mode & 0o777 == 0o600
    again.close()


def test_a_second_shipper_on_one_folder_is_refused(tmp_path: Path) -> None:
    first = Registry(tmp_path)
    with pytest.raises(StateError, match="Another shipper"):
        Registry(tmp_path)
    first.close()
    Registry(tmp_path).close()


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"{", b"[]", b'{"format":99,"files":[]}', b'{"format":1,"files":[{"path":"x"}]}']
)
def test_an_unreadable_registry_is_kept_aside_and_said(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "registry.json").write_bytes(content)
    with caplog.at_level(logging.WARNING, "shipper"):
        registry = Registry(tmp_path)
    assert registry.entries == []
    (kept,) = tmp_path.glob("registry.unreadable-*")
    assert kept.read_bytes() == content
    assert "every file is read from its start" in caplog.text
    registry.close()


def test_a_folder_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="SHIPPER_STATE"):
        Registry(tmp_path / "file/state")


def test_what_is_saved_is_json_that_people_can_read(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.save([])
    assert json.loads((tmp_path / "registry.json").read_text()) == {"format": 1, "files": []}
    registry.close()
