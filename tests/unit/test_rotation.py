"""The log's own rotation: renamed at a size, deleted when it is safe, and never before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shipper.ship.source import rotation
from shipper.ship.source.rotation import MB, is_done_with, is_renamed
from shipper.ship.source.tail import TailedFile
from tests.rotating import Run


def test_the_log_is_renamed_at_its_size(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.fill(MB // 2)
    assert run.turn() == ["records.jsonl"]
    run.fill(MB // 2)
    (name,) = run.turn()
    assert is_renamed(tmp_path / name, run.log)
    run.fill(10)
    assert run.turn() == ["records.jsonl", name]


def test_what_is_too_much_is_deleted_the_oldest_first(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="2")
    names: list[str] = []
    for _ in range(4):
        run.fill()
        names += [name for name in run.turn() if name not in names and name != "records.jsonl"]
    assert run.turn() == names[3:]
    run.discovery.close()


def test_what_is_past_its_days_is_deleted(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_DAYS="1")
    run.fill()
    (name,) = run.turn()
    os.utime(tmp_path / name, (0, time.time() - 2 * 86_400))
    assert run.turn() == []


def test_nothing_is_deleted_before_it_is_acknowledged(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    run.fill()
    (name,) = run.turn(acknowledge=False)
    assert run.turn(acknowledge=False) == [name]
    for tailed in run.discovery.files:
        tailed.acknowledged = tailed.read_to
    assert run.turn() == []


def test_nothing_is_deleted_while_somebody_writes_to_it(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    run.fill()
    with run.log.open("ab") as late:
        (name,) = run.turn()
        assert run.turn() == [name]
        late.write(b'{"late":1}\n')
    assert run.turn() == []


def test_a_child_that_inherited_the_writer_counts_too(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    run.fill()
    reader, writer = os.pipe()
    with run.log.open("ab"):
        if (child := os.fork()) == 0:
            os.read(reader, 1)
            os._exit(0)
    (name,) = run.turn()
    assert run.turn() == [name]
    os.write(writer, b"x")
    os.waitpid(child, 0)
    assert run.turn() == []
    os.close(reader)
    os.close(writer)


def test_without_a_lease_a_quiet_time_has_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "is_written_to", lambda descriptor: None)  # another's file, or one on a network
    run = Run(tmp_path)
    run.fill(100)
    run.turn()
    (tailed,) = run.discovery.files
    assert isinstance(tailed, TailedFile)
    assert not is_done_with(tailed, time.time())
    assert is_done_with(tailed, time.time() + rotation.QUIET_S + 1)


def test_a_torn_end_is_taken_before_the_file_is_deleted(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    run.fill()
    with run.log.open("ab") as out:
        out.write(b'{"half')
    run.turn()
    run.turn()
    (tailed,) = run.discovery.files
    assert (tailed.final, tailed.is_safe) == (True, False)
    assert run.turn() == []


@pytest.mark.parametrize(
    "name", ["records.jsonl", "records.jsonl.1", "records.jsonl.1.gz", "records.jsonl.20261121T071502123456Z.bz2"]
)
def test_others_files_are_left_alone(tmp_path: Path, name: str) -> None:
    assert not is_renamed(tmp_path / name, tmp_path / "records.jsonl")


def test_zero_leaves_it_to_others(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_ROTATE_MB="0")
    run.fill(2 * MB)
    assert run.turn() == ["records.jsonl"]
