"""Opens regular files, and nothing else: a FIFO, device or directory in their place neither blocks nor is read."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

# Windows has only the first.
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def open_regular(path: Path, expected: tuple[int, int] | None = None) -> int:
    """A descriptor of the file. Never blocks.

    `expected`: device and inode that it had when it was found and examined. Raises OSError: ENXIO if it is not a
    regular file, ESTALE if it is not the expected one.
    """
    descriptor = os.open(path, _FLAGS)
    status = os.fstat(descriptor)
    wrong = None
    if not stat.S_ISREG(status.st_mode):
        wrong = OSError(errno.ENXIO, "it is not a regular file")
    elif expected is not None and (status.st_dev, status.st_ino) != expected:
        wrong = OSError(errno.ESTALE, "it was replaced while it was opened")
    if wrong is not None:
        os.close(descriptor)
        raise wrong
    return descriptor
