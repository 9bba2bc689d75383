"""Of quiet files only the size is asked; whatever becomes of them is noticed all the same."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shipper.ship.source import idle
from shipper.ship.source.discovery import Discovery, File
from shipper.ship.source.idle import IdleFiles
from shipper.ship.source.tail import TailedFile


class Run:
    """What the daemon does with its files, without sending anything."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("shipper.ship.source.idle.time.monotonic", lambda: self.now)
        self.folder = folder
        self.discovery = Discovery([f"{folder}/*.log"], [])
        self.quiet = IdleFiles(self.discovery)
        self.looked_at: list[str] = []

    def turn(self) -> list[bytes | bytearray]:
        """Read what is awake to its end."""
        self.discovery.refresh()
        files = self.quiet.active()
        read: list[bytes | bytearray] = []
        self.looked_at = sorted(file.path.name for file in files)
        for file in files:
            while (block := file.read()) is not None:
                file.acknowledge(block.mark)
                read.append(block.data)
        return read

    def settle(self) -> None:
        """Until all of the files are known to be quiet."""
        for _ in range(3):
            self.turn()
            self.now += idle.CHECK_ALL_S
        self.turn()
        assert self.turn() == []
        assert self.looked_at == []


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("one", "two", "three"):
        (tmp_path / f"{name}.log").write_bytes(b"first\n")
    made = Run(tmp_path, monkeypatch)
    assert made.turn() == [b"first\n"] * 3
    made.settle()
    return made


def test_that_which_grows_is_read_and_nothing_else(run: Run) -> None:
    with (run.folder / "two.log").open("ab") as log:
        log.write(b"second\n")
    assert run.turn() == [b"second\n"]
    assert run.looked_at == ["two.log"]


def test_half_a_line_is_looked_at_until_it_is_whole(run: Run) -> None:
    with (run.folder / "two.log").open("ab", buffering=0) as log:
        log.write(b"sec")
        assert run.turn() == []
        assert run.looked_at == ["two.log"]
        log.write(b"ond\n")
    assert run.turn() == [b"second\n"]


def test_one_that_is_emptied_begins_anew(run: Run) -> None:
    log = run.folder / "two.log"
    os.truncate(log, 0)
    assert run.turn() == []
    assert run.turn() == []
    log.write_bytes(b"anew\n")
    assert run.turn() == [b"anew\n"]


def test_one_that_is_written_anew_with_as_many_bytes_is_noticed_at_the_closer_look(run: Run) -> None:
    log = run.folder / "two.log"
    with log.open("r+b") as out:
        out.write(b"other\n")
    os.utime(log, (time.time() + 9, time.time() + 9))  # whatever the resolution of the file system's clock
    assert run.turn() == []
    run.now += idle.CHECK_ALL_S
    assert run.turn() == []  # which finds it emptied
    assert run.turn() == [b"other\n"]


def test_a_new_file_is_read_at_once(run: Run) -> None:
    (run.folder / "four.log").write_bytes(b"fourth\n")
    assert run.turn() == [b"fourth\n"]


def test_one_that_was_let_go_leaves_its_descriptor_to_another(run: Run) -> None:
    gone: File = next(file for file in run.discovery.files if file.path.name == "two.log")
    assert isinstance(gone, TailedFile)
    was = gone.descriptor
    gone.path.unlink()
    run.discovery.forget(gone)
    (run.folder / "four.log").write_bytes(b"fourth\n")
    assert run.turn() == [b"fourth\n"]
    assert next(file for file in run.discovery.files if file.path.name == "four.log").descriptor == was  # type: ignore[union-attr]
    with (run.folder / "four.log").open("ab") as log:
        log.write(b"fifth\n")
    assert run.turn() == [b"fifth\n"]
