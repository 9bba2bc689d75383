"""Files: found, recognised, read from where they were left."""

from __future__ import annotations

import gzip
import json
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from shipper.errors import SourceError, StateError
from shipper.records import LINE_START
from shipper.ship.source import discovery, tail
from shipper.ship.source.checkpoints import Checkpoint, Registry
from shipper.ship.source.compressed import OPENERS
from shipper.ship.source.discovery import Discovery, check_folders
from shipper.ship.source.fingerprint import file_id
from shipper.ship.source.tail import BLOCK, LINE_LIMIT, Stream, TailedFile

OPEN: dict[str, Any] = {**OPENERS}  # for writing, too


def opened(path: Path) -> TailedFile:
    return TailedFile(path, os.open(path, os.O_RDONLY))


def next_of(file: Any, **how: bool) -> Any:
    """What is read next, where there is something."""
    block = file.read(**how)
    assert block is not None
    return block


def everything(discovery: Discovery) -> bytes:
    """Read to the end and acknowledge."""
    discovery.refresh()
    data = b""
    for tailed in discovery.files:
        while block := tailed.read():
            data += block.data
            tailed.acknowledge(block.mark)
    return data


def run(pattern: Path, remembered: Iterable[Checkpoint] = ()) -> tuple[bytes, list[Checkpoint]]:
    """What one run of a shipper reads, and what the next one is to remember."""
    discovery = Discovery([str(pattern)], remembered)
    data = everything(discovery)
    entries = discovery.entries()
    discovery.close()
    return data, entries


# --- reading --------------------------------------------------------------------------------------------


def test_only_whole_lines_are_read(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo\nthr")
    tailed = opened(tmp_path / "log")
    assert next_of(tailed).data == b"one\ntwo\n"
    assert tailed.read() is None
    with (tmp_path / "log").open("ab") as log:
        log.write(b"ee\n")
    block = next_of(tailed)
    assert (block.start, block.data) == (8, b"three\n")


def test_at_the_end_a_whole_record_needs_no_newline(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"a":1}\n{"b":2}')
    assert next_of(opened(tmp_path / "log"), to_the_end=True).data == b'{"a":1}\n{"b":2}'


def test_at_the_end_half_a_record_is_left_for_its_writer(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b'{"a":1}\n{"b":')
    assert next_of(opened(tmp_path / "log"), to_the_end=True).data == b'{"a":1}\n'


def test_a_line_may_be_longer_than_a_block(tmp_path: Path) -> None:
    line = b"x" * (3 * BLOCK) + b"\n"
    (tmp_path / "log").write_bytes(line + b"next\n")
    tailed = opened(tmp_path / "log")
    data = b""
    while block := tailed.read():
        data += block.data
    assert data == line + b"next\n"


@pytest.mark.parametrize("written", [b"new\n", b"new, and longer than all that was there\n"])
def test_a_file_that_was_emptied_and_written_anew_is_read_from_its_start(tmp_path: Path, written: bytes) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old one\nold two\n")
    discovery = Discovery([str(log)], [])
    everything(discovery)
    os.truncate(log, 0)
    with log.open("ab") as out:
        out.write(written)
    assert everything(discovery) == b""  # this life of the file is over
    assert everything(discovery) == written


def test_a_line_that_is_too_long_is_passed_over_without_holding_it(tmp_path: Path) -> None:
    length = 2 * LINE_LIMIT
    with (tmp_path / "log").open("wb") as out:
        out.write(b"one\n")
        out.truncate(4 + length)
        out.seek(0, os.SEEK_END)
        out.write(b"\nthree\n")
    tailed = opened(tmp_path / "log")
    assert next_of(tailed).data == b"one\n"
    block = next_of(tailed)
    assert (block.start, block.data, block.too_long) == (4, b"", length + 1)
    assert next_of(tailed).data == b"three\n"
    with (tmp_path / "copy").open("wb") as copy:
        tailed.copy(block.start, block.too_long, copy.fileno())
    assert (tmp_path / "copy").stat().st_size == length + 1


def test_a_record_behind_a_hole_is_found(tmp_path: Path) -> None:
    record = LINE_START + b"...\n"
    with (tmp_path / "log").open("wb") as out:
        out.truncate(LINE_LIMIT + 10)
        out.seek(0, os.SEEK_END)
        out.write(record)
    tailed = opened(tmp_path / "log")
    assert next_of(tailed).too_long == LINE_LIMIT + 10
    assert next_of(tailed).data == record


def test_a_last_line_without_a_newline_is_taken_when_nobody_writes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "SETTLED_S", 0.0)
    (tmp_path / "log").write_bytes(b'{"a":1}')
    assert next_of(opened(tmp_path / "log")).data == b'{"a":1}'
    (tmp_path / "log").write_bytes(b'{"a":')
    tailed = opened(tmp_path / "log")
    assert tailed.read() is None
    tailed.final = True  # nobody will complete the line
    assert next_of(tailed).data == b'{"a":'


def test_a_stream_is_read_to_its_end_and_needs_no_last_newline() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"one\ntw")
    stream = Stream(reader)
    assert next_of(stream).data == b"one\n"
    os.write(writer, b"o")
    assert stream.read() is None
    os.close(writer)
    block = next_of(stream)
    assert (block.start, block.data) == (4, b"two")
    assert stream.ended
    assert stream.file_id() == file_id(b"one")
    os.close(reader)


# --- finding --------------------------------------------------------------------------------------------


def test_a_restart_reads_on_where_it_was_left(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    read, remembered = run(tmp_path / "log*")
    assert read == b"one\n"
    with log.open("ab") as out:
        out.write(b"two\n")
    assert run(tmp_path / "log*", remembered)[0] == b"two\n"


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
    _, remembered = run(tmp_path / "log*")
    with log.open("ab") as out:
        out.write(b"late\n")
    log.rename(tmp_path / "log.1")
    log.write_bytes(b"two\n")
    assert sorted(run(tmp_path / "log*", remembered)[0].split()) == [b"late", b"two"]


def test_a_file_that_was_copied_to_another_disk_is_recognised_by_its_head(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    _, remembered = run(log)
    log.unlink()
    (tmp_path / "filler").write_text("takes the inode")
    log.write_bytes(b"one\ntwo\n")
    assert run(log, remembered)[0] == b"two\n"


def test_an_inode_that_is_used_again_is_another_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    _, remembered = run(log)
    with log.open("r+b") as out:  # the same inode with other content
        out.write(b"two\n")
    assert run(log, remembered)[0] == b"two\n"


def test_folders_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "log.d").mkdir()
    assert run(tmp_path / "log*")[0] == b""


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
def test_a_compressed_file_is_read_once_and_from_where_it_was_left(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "log.1").write_bytes(b"one\n")
    read, remembered = run(tmp_path / "log*")
    assert read == b"one\n"
    with OPEN[suffix](tmp_path / f"log.1{suffix}", "wb") as out:
        out.write(b"one\ntwo\n")
    (tmp_path / "log.1").unlink()
    second = Discovery([str(tmp_path / "log*")], remembered)
    assert everything(second) == b"two\n"
    assert everything(second) == b""
    assert run(tmp_path / "log*", second.entries())[0] == b""
    assert run(tmp_path / "log*")[0] == b"one\ntwo\n"


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz"])
@pytest.mark.parametrize("restart", [True, False])
def test_a_compressed_file_is_told_from_another_of_its_size_and_time(
    tmp_path: Path, suffix: str, restart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shipper.ship.source.compressed.TICK_S", 3600)  # however slow this machine is
    path = tmp_path / f"log.1{suffix}"
    with OPEN[suffix](path, "wb") as out:
        out.write(b"one\n")
    before = path.stat()
    discovery = Discovery([str(tmp_path / "log*")], [])
    assert everything(discovery) == b"one\n"
    if restart:
        remembered = discovery.entries()
        discovery.close()
        discovery = Discovery([str(tmp_path / "log*")], remembered)
    with OPEN[suffix](path, "wb") as out:
        out.write(b"neo\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # within one tick of the file system's clock
    assert (path.stat().st_ino, path.stat().st_size) == (before.st_ino, before.st_size)
    # It is noticed at the first look, let go at the second, and found at the third.
    assert b"".join(everything(discovery) for _ in range(3)) == b"neo\n"


def test_a_file_that_is_still_being_compressed_is_read_when_it_is_whole(tmp_path: Path) -> None:
    whole = gzip.compress(b"one\n" * 1000)
    log = tmp_path / "log.gz"
    log.write_bytes(whole[: len(whole) // 2])
    discovery = Discovery([str(log)], [])
    early = everything(discovery)
    log.write_bytes(whole)
    assert early + everything(discovery) == b"one\n" * 1000


def test_a_copy_of_an_open_file_is_not_read_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    discovery = Discovery([str(tmp_path / "log*")], [])
    everything(discovery)
    with log.open("ab") as out:
        out.write(b"two\n")
    shutil.copy(log, tmp_path / "log.1")  # copytruncate, before all was read
    os.truncate(log, 0)
    with log.open("ab") as out:
        out.write(b"three\n")
    assert sorted((everything(discovery) + everything(discovery)).split()) == [b"three", b"two"]


def test_a_copy_that_was_made_while_nobody_looked_is_not_read_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    _, remembered = run(tmp_path / "log*")
    with log.open("ab") as out:
        out.write(b"two\n")
    shutil.copy(log, tmp_path / "log.1")
    os.truncate(log, 0)
    with log.open("ab") as out:
        out.write(b"three\n")
    assert sorted(run(tmp_path / "log*", remembered)[0].split()) == [b"three", b"two"]


def test_a_file_that_regrew_while_nobody_looked_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"old\n")
    _, remembered = run(log)
    os.truncate(log, 0)
    with log.open("ab") as out:
        out.write(b"new and longer\n")
    assert run(log, remembered)[0] == b"new and longer\n"


def test_what_is_written_to_a_renamed_file_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"one\n")
        discovery = Discovery([str(tmp_path / "log*")], [])
        everything(discovery)
        log.rename(tmp_path / "log.1")
        writer.write(b"two\n")
        assert everything(discovery) == b"two\n"
        (tmp_path / "log.1").rename(tmp_path / "elsewhere")
        writer.write(b"three\n")
        assert everything(discovery) == b"three\n"


def test_several_rotations_while_nobody_looked_are_all_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    _, remembered = run(tmp_path / "log*")
    with log.open("ab") as out:
        out.write(b"late\n")
    for number in range(3):
        for older in range(number, 0, -1):
            (tmp_path / f"log.{older}").rename(tmp_path / f"log.{older + 1}")
        log.rename(tmp_path / "log.1")
        log.write_bytes(b"new %d\n" % number)
    found = run(tmp_path / "log*", remembered)[0]
    assert sorted(found.splitlines()) == [b"late", b"new 0", b"new 1", b"new 2"]


def test_two_files_that_begin_alike_are_two_files(tmp_path: Path) -> None:
    header = b"# the same header\n" * 100
    (tmp_path / "log.a").write_bytes(header + b"a\n")
    (tmp_path / "log.b").write_bytes(header + b"b\n")
    _, remembered = run(tmp_path / "log*")
    for name in "ab":
        with (tmp_path / f"log.{name}").open("ab") as out:
            out.write(name.encode() * 2 + b"\n")
    assert sorted(run(tmp_path / "log*", remembered)[0].split()) == [b"aa", b"bb"]


def test_a_rewritten_file_with_the_old_head_is_read_from_its_start(tmp_path: Path) -> None:
    head = b"the same first line\n" * 100
    log = tmp_path / "log"
    log.write_bytes(head + b"old\n")
    _, remembered = run(log)
    log.write_bytes(head + b"new and more\n")
    assert run(log, remembered)[0] == head + b"new and more\n"


def test_a_file_that_may_not_be_read_is_read_when_it_may(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = tmp_path / "log"
    log.symlink_to(tmp_path / "log")  # a loop: it cannot be opened, by root neither
    discovery = Discovery([str(log)], [])
    assert everything(discovery) == b""
    log.unlink()
    log.write_bytes(b"one\n")
    assert everything(discovery) == b"one\n"


def test_a_symlink_that_names_another_file_is_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() + b"\n")
    log = tmp_path / "log"
    log.symlink_to("a")
    discovery = Discovery([str(log)], [])
    assert everything(discovery) == b"a\n"
    log.unlink()
    log.symlink_to("b")
    assert everything(discovery) == b"b\n"


def test_thousands_of_files_are_read_and_recognised(tmp_path: Path) -> None:
    discovery.allow_many_files()
    for number in range(3000):
        (tmp_path / f"log.{number}").write_bytes(b"%d\n" % number)
    read, remembered = run(tmp_path / "log*")
    assert len(read.splitlines()) == 3000
    assert run(tmp_path / "log*", remembered)[0] == b""


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
    tailed.acknowledge(next_of(tailed).mark)
    registry = Registry(tmp_path / "state")
    registry.save([tailed.checkpoint()])
    registry.close()
    again = Registry(tmp_path / "state")
    assert again.holds([tailed.checkpoint()])
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
    assert json.loads((tmp_path / "registry.json").read_text()) == {"format": 2, "files": []}
    registry.close()
