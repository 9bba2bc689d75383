"""Appends records to the audit chain of a log, from many processes: a lock and the head of the chain in one file.

The head is a small file beside the log, locked while a record is appended. It has the number and hash of the last
record. It is marked `pending` before the line is written. A process that finds it pending, because another one died in
between, reads the end of the log to see what was written (recovery.py). The same happens if the machine was restarted,
as the head may not have been flushed to disk, and if there is no head.

Seals (seals.py) are appended in the same way: after a record, if the last seal is old, and by `seal`.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from pathlib import Path
from typing import NamedTuple

import orjson

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from ..forking import in_each_child
from ..records import SEAL_EVERY_S, Record, encode
from ..sink import LOOK_EVERY_S, Sink, open_shared
from . import chain, recovery
from .chain import Head, Keys
from .recovery import LAST_SEQUENCE
from .seals import Kind, Seals, boot_id, uptime_ms

log = logging.getLogger("shipper")

HEAD_BYTES = 512  # one sector, which disks write atomically
LOCK_WAIT_S = 1.0  # it is held for about 20 us; a process stopped while it holds the lock must not block others
LOCK_TRY_S = 0.0001


class Busy(OSError):
    """The head stays locked by another process, or is locked by this thread further up the stack."""


class _HeadFile(NamedTuple):
    """The content of the head's file. `previous`: the hash of the record before, in case this one was not written.

    `key`: the id of the last record's HMAC key. `sealed`: the number of the last seal, 0 without; `sealed_ms`: its
    uptime, or that of the chain's beginning.
    """

    head: Head
    previous: str
    boot: str
    pending: bool
    key: str | None = None
    sealed: int = 0
    sealed_ms: int = 0


class Chain:
    """The chain of one log. Safe for threads and forks."""

    def __init__(
        self, path: Path, sink: Sink, keys: Keys, seals: Seals, mode: int | None = None, *, create: bool = True
    ) -> None:
        """`path`: of the log. `mode`: the permissions of a created head, as who writes the log has to lock the head.

        Without `create`, nothing is appended where there is no head.
        """
        # Hidden, so that no glob of log files matches it.
        self.path = path.with_name(f".{path.name}.chain")
        self._log, self._sink, self._keys, self._seals, self._mode = path, sink, keys, seals, mode
        self._key_id = chain.key_id(keys.current) if keys.current else None
        self._create = create
        self._descriptor = -1
        self._boot = boot_id()
        self._busy = False
        self._look_again = 0.0
        self._written: tuple[bytes, _HeadFile] | None = None  # the head as this process wrote it last
        self._mutex = threading.RLock()
        in_each_child(self._reset_after_fork)

    def append(self, record: Record) -> bool:
        """Append the record to the chain and the log. False if the log could not be written: it is in neither then.

        Raises OSError (also Busy) if the head cannot be used, ValueError if the record has no canonical JSON. Then
        nothing was written.
        """
        return self._locked(record, None)

    def seal(self, kind: Kind) -> bool:
        """Append a seal; one that promises nothing only if there are records since the last one.

        False if there is none to be written: no chain, no log, another key than the chain's. Raises as `append`.
        """
        return self.path.exists() and self._log.exists() and self._locked(None, kind)

    def _locked(self, record: Record | None, kind: Kind | None) -> bool:
        with self._mutex:
            if self._busy:
                raise Busy("a signal handler writes a record while one is being written")
            self._busy = True
            try:
                descriptor = self._lock()
                try:
                    if record is not None:
                        return self._append_and_seal(descriptor, record)
                    return self._seal(descriptor, kind or Kind())
                finally:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
            finally:
                self._busy = False

    def _append_and_seal(self, descriptor: int, record: Record) -> bool:
        before = self._read(descriptor)
        if before.head.sequence >= LAST_SEQUENCE:
            log.warning("The audit chain %s is full, and another one begins.", before.head.id)
            before = self._new()
        written = self._append(descriptor, before, record, is_seal=False)
        if written and not 0 <= uptime_ms() - before.sealed_ms < SEAL_EVERY_S * 1000:
            try:
                self._seal(descriptor, Kind())
            except (OSError, ValueError) as error:  # the record is written all the same, and the next one tries again
                log.warning("The audit chain could not be sealed: %s.", error)
        return written

    def _seal(self, descriptor: int, kind: Kind) -> bool:
        before = self._read(descriptor)
        is_known = before.key == self._key_id
        if not is_known or before.head.sequence == 0 or (kind == Kind() and before.head.sequence == before.sealed):
            return False
        record = self._seals.record(before.head, self._boot, kind)
        return self._append(descriptor, before, record, is_seal=True)

    def _append(self, descriptor: int, before: _HeadFile, record: Record, *, is_seal: bool) -> bool:
        head = chain.link(record, before.head, self._keys.current, self._seals.signer() if is_seal else None)
        line = encode(record)
        sealed, sealed_ms = before.sealed, before.sealed_ms
        if is_seal:
            sealed, sealed_ms = head.sequence, record["audit"]["seal"]["uptime_ms"]
        after = _HeadFile(head, before.head.hash, self._boot, False, self._key_id, sealed, sealed_ms)
        content = _content(after)
        os.pwrite(descriptor, _PENDING + content, 0)
        if self._sink.append(line):
            os.pwrite(descriptor, _SETTLED, 0)
            self._written = (_SETTLED + content, after)
            return True
        # A part of the line may be in the log; readers recognise it as torn.
        taken_back = before._replace(previous=before.head.hash, boot=self._boot)
        os.pwrite(descriptor, _SETTLED + _content(taken_back), 0)
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
                self._descriptor = open_shared(self.path, os.O_RDWR, self._mode, create=self._create)
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

    def _read(self, descriptor: int) -> _HeadFile:
        content = os.pread(descriptor, HEAD_BYTES, 0)
        if self._written is not None and content == self._written[0]:  # no other process has appended since
            return self._written[1]
        stored = _parsed(content)
        if stored is not None and not stored.pending and stored.boot == self._boot:
            return stored
        head = recovery.recovered(self._log, self._keys, stored and (stored.head, stored.previous, stored.pending))
        if head is None:
            return self._new()
        same_boot = stored is not None and stored.boot == self._boot
        sealed = (stored.sealed, stored.sealed_ms) if stored and same_boot else (0, uptime_ms())
        return _HeadFile(head, "", self._boot, False, self._key_id, *sealed)

    def _new(self) -> _HeadFile:
        return _HeadFile(recovery.new_chain(), "", self._boot, False, self._key_id, 0, uptime_ms())


def _parsed(content: bytes) -> _HeadFile | None:
    try:
        fields = orjson.loads(content)
        head = Head(fields["id"], fields["sequence"], fields["hash"])
        if fields["version"] != 1:
            return None
        sealed = (fields.get("sealed", 0), fields.get("sealed_ms", 0))
        return _HeadFile(head, fields["previous"], fields["boot"], fields["pending"], fields.get("key"), *sealed)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None


def _content(stored: _HeadFile) -> bytes:
    """The head's file without its start, which is _PENDING or _SETTLED."""
    (identifier, sequence, hashed), previous, boot, _, key, sealed, sealed_ms = stored
    fields = {
        "version": 1,
        "id": identifier,
        "sequence": sequence,
        "hash": hashed,
        "previous": previous,
        "boot": boot,
        "key": key,
        "sealed": sealed,
        "sealed_ms": sealed_ms,
    }
    return orjson.dumps(fields)[1:].ljust(HEAD_BYTES - len(_SETTLED) - 1) + b"\n"


# How a head begins. Of one length, so that `pending` can be cleared by overwriting only this.
_PENDING, _SETTLED = b'{"pending":true ,', b'{"pending":false,'
