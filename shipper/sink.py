"""Appends lines to the log file, from many processes. Never raises and never blocks the job."""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
import time
from pathlib import Path

from .folders import make_folder
from .forking import in_each_child, no_fork

log = logging.getLogger("shipper")

WARN_EVERY_S = 60.0
LOOK_EVERY_S = 1.0  # after a rotation, lines may go to the renamed file for this long
# For owner and group, so that the shipper can run as another account of the group. With a umask of 022 the group can
# read, with 002 or 007 it can also write. With 000 it can write the file, and not into a folder that is created.
FILE_MODE, FOLDER_MODE = 0o660, 0o770
# O_NONBLOCK: opening a FIFO without a reader fails instead of blocking. Windows has neither flag.
_FLAGS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_GROUP_WRITES, _GROUP_S_FOLDER = 0o020, 0o2770  # setgid: new files in the folder belong to its group
# Special files that the log may be: they are only ever configured on purpose.
_SPECIAL_FILES = ("/dev/stdout", "/dev/stderr", "/dev/full", "/dev/fd/", "/dev/tty", "/dev/null", "/proc/self/fd/")


class Sink:
    """Appends to a file that other processes append to as well.

    A line is one `write()` to an O_APPEND descriptor. On a local Linux file system such writes do not interleave. The
    descriptor is opened at the first line and may be inherited by a fork. It is reopened if the path is another file
    (after a rotation, noticed within LOOK_EVERY_S), or if the descriptor was closed by other code. `dropped` counts
    the lines that could not be written. Safe for threads and signal handlers.
    """

    def __init__(self, path: Path, mode: int | None = None, *, create: bool = True) -> None:
        """`mode`: the permissions of the file if it is created here. None: FILE_MODE less the umask.

        Without `create`, lines are lost where there is no file.
        """
        self.path = path
        self._create = create
        self._mode = mode
        self.dropped = 0
        self._descriptor = -1
        self._opened: tuple[int, int] | None = None
        self._look_again = 0.0
        self._warned = -WARN_EVERY_S
        self._renew_lock()
        # A lock that another thread holds during a fork stays locked in the child for ever.
        in_each_child(self._renew_lock)

    def append(self, line: bytes) -> bool:
        """Write the line, which has to end in a newline. False if it could not be written; then it is counted."""
        with self._lock:
            try:
                written = os.write(self._current(), line)
            except OSError as error:
                self._drop(*reason_and_advice(self.path, error))
                return False
            if written != len(line):
                # The disk is full. The file now has half a record; the shipper finds the start of the next one.
                self._drop(f"only {written} of {len(line)} bytes could be written", "Is the disk full?")
                return False
            return True

    def sync(self) -> None:
        """Wait until the appended lines are on disk (fsync). Raises OSError."""
        with self._lock:
            os.fsync(self._descriptor)

    def _renew_lock(self) -> None:
        # Re-entrant, as a signal handler that writes a record may interrupt `append`.
        self._lock = threading.RLock()

    def _current(self) -> int:
        """The descriptor to write to. Checks the path every LOOK_EVERY_S, the descriptor every time."""
        opened = self._opened
        if opened is None or _identity(self._descriptor) != opened:
            return self._open()  # first use, or other code closed the descriptor
        now = time.monotonic()
        if now >= self._look_again:
            self._look_again = now + LOOK_EVERY_S
            if _identity(self.path) != opened:
                os.close(self._descriptor)
                return self._open()
        return self._descriptor

    def _open(self) -> int:
        self._descriptor = open_shared(self.path, os.O_WRONLY | os.O_APPEND, self._mode, create=self._create)
        self._opened = _identity(self._descriptor)
        return self._descriptor

    def _drop(self, reason: str, advice: str) -> None:
        self.dropped += 1
        now = time.monotonic()
        if now - self._warned >= WARN_EVERY_S:
            self._warned = now
            log.warning(
                "Job records cannot be written to %s: %s. %d lost so far in this process; jobs are not affected. %s",
                self.path,
                reason,
                self.dropped,
                advice,
                extra={"event.action": "records-dropped"},
            )


def open_shared(path: Path, flags: int, mode: int | None, *, create: bool = True) -> int:
    """Open the file, and create it and its folder if needed. Never blocks.

    `mode`: the permissions of a created file, regardless of the umask. None: FILE_MODE less the umask. If the group may
    write the file, a created folder is writable and setgid for it. Raises OSError, also if the path is a special file
    that is neither a terminal nor in _SPECIAL_FILES.
    """
    flags |= _FLAGS
    wanted = FILE_MODE if mode is None else mode
    if create and not path.parent.is_dir():
        _make_folder(path.parent, mode)
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL if create else flags, wanted)
    except FileExistsError:
        descriptor = os.open(path, flags | os.O_CREAT, wanted)  # it may be a symlink, or deleted since
    else:
        if create and mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) and not is_special_file(path) and not os.isatty(descriptor):
        os.close(descriptor)
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return descriptor


def is_special_file(path: Path) -> bool:
    """Whether the path is a special file that may be written to: /dev/stdout."""
    return str(path).startswith(_SPECIAL_FILES)


def _make_folder(folder: Path, mode: int | None) -> None:
    make_folder(folder, FOLDER_MODE)
    if mode is not None and mode & _GROUP_WRITES:
        folder.chmod(_GROUP_S_FOLDER)


def reason_and_advice(path: Path, error: OSError) -> tuple[str, str]:
    """(why a file cannot be written, what to do about it), for a message."""
    match error.errno:
        case errno.EACCES | errno.EPERM | errno.EROFS:
            there = path if path.exists() else path.parent
            ours = account_name(os.geteuid()) if hasattr(os, "geteuid") else "another account's"
            reason = f"{error.strerror} ({_whose(there)}, and this process is {ours})"
            if there is path:
                return reason, (
                    "Where several accounts write it, let their group: set SHIPPER_LOG_MODE=0660 for all of them, and "
                    f"once run `chmod 0660 {path}`."
                )
            return reason, "Make the folder writable for this account, or set SHIPPER_LOG to a file that is."
        case errno.ENOSPC | errno.EDQUOT:
            return str(error.strerror), "Make room on that disk: what is written from then on is kept."
        case errno.EISDIR | errno.ENXIO | errno.ENOTDIR | errno.ELOOP:
            return "it is not a regular file", "Set SHIPPER_LOG to the path of a file."
        case _:
            return error.strerror or str(error), "Set SHIPPER_LOG to a file that can be written."


def _whose(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:
        return f"{path} cannot be looked at"
    mode = f"{stat.S_IMODE(found.st_mode):04o}"
    return f"{path} is {account_name(found.st_uid)}'s, group {group_name(found.st_gid)}, mode {mode}"


def account_name(uid: int) -> str:
    """The name of an account, or its number if it has none."""
    try:
        with no_fork:
            import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def group_name(gid: int) -> str:
    """The name of a group, or its number if it has none."""
    try:
        with no_fork:
            import grp

        return grp.getgrgid(gid).gr_name
    except (ImportError, KeyError):
        return str(gid)


def _identity(file: Path | int) -> tuple[int, int] | None:
    """(device, inode) of a path or descriptor; None if there is no such file."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
