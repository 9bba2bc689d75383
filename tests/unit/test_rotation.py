"""The log's own rotation: renamed at a size, deleted when it is safe, and never before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shipper import settings
from shipper.ship.source import rotation
from shipper.ship.source.discovery import Discovery
from shipper.ship.source.rotation import MB, Rotation, is_done_with, is_renamed
from shipper.ship.source.tail import TailedFile

LINE = b'{"a":1}\n'


class Run:
    """A rotation and a discovery on a folder."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.log = folder / "records.jsonl"
        made = settings.load(
            environment={
                "SHIPPER_LOG": str(self.log),
                "XDG_STATE_HOME": str(folder),
                "SHIPPER_ROTATE_MB": "1",
                "SHIPPER_COMPRESS_LOGS": "false",
                **environment,
            }
        )
        self.discovery = Discovery(made.files, [])
        self.rotation = Rotation(made)

    def look(self, *, acknowledge: bool = True) -> list[str]:
        self.discovery.refresh()
        for tailed in self.discovery.files:
            while block := tailed.read():
                if acknowledge:
                    tailed.acknowledge(block.mark)
        self.rotation.run(self.discovery)
        return sorted(path.name for path in self.log.parent.glob("records.jsonl*"))

    def fill(self, size: int = MB) -> None:
        with self.log.open("ab") as out:
            out.write(LINE * (size // len(LINE) + 1))


def test_the_log_is_renamed_at_its_size(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.fill(MB // 2)
    assert run.look() == ["records.jsonl"]
    run.fill(MB // 2)
    (name,) = run.look()
    assert is_renamed(tmp_path / name, run.log)
    run.fill(10)
    assert run.look() == ["records.jsonl", name]


def test_what_is_too_much_is_deleted_the_oldest_first(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="2")
    names: list[str] = []
    for _ in range(4):
        run.fill()
        names += [name for name in run.look() if name not in names and name != "records.jsonl"]
    assert run.look() == names[3:]
    run.discovery.close()


def test_what_is_past_its_days_is_deleted(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_DAYS="1")
    run.fill()
    (name,) = run.look()
    os.utime(tmp_path / name, (0, time.time() - 2 * 86_400))
    assert run.look() == []


def test_nothing_is_deleted_before_it_is_acknowledged(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    run.fill()
    (name,) = run.look(acknowledge=False)
    assert run.look(acknowledge=False) == [name]
    for tailed in run.discovery.files:
        tailed.acknowledged = tailed.read_to
    assert run.look() == []


def test_nothing_is_deleted_while_somebody_writes_to_it(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    run.fill()
    with run.log.open("ab") as late:
        (name,) = run.look()
        assert run.look() == [name]
        late.write(LINE)
    assert run.look() == []


def test_a_child_that_inherited_the_writer_counts_too(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    run.fill()
    reader, writer = os.pipe()
    with run.log.open("ab"):
        if (child := os.fork()) == 0:
            os.read(reader, 1)
            os._exit(0)
    (name,) = run.look()
    assert run.look() == [name]
    os.write(writer, b"x")
    os.waitpid(child, 0)
    assert run.look() == []
    os.close(reader)
    os.close(writer)


def test_without_a_lease_a_quiet_time_has_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "is_written_to", lambda descriptor: None)  # another's file, or one on a network
    run = Run(tmp_path)
    run.fill(100)
    run.look()
    (tailed,) = run.discovery.files
    assert isinstance(tailed, TailedFile)
    assert not is_done_with(tailed, time.time())
    assert is_done_with(tailed, time.time() + rotation.QUIET_S + 1)


def test_a_torn_end_is_taken_before_the_file_is_deleted(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    run.fill()
    with run.log.open("ab") as out:
        out.write(b'{"half')
    run.look()
    run.look()
    (tailed,) = run.discovery.files
    assert (tailed.final, tailed.is_safe) == (True, False)
    assert run.look() == []


@pytest.mark.parametrize(
    "name", ["records.jsonl", "records.jsonl.1", "records.jsonl.1.gz", "records.jsonl.20261121T071502123456Z.bz2"]
)
def test_others_files_are_left_alone(tmp_path: Path, name: str) -> None:
    assert not is_renamed(tmp_path / name, tmp_path / "records.jsonl")


def test_zero_leaves_it_to_others(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_ROTATE_MB="0")
    run.fill(2 * MB)
    assert run.look() == ["records.jsonl"]
