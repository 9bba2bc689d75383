"""Append one line to the log. Never raises, never waits: a job never fails because of us."""

from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

log = logging.getLogger("shipper")

WARN_EVERY_S = 60.0
LOOK_EVERY_S = 1.0  # for this long, lines may still go to the file that the log was renamed to
# Readable by the group, so that the shipper may run as another account; nobody else's business.
FILE_MODE = 0o640
FOLDER_MODE = 0o750


class Sink:
    """The end of a file that many processes append to.

    A line is one `write()` on an O_APPEND descriptor: on a local Linux file system such writes do not
    interleave, whatever threads and forks there are. The descriptor is opened at the first line, may be
    inherited over a fork, and is opened anew when the path names another file (somebody rotated it: seen
    within LOOK_EVERY_S) or the number no longer names ours (somebody closed it). `dropped` counts the lines
    that could not be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dropped = 0
        self._descriptor = -1
        self._opened: tuple[int, int] | None = None
        self._look_again = 0.0
        self._warned = -WARN_EVERY_S
        self._renew_lock()
        # A lock that another thread holds while this one forks would stay locked in the child for ever.
        os.register_at_fork(after_in_child=self._renew_lock)

    def append(self, line: bytes) -> bool:
        """Write the line, which ends in a newline. False if that could not be done."""
        with self._lock:
            try:
                written = os.write(self._current(), line)
            except OSError as trouble:
                self._drop(trouble.strerror or str(trouble))
                return False
            if written != len(line):
                # The disk is full. What was written is half a record; the next line starts a new one.
                self._drop(f"only {written} of {len(line)} bytes could be written")
                return False
            return True

    def sync(self) -> None:
        """Return when what was appended is on the disk. OSError if it cannot be brought there."""
        with self._lock:
            os.fsync(self._descriptor)

    def _renew_lock(self) -> None:
        # Re-entrant: a signal handler that writes a record may interrupt one that is being written.
        self._lock = threading.RLock()

    def _current(self) -> int:
        """The descriptor to write to. The path is looked at once a second, the descriptor every time."""
        opened = self._opened
        if opened is None or _identity(self._descriptor) != opened:
            return self._open()  # first use, or the descriptor was closed behind our back
        now = time.monotonic()
        if now >= self._look_again:
            self._look_again = now + LOOK_EVERY_S
            if _identity(self.path) != opened:
                os.close(self._descriptor)
                return self._open()
        return self._descriptor

    def _open(self) -> int:
        self.path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._opened = _identity(self._descriptor)
        return self._descriptor

    def _drop(self, reason: str) -> None:
        self.dropped += 1
        now = time.monotonic()
        if now - self._warned >= WARN_EVERY_S:
            self._warned = now
            log.warning(
                "Job records cannot be written to %s: %s. %d lost so far in this process; jobs are not affected. "
                "Make the folder writable, or set SHIPPER_LOG to a file that is.",
                self.path, reason, self.dropped,
                extra={"event.action": "records-dropped"},
            )  # fmt: skip


def _identity(file: Path | int) -> tuple[int, int] | None:
    """Which file a path or a descriptor names: (device, inode), or None for none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
