"""Compresses one file in a thread, beside it, so that shipping goes on meanwhile.

The thread has the lowest priority. The compressed file has a hidden name, which no glob of logs matches, until
`Rotation` puts it in the place of the original. It has the owner, mode and time of last modification of the original.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from .. import fastest_gzip
from .tail import BLOCK

SUFFIX = ".gz"
LOWEST_PRIORITY = 19


class Compression:
    """One file on its way. `done` once the thread has ended; then `error` says why it failed, or is None.

    `taken`: how many bytes of the file were compressed. `path`: the hidden file.
    """

    def __init__(self, descriptor: int, original: Path) -> None:
        """`descriptor`: of the original. It is duplicated. Raises OSError."""
        self.original = original
        self.path = original.with_name(f".{original.name}{SUFFIX}.new")
        self.taken = 0
        self.error: Exception | None = None
        self._from = os.dup(descriptor)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="compress", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads for this account or container
            os.close(self._from)
            self.error = error

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Give up, wait for the thread, and remove the hidden file, if it is still there."""
        self._stopped.set()
        if self._thread.ident is not None:  # it was started
            self._thread.join()
        self.path.unlink(missing_ok=True)

    def _run(self) -> None:
        if sys.platform == "linux":  # elsewhere, threads have no priority of their own
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        try:
            self._compress()
        except Exception as error:  # whatever it is, the log stays as it is
            self.error = error
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._from)

    def _compress(self) -> None:
        status = os.fstat(self._from)
        self.path.unlink(missing_ok=True)
        to = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(to, "wb") as out:
            with fastest_gzip.module().open(out, "wb", compresslevel=fastest_gzip.LEVEL) as compressed:
                while not self._stopped.is_set() and (data := os.pread(self._from, BLOCK, self.taken)):
                    compressed.write(data)
                    self.taken += len(data)
            os.fchmod(to, status.st_mode & _give(to, status))
            out.flush()
            os.utime(to, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(to)


def _give(descriptor: int, status: os.stat_result) -> int:
    """Give the file the owner and group of another, as far as this account may. What of its mode it may have then."""
    for owner in (status.st_uid, -1):  # only root may give files away, but members of a group may give to the group
        with suppress(PermissionError):
            os.fchown(descriptor, owner, status.st_gid)
            return 0o777
    return 0o700
