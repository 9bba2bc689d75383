"""Audit records go to the log one after the other, whatever processes write them: the head of the chain.

The head is a small file beside the log, locked while a record is added. It says which record is the last one.
Before the line is written the head says which one is coming (`pending`); whoever finds it so, because a process
died in between, looks at the end of the log for what really happened. The same is done after a restart of the
machine, which may have kept less of the head than of the log, and where the head is not there at all.
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
from ..records import LINE_START, Record, encode
from ..sink import LOOK_EVERY_S, Sink, open_shared
from . import chain
from .chain import NO_HASH, Head

HEAD_BYTES = 512  # one sector: it is written whole or not at all
LOCK_WAIT_S = 1.0  # a holder needs some 20 us; one that was stopped while it held the lock must not stop us all
LOCK_TRY_S = 0.0001
BLOCK = 65_536  # bytes read at once from the end of a log
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_AUDIT = b'"dataset":"rq.audit"'


class Busy(OSError):
    """The head is locked by somebody who does not let go, or by ourselves, further up the stack."""


class _Kept(NamedTuple):
    """The head as the file has it. `previous`: the hash of the record before, for the case that it never came."""

    head: Head
    previous: str
    boot: str
    pending: bool


class Chain:
    """The chain of one log. Threads and forks may share it."""

    def __init__(self, log: Path, sink: Sink, key: bytes | None, mode: int | None = None) -> None:
        """`mode`: the permissions of the head, if it is made here: whoever writes the log has to lock it."""
        # Hidden, so that no glob of log files takes it for one.
        self.path = log.with_name(f".{log.name}.chain")
        self._log, self._sink, self._key, self._mode = log, sink, key, mode
        self._descriptor = -1
        self._boot = _boot_id()
        self._busy = False
        self._look_again = 0.0
        self._written: tuple[bytes, Head] | None = None  # the head as we left it
        self._mutex = threading.RLock()
        in_each_child(self._begin_anew)

    def append(self, record: Record) -> bool:
        """Add the record to the chain and the log. False if the log did not take it: then it is in neither.

        Raises OSError (Busy is one) if the head cannot be used, ValueError if the record has no canonical form;
        then nothing was written.
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
        announced = _write(descriptor, _Kept(head, before.hash, self._boot, pending=True))
        if self._sink.append(line):
            os.pwrite(descriptor, _SETTLED, 0)
            self._written = (_SETTLED + announced[len(_SETTLED) :], head)
            return True
        # A part of the line may be in the log: whoever reads it finds that it is torn.
        _write(descriptor, _Kept(before, before.hash, self._boot, pending=False))
        return False

    def _begin_anew(self) -> None:
        """In a forked child: the lock is the parent's as long as anybody has its descriptor open."""
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
            os.close(self._descriptor)  # somebody removed or replaced the head while we waited
            self._descriptor = -1

    def _is_current(self) -> bool:
        """Whether the head is still the file of that name: if it was removed, no name of it is left."""
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
        if self._written is not None and content == self._written[0]:  # nobody else has added a record since
            return self._written[1]
        kept = _parsed(content)
        if kept is not None and not kept.pending and kept.boot == self._boot:
            return kept.head
        return _recovered(kept, self._last_in_log(kept.head.id if kept else None))

    def _last_in_log(self, identifier: str | None) -> Head | None:
        """The last chained record in the log, or in what it was renamed to; of this chain, if one is named."""
        names = [Path(name) for name in glob(f"{escape(str(self._log))}*")]
        for path in sorted(names, key=lambda one: one.stat().st_mtime, reverse=True):
            for line in _backwards(path):
                if _AUDIT in line and (head := _head_in(line)) and identifier in (None, head.id):
                    return head
        return None


def _recovered(kept: _Kept | None, last: Head | None) -> Head:
    """The head, from what its file says and what the log does. Pure but for a new chain's id."""
    if kept is None:
        return last or Head(f"{socket.gethostname()}-{secrets.token_hex(4)}", 0, NO_HASH)
    if last is not None and last.sequence >= kept.head.sequence:
        return last
    if kept.pending:  # it was announced and never written
        return Head(kept.head.id, kept.head.sequence - 1, kept.previous)
    return kept.head  # the log was rotated away, or lost its end in a crash: a number is never used twice


def _parsed(content: bytes) -> _Kept | None:
    try:
        said = orjson.loads(content)
        head = Head(said["id"], said["sequence"], said["hash"])
        return _Kept(head, said["previous"], said["boot"], said["pending"]) if said["version"] == 1 else None
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _write(descriptor: int, kept: _Kept) -> bytes:
    (identifier, sequence, hashed), previous, boot, pending = kept
    said = {"version": 1, "id": identifier, "sequence": sequence, "hash": hashed, "previous": previous, "boot": boot}
    start = _PENDING if pending else _SETTLED
    content = (start + orjson.dumps(said)[1:]).ljust(HEAD_BYTES - 1) + b"\n"
    os.pwrite(descriptor, content, 0)
    return content


# What a head begins with: of one length, so that it can be settled by writing nothing else.
_PENDING, _SETTLED = b'{"pending":true ,', b'{"pending":false,'


def _head_in(line: bytes) -> Head | None:
    try:
        record = orjson.loads(line[max(line.rfind(LINE_START), 0) :])  # what stands before it is a torn record
    except orjson.JSONDecodeError:
        return None
    return chain.head_of(record) if isinstance(record, dict) else None


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, the last first. One without its newline is left out: it is torn, or still being written."""
    try:
        file = path.open("rb")
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
                lines.pop()  # what stands behind the last newline
                first = False
            yield from reversed(lines)
        if rest and not first:
            yield rest


def _boot_id() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
