"""Append one line to the log. Never raises, never waits: a job never fails because of us."""

from __future__ import annotations

import errno
import logging
import os
import stat
import threading
import time
from pathlib import Path

from .forking import in_each_child, no_fork

log = logging.getLogger("shipper")

WARN_EVERY_S = 60.0
LOOK_EVERY_S = 1.0  # for this long, lines may still go to the file that the log was renamed to
# For the group, so that the shipper may run as another account; nobody else's business. With the usual umask of 022
# the group can read, with 002 or 007 other accounts of it can write, too.
FILE_MODE, FOLDER_MODE = 0o660, 0o770
# A FIFO that nobody reads is an error, and no wait. Windows has neither flag.
_ALWAYS = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_GROUP_WRITES, _GROUP_S_FOLDER = 0o020, 0o2770  # setgid: what is made in the folder is its group's
# What may be written to though it is no file: somebody has named it on purpose.
_ON_PURPOSE = ("/dev/stdout", "/dev/stderr", "/dev/full", "/dev/fd/", "/dev/tty", "/dev/null", "/proc/self/fd/")


class Sink:
    """The end of a file that many processes append to.

    A line is one `write()` on an O_APPEND descriptor: on a local Linux file system such writes do not
    interleave, whatever threads and forks there are. The descriptor is opened at the first line, may be
    inherited over a fork, and is opened anew when the path names another file (somebody rotated it: seen
    within LOOK_EVERY_S) or the number no longer names ours (somebody closed it). `dropped` counts the lines
    that could not be written.
    """

    def __init__(self, path: Path, mode: int | None = None) -> None:
        """`mode`: the permissions that the file is to have if it is made here; None: FILE_MODE less the umask."""
        self.path = path
        self._mode = mode
        self.dropped = 0
        self._descriptor = -1
        self._opened: tuple[int, int] | None = None
        self._look_again = 0.0
        self._warned = -WARN_EVERY_S
        self._renew_lock()
        # A lock that another thread holds while this one forks would stay locked in the child for ever.
        in_each_child(self._renew_lock)

    def append(self, line: bytes) -> bool:
        """Write the line, which ends in a newline. False if that could not be done."""
        with self._lock:
            try:
                written = os.write(self._current(), line)
            except OSError as error:
                self._drop(*reason_and_advice(self.path, error))
                return False
            if written != len(line):
                # The disk is full. What was written is half a record; the next line starts a new one.
                self._drop(f"only {written} of {len(line)} bytes could be written", "Is the disk full?")
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
        self._descriptor = open_shared(self.path, os.O_WRONLY | os.O_APPEND, self._mode)
        self._opened = _identity(self._descriptor)
        return self._descriptor

    def _drop(self, reason: str, advice: str) -> None:
        self.dropped += 1
        now = time.monotonic()
        if now - self._warned >= WARN_EVERY_S:
            self._warned = now
            log.warning(
                "Job records cannot be written to %s: %s. %d lost so far in this process; jobs are not affected. %s",
                self.path, reason, self.dropped, advice,
                extra={"event.action": "records-dropped"},
            )  # fmt: skip


def open_shared(path: Path, flags: int, mode: int | None) -> int:
    """A descriptor of the file, which is made, with its folder, if it is not there. Never waits for another program.

    `mode` is then what its permissions are, whatever the umask; None: FILE_MODE less the umask. The folder's group
    may do in it what it may do to the file. Raises OSError, also if it is neither a file nor named on purpose.
    """
    if not path.parent.is_dir():
        _make_folder(path.parent, mode)
    flags |= _ALWAYS
    wanted = FILE_MODE if mode is None else mode
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, wanted)
    except FileExistsError:
        descriptor = os.open(path, flags | os.O_CREAT, wanted)  # it may be a link, or be gone again
    else:
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) and not is_on_purpose(path):
        os.close(descriptor)
        raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
    return descriptor


def is_on_purpose(path: Path) -> bool:
    """Whether this is no file, and still something to write to: /dev/stdout."""
    return str(path).startswith(_ON_PURPOSE)


def _make_folder(folder: Path, mode: int | None) -> None:
    folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    if mode is not None and mode & _GROUP_WRITES:
        folder.chmod(_GROUP_S_FOLDER)


def reason_and_advice(path: Path, error: OSError) -> tuple[str, str]:
    """What keeps a file from being written, and what to do about it."""
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
    return f"{path} is {account_name(found.st_uid)}'s, group {_group(found.st_gid)}, mode {mode}"


def account_name(uid: int) -> str:
    """The name of an account, or its number."""
    try:
        with no_fork:
            import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)


def _group(gid: int) -> str:
    try:
        with no_fork:
            import grp

        return grp.getgrgid(gid).gr_name
    except (ImportError, KeyError):
        return str(gid)


def _identity(file: Path | int) -> tuple[int, int] | None:
    """Which file a path or a descriptor names: (device, inode), or None for none."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_dev, found.st_ino
