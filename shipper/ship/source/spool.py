"""Keeps standard input on disk until it is indexed, so that whoever writes to the pipe never waits for Elasticsearch.

A pipe holds 64 KiB: without this, a worker would stand still, or lose records, as soon as a request takes long. What is
left when a shipper ends without having sent all is shipped by the next one with the same state folder.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from ..bulk.backoff import LogThrottle
from .checkpoints import make_folder
from .tail import LINE_LIMIT, STDIN, TailedFile

log = logging.getLogger("shipper")

FOLDER = "stdin"  # in the state folder
PIECE = 1 << 16  # bytes of one read
RENEW_BYTES = 1 << 26  # a file of this size that is indexed gives way to a new one
DISK_EVERY_S = 1.0


class SpoolFile:
    """One file of what was read, locked as long as it is open."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """Raises BlockingIOError if another process has it, OSError."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
        self.path = path
        self.descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Messages, dead letters and the rule which files are trusted know it as standard input.
            self.tail = TailedFile(Path(STDIN), os.dup(self.descriptor))
        except BaseException:
            os.close(self.descriptor)
            raise

    def close(self) -> None:
        """Delete it if all of it is safe."""
        if self.tail.is_safe:
            self.path.unlink(missing_ok=True)
        self.tail.close()
        os.close(self.descriptor)


class Spool:
    """Copies a descriptor to a file, in a thread, until its end. `convert` is given whole lines, and the time."""

    def __init__(
        self, state: Path, descriptor: int, convert: Callable[[bytes, datetime], bytes], on_end: Callable[[], None]
    ) -> None:
        """`on_end` is called in the thread. Raises StateError, OSError."""
        self._folder = state / FOLDER
        make_folder(self._folder)
        self._from, self._convert, self._on_end = descriptor, convert, on_end
        self._left = list(self._left_over())
        self._count = 0
        self._lock = threading.Lock()
        self._current = self._new()
        self._arrived = threading.Event()
        self.ended = threading.Event()
        self._throttle = LogThrottle()
        threading.Thread(target=self._copy, name="stdin", daemon=True).start()

    @property
    def files(self) -> list[TailedFile]:
        """What is to be shipped, the oldest first."""
        return [one.tail for one in (*self._left, self._current)]

    def wait(self, for_s: float) -> None:
        """Return when something arrives, at the end of the input, or after so many seconds."""
        self._arrived.wait(for_s)
        self._arrived.clear()

    def renew(self) -> None:
        """Begin a new file if the current one is large and all of it is safe."""
        with self._lock:
            if self._current.tail.acknowledged >= RENEW_BYTES and self._current.tail.is_safe:
                old, self._current = self._current, self._new()
                old.close()

    def finish(self) -> None:
        """Nothing more comes: read last lines without a newline, too."""
        for tail in self.files:
            tail.final = True

    def close(self) -> int:
        """Delete what is safe. Returns the bytes that are left."""
        left = sum(tail.backlog(tail.size) for tail in self.files)
        for one in (*self._left, self._current):
            one.close()
        return left

    def _left_over(self) -> Iterator[SpoolFile]:
        """What shippers left that are not there any more."""
        for path in sorted(self._folder.glob("*.jsonl")):
            try:
                found = SpoolFile(path, create=False)
            except OSError:  # it is another shipper's, or was just deleted by it
                continue
            found.tail.final = True
            log.info("Shipping what is left of an earlier standard input: %d bytes.", found.tail.size)
            yield found

    def _new(self) -> SpoolFile:
        self._count += 1
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}-{self._count}.jsonl"
        return SpoolFile(self._folder / name, create=True)

    def _copy(self) -> None:
        rest, too_long = b"", False
        while data := os.read(self._from, PIECE):
            data = rest + data
            if too_long and (end := data.find(b"\n") + 1):
                self._write(data[:end])
                data, too_long = data[end:], False
            cut = 0 if too_long else data.rfind(b"\n") + 1
            if cut:
                self._write(self._convert(data[:cut], datetime.now(UTC)))
            rest = data[cut:]
            if too_long or len(rest) > LINE_LIMIT:  # it becomes a dead letter as it is
                self._write(rest)
                rest, too_long = b"", True
        if rest:
            self._write(self._convert(rest + b"\n", datetime.now(UTC)))
        self._on_end()
        self.ended.set()
        self._arrived.set()

    def _write(self, data: bytes) -> None:
        """Write all of it, however long the disk takes to have room: until then, the pipe's writer waits."""
        while data:
            try:
                with self._lock:
                    data = data[os.write(self._current.descriptor, data) :]
            except OSError as error:
                if self._throttle.due():
                    log.warning(
                        "Standard input cannot be kept in %s: %s. Whoever writes to it may have to wait.",
                        self._folder,
                        error.strerror,
                        extra={"event.action": "spool-unwritable"},
                    )
                self.ended.wait(DISK_EVERY_S)
        self._arrived.set()
