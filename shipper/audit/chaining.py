"""Appends records to the audit chain of a log, from many processes: a lock and the head of the chain in one file.

The head is a small file beside the log, locked while a record is appended. It has the number and hash of the last
record. It is marked `pending` before the line is written. A process that finds it pending, because another one died in
between, reads the end of the log to see what was written. The same happens if the machine was restarted, as the head
may not have been flushed to disk, and if there is no head.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from glob import escape, glob
from pathlib import Path
from typing import NamedTuple

import orjson

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from ..forking import in_each_child
from ..opening import open_regular
from ..records import LINE_START, Record, encode
from ..sink import LOOK_EVERY_S, Sink, open_shared
from . import chain
from .chain import NO_HASH, Head

HEAD_BYTES = 512  # one sector, which disks write atomically
LOCK_WAIT_S = 1.0  # it is held for about 20 us; a process stopped while it holds the lock must not block others
LOCK_TRY_S = 0.0001
BLOCK = 65_536  # bytes per read from the end of a log
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_AUDIT = b'"dataset":"rq.audit"'


class Busy(OSError):
    """The head stays locked by another process, or is locked by this thread further up the stack."""


class _HeadFile(NamedTuple):
    """The content of the head's file. `previous`: the hash of the record before, in case this one was not written."""

    head: Head
    previous: str
    boot: str
    pending: bool


class Chain:
    """The chain of one log. Safe for threads and forks."""

    def __init__(self, log: Path, sink: Sink, key: bytes | None, mode: int | None = None) -> None:
        """`mode`: the permissions of a created head. Each account that writes the log has to be able to lock it."""
        # Hidden, so that no glob of log files matches it.
        self.path = log.with_name(f".{log.name}.chain")
        self._log, self._sink, self._key, self._mode = log, sink, key, mode
        self._descriptor = -1
        self._boot = _boot_id()
        self._busy = False
        self._look_again = 0.0
        self._written: tuple[bytes, Head] | None = None  # the head as this process wrote it last
        self._mutex = threading.RLock()
        in_each_child(self._reset_after_fork)

    def append(self, record: Record) -> bool:
        """Append the record to the chain and the log. False if the log could not be written: it is in neither then.

        Raises OSError (also Busy) if the head cannot be used, ValueError if the record has no canonical JSON. Then
        nothing was written.
        """
        with self._mutex:
            if self._busy:
                raise Busy("a signal handler writes a record while one is being written")
            self._busy = True
            try:
                descriptor = self._lock()
                try:
                    return self._append(descriptor, record)
                finally:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
            finally:
                self._busy = False

    def _append(self, descriptor: int, record: Record) -> bool:
        before = self._read(descriptor)
        head = chain.seal(record, before, self._key)
        line = encode(record)
        announced = _write(descriptor, _HeadFile(head, before.hash, self._boot, pending=True))
        if self._sink.append(line):
            os.pwrite(descriptor, _SETTLED, 0)
            self._written = (_SETTLED + announced[len(_SETTLED) :], head)
            return True
        # A part of the line may be in the log; readers recognise it as torn.
        _write(descriptor, _HeadFile(before, before.hash, self._boot, pending=False))
        return False

    def _reset_after_fork(self) -> None:
        """In a forked child: open the head again, as a lock belongs to the parent's open descriptor."""
        self._mutex, self._busy = threading.RLock(), False
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self) -> int:
        if fcntl is None:
            raise OSError(errno.ENOTSUP, "this system has no locks that forks share; records are not chained")
        deadline = None
        while True:
            if self._descriptor < 0:
                self._descriptor = open_shared(self.path, os.O_RDWR, self._mode)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                now = time.monotonic()
                deadline = deadline or now + LOCK_WAIT_S
                if now > deadline:
                    raise Busy(f"{self.path} stays locked by another process") from None
                time.sleep(LOCK_TRY_S)
                continue
            if self._is_current():
                return self._descriptor
            os.close(self._descriptor)  # the head was removed or replaced while we waited
            self._descriptor = -1

    def _is_current(self) -> bool:
        """Whether the open head is still the file at its path. Checks the path every LOOK_EVERY_S."""
        ours = os.fstat(self._descriptor)
        if ours.st_nlink == 0:
            return False
        now = time.monotonic()
        if now >= self._look_again:
            self._look_again = now + LOOK_EVERY_S
            try:
                there = os.stat(self.path)
            except OSError:
                return False
            return ours.st_ino == there.st_ino and ours.st_dev == there.st_dev
        return True

    def _read(self, descriptor: int) -> Head:
        content = os.pread(descriptor, HEAD_BYTES, 0)
        if self._written is not None and content == self._written[0]:  # no other process has appended since
            return self._written[1]
        stored = _parsed(content)
        if stored is not None and not stored.pending and stored.boot == self._boot:
            return stored.head
        return _recovered(stored, self._last_in_log(stored.head.id if stored else None))

    def _last_in_log(self, identifier: str | None) -> Head | None:
        """The last chained record in the log and its rotated files; of the chain `identifier`, if given."""
        names = [Path(name) for name in glob(f"{escape(str(self._log))}*")]
        for path in sorted(names, key=lambda one: one.stat().st_mtime, reverse=True):
            for line in _backwards(path):
                if _AUDIT in line and (head := _head_in(line)) and identifier in (None, head.id):
                    return head
        return None


def _recovered(stored: _HeadFile | None, last: Head | None) -> Head:
    """The head after a crash, from its file and the last record in the log. Pure, except for a new chain's id."""
    if stored is None:
        return last or Head(f"{socket.gethostname()}-{secrets.token_hex(4)}", 0, NO_HASH)
    if last is not None and last.sequence >= stored.head.sequence:
        return last
    if stored.pending:  # marked as pending and never written
        return Head(stored.head.id, stored.head.sequence - 1, stored.previous)
    return stored.head  # the log was rotated away or lost its end: never use a number twice


def _parsed(content: bytes) -> _HeadFile | None:
    try:
        fields = orjson.loads(content)
        head = Head(fields["id"], fields["sequence"], fields["hash"])
        if fields["version"] != 1:
            return None
        return _HeadFile(head, fields["previous"], fields["boot"], fields["pending"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _write(descriptor: int, stored: _HeadFile) -> bytes:
    (identifier, sequence, hashed), previous, boot, pending = stored
    fields = {"version": 1, "id": identifier, "sequence": sequence, "hash": hashed, "previous": previous, "boot": boot}
    start = _PENDING if pending else _SETTLED
    content = (start + orjson.dumps(fields)[1:]).ljust(HEAD_BYTES - 1) + b"\n"
    os.pwrite(descriptor, content, 0)
    return content


# How a head begins. Of one length, so that `pending` can be cleared by overwriting only this.
_PENDING, _SETTLED = b'{"pending":true ,', b'{"pending":false,'


def _head_in(line: bytes) -> Head | None:
    try:
        record = orjson.loads(line[max(line.rfind(LINE_START), 0) :])  # a torn record may come before it
    except orjson.JSONDecodeError:
        return None
    return chain.head_of(record) if isinstance(record, dict) else None


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, last line first. A last line without a newline is omitted: it is incomplete."""
    try:
        file = os.fdopen(open_regular(path), "rb")
    except OSError:
        return
    with file:
        position, rest = file.seek(0, os.SEEK_END), b""
        first = True
        while position > 0:
            size = min(BLOCK, position)
            position -= size
            file.seek(position)
            lines = (file.read(size) + rest).split(b"\n")
            rest = lines.pop(0)
            if first and lines:
                lines.pop()  # the bytes after the last newline
                first = False
            yield from reversed(lines)
        if rest and not first:
            yield rest


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
