"""Rotated logs are compressed once they are indexed, and neither read again nor lost, whatever comes in between."""

from __future__ import annotations

import errno
import gzip
import os
import threading
import time
from pathlib import Path

import pytest

from shipper.ship.source import rotation
from shipper.ship.source.checkpoints import Checkpoint
from shipper.ship.source.compressed import CompressedFile
from shipper.ship.source.compression import Compression
from shipper.ship.source.tail import TailedFile
from tests import rotating
from tests.programs import wait_for


class Run(rotating.Run):
    """A rotation that compresses."""

    def __init__(self, folder: Path, remembered: tuple[Checkpoint, ...] = (), **environment: str) -> None:
        super().__init__(folder, remembered, **{"SHIPPER_COMPRESS_LOGS": "true", **environment})

    def until_compressed(self, count: int = 1) -> list[Path]:
        def there() -> list[Path]:
            self.turn()
            return sorted(self.log.parent.glob("records.jsonl*.gz"))

        wait_for(lambda: len(there()) == count, "the log to be compressed")
        return there()

    def begun(self) -> Compression:
        """Turn until a log is being compressed, and wait for the end of the thread."""
        wait_for(lambda: self.turn() and self.rotation._compression, "the compression to begin")
        running = self.rotation._compression
        assert running is not None
        wait_for(lambda: running.done, "the thread to end")
        return running


def test_a_log_is_compressed_when_all_of_it_is_acknowledged(tmp_path: Path) -> None:
    run = Run(tmp_path)
    written = run.fill()
    run.log.chmod(0o640)
    before = run.log.stat()
    (path,) = run.until_compressed()
    assert run.names() == [path.name]
    assert gzip.decompress(path.read_bytes()) == written
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert after.st_size < before.st_size / 3
    run.close()


def test_its_age_stays(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.fill()
    was = time.time() - 86_400
    os.utime(run.log, (was, was))
    (path,) = run.until_compressed()
    assert path.stat().st_mtime == pytest.approx(was, abs=0.001)
    run.close()


def test_what_is_compressed_is_not_read_again(tmp_path: Path) -> None:
    run = Run(tmp_path)
    written = run.fill()
    run.until_compressed()
    written += run.fill(1000)
    run.turn()
    assert b"".join(line + b"\n" for line in run.lines) == written
    kinds = sorted(type(file).__name__ for file in run.discovery.files)
    assert kinds == ["CompressedFile", "TailedFile"]
    again = Run(tmp_path, tuple(run.discovery.entries()))  # the shipper starts again
    run.close()
    again.turn()
    assert again.lines == []
    again.close()


def test_it_is_not_decompressed_to_be_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.fill()

    def never(self: CompressedFile) -> bytes:
        raise AssertionError("it is known by its last bytes")

    monkeypatch.setattr(CompressedFile, "begin", never)
    run.until_compressed()
    run.turn()
    run.close()


def test_nothing_is_compressed_before_it_is_acknowledged(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.fill()
    for _ in range(3):
        names = run.turn(acknowledge=False)
        assert run.rotation._compression is None
    assert not any(name.endswith(".gz") for name in names)
    run.close()


def test_nothing_is_compressed_while_somebody_writes_to_it(tmp_path: Path) -> None:
    run = Run(tmp_path)
    written = run.fill()
    with run.log.open("ab") as late:
        for _ in range(3):
            run.turn()
            assert run.rotation._compression is None
        late.write(b'{"late":1}\n')
    (path,) = run.until_compressed()
    assert gzip.decompress(path.read_bytes()) == written + b'{"late":1}\n'
    assert run.lines[-1] == b'{"late":1}'
    run.close()


def test_what_another_program_compressed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    run = Run(tmp_path)
    written = run.fill()
    running = run.begun()
    theirs = running.original.with_name(running.original.name + ".gz")
    theirs.write_bytes(gzip.compress(written, 9))
    running.original.unlink()
    for _ in range(3):
        assert run.turn() == [theirs.name]
        assert run.rotation._compression is None
    assert gzip.decompress(theirs.read_bytes()) == written
    assert len(run.lines) == written.count(b"\n")
    run.close()


def test_what_is_still_being_compressed_is_not_deleted(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_MB="0")
    whole = gzip.compress(run.fill())
    path = tmp_path / "records.jsonl.20261121T071502123456Z.gz"
    path.write_bytes(whole[: len(whole) // 2])
    run.log.unlink()
    for _ in range(3):
        assert run.turn() == [path.name]
    path.write_bytes(whole)
    wait_for(lambda: run.turn() == [], "it to be read and deleted")
    run.close()


def test_what_grew_meanwhile_is_compressed_anew(tmp_path: Path) -> None:
    run = Run(tmp_path)
    written = run.fill()
    running = run.begun()
    with running.original.open("ab") as late:  # who opens a rotated log by its name
        late.write(b'{"late":1}\n')
    (path,) = run.until_compressed()
    assert gzip.decompress(path.read_bytes()) == written + b'{"late":1}\n'
    assert len(run.lines) == written.count(b"\n") + 1
    run.close()


@pytest.mark.parametrize("when", ["before the rename", "after it"])
def test_a_kill_in_between_loses_nothing(tmp_path: Path, when: str) -> None:
    run = Run(tmp_path)
    written = run.fill()
    running = run.begun()
    entries = tuple(run.discovery.entries())
    if when == "after it":  # and before the log is removed: both are there
        running.path.rename(running.original.with_name(running.original.name + ".gz"))
    again = Run(tmp_path, entries)
    name = running.original.name + ".gz"
    wait_for(lambda: again.turn() == [name], "the compressed file alone to be there")
    path = running.original.with_name(name)
    assert gzip.decompress(path.read_bytes()) == written
    assert set(again.lines) <= set(run.lines)  # read again at most, which makes duplicates that Elasticsearch knows
    run.discovery.close()
    again.close()


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("No space left on device")], ids=repr
)
def test_a_full_disk_leaves_the_log_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def full(descriptor: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", full)
    run = Run(tmp_path)
    run.fill()

    def said() -> bool:
        run.turn()
        return "could not be compressed: No space left on device" in caplog.text

    wait_for(said, "the warning")
    for _ in range(3):
        (name,) = run.turn()
        assert run.rotation._compression is None  # not again at once
    assert not name.endswith(".gz")
    run.close()
    monkeypatch.undo()
    monkeypatch.setattr(rotation, "COMPRESS_AGAIN_S", 0.0)
    run = Run(tmp_path)
    run.until_compressed()
    run.close()


def test_without_a_thread_the_log_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    run = Run(tmp_path)
    run.fill()
    for _ in range(3):
        (name,) = run.turn()
    assert not name.endswith(".gz")
    assert "can't start new thread" in caplog.text
    run.close()


def test_it_stops_when_the_shipper_does(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.fill()
    hidden = run.begun().path.name
    names = run.names()
    run.close()
    assert hidden in names
    assert run.names() == [name for name in names if name != hidden]


def test_a_group_that_cannot_be_given_loses_its_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(descriptor: int, user: int, group: int) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "fchown", refused)
    run = Run(tmp_path)
    run.fill()
    run.log.chmod(0o640)
    (path,) = run.until_compressed()
    assert path.stat().st_mode & 0o777 == 0o600
    run.close()


def test_compressed_logs_are_deleted_as_others_are(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_KEEP_DAYS="1")
    run.fill()
    (path,) = run.until_compressed()
    os.utime(path, (0, time.time() - 2 * 86_400))
    wait_for(lambda: run.turn() == [], "it to be deleted")
    run.close()


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    run = Run(tmp_path, SHIPPER_COMPRESS_LOGS="false")
    run.fill()
    for _ in range(3):
        (name,) = run.turn()
    assert not name.endswith(".gz")
    assert all(isinstance(file, TailedFile) for file in run.discovery.files)
    run.close()
