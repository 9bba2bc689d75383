"""Finds the head of a chain in the log, where the head's file cannot be relied upon. See chaining.py.

Other programs may be able to append to the log. So a record there is the chain's only if its hash is right, by our
keys, and if it continues the record before it: a line that somebody made, with whatever number, is passed over.
"""

from __future__ import annotations

import gzip
import os
import secrets
import socket
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from glob import escape, glob
from pathlib import Path
from typing import NamedTuple

import orjson

from ..opening import open_regular
from ..records import LINE_START
from . import chain
from .chain import NO_HASH, Head, Keys

LAST_SEQUENCE = 2**52
"""A chain does not grow beyond this number: canonical JSON ends at 2**53, and whoever counts to here has made it up."""

BLOCK = 65_536  # bytes per read from the end of a log
LAST_OF_COMPRESSED = 1000  # audit records of a compressed log that are looked at: it cannot be read backwards
_AUDIT = b'"dataset":"rq.audit"'


class _Found(NamedTuple):
    """A record in the log whose hash is right."""

    head: Head
    previous: str


def new_chain() -> Head:
    """The head of a chain that has no record yet."""
    return Head(f"{socket.gethostname()}-{secrets.token_hex(4)}", 0, NO_HASH)


def recovered(log: Path, keys: Keys, stored: tuple[Head, str, bool] | None) -> Head | None:
    """The head of the log's chain. None if there is nothing to go on with, and a new chain has to begin.

    `stored`: what the head's file says: (the head, the hash of the record before it, whether it was yet to be written).
    """
    if stored is None:
        return _last_linked(_found(log, keys, None))
    head, previous, is_pending = stored
    if head.sequence > LAST_SEQUENCE:
        return None
    later: list[_Found] = []
    for found in _found(log, keys, head.id):
        if found.head.hash in (head.hash, previous):
            return _followed(found.head, later)
        if found.head.sequence < head.sequence - 1:
            break
        later.append(found)
    if later and head.sequence < later[-1].head.sequence:  # the records in between were rotated away
        return _followed(later[-1].head, later[:-1])
    # The log was rotated away or lost its end: a number is never used twice.
    return Head(head.id, head.sequence - 1, previous) if is_pending else head


def _followed(start: Head, later: list[_Found]) -> Head:
    """The end of the records, newest first, that continue `start` one after the other."""
    for found in reversed(later):
        if found.previous == start.hash and found.head.sequence == start.sequence + 1:
            start = found.head
    return start


def _last_linked(newest_first: Iterator[_Found]) -> Head | None:
    """The newest record that begins a chain, or continues the record before it, or that has none before it."""
    last: _Found | None = None
    for found in newest_first:
        if last is not None and (last.head.sequence == 1 or last.previous == found.head.hash):
            return last.head
        last = found
    return last.head if last else None


def _found(log: Path, keys: Keys, identifier: str | None) -> Iterator[_Found]:
    """The records in the log and its rotated files whose hash is right, newest first; of one chain, if it is given."""
    changed: dict[Path, float] = {}
    for path in map(Path, glob(f"{escape(str(log))}*")):
        with suppress(FileNotFoundError):  # the shipper compresses and deletes rotated logs
            changed[path] = path.stat().st_mtime
    for path in sorted(changed, key=changed.__getitem__, reverse=True):
        for line in _last_of_compressed(path) if path.suffix == ".gz" else _backwards(path):
            if _AUDIT in line and (found := _checked(line, keys)) and identifier in (None, found.head.id):
                yield found


def _checked(line: bytes, keys: Keys) -> _Found | None:
    try:
        record = orjson.loads(line[max(line.rfind(LINE_START), 0) :])  # a torn record may come before it
    except orjson.JSONDecodeError:
        return None
    checked = chain.check(record, keys) if isinstance(record, dict) else None
    if checked is None or checked.verdict != "good" or not 0 < checked.head.sequence <= LAST_SEQUENCE:
        return None
    return _Found(checked.head, checked.previous)


def _last_of_compressed(path: Path) -> Iterator[bytes]:
    """The last audit records of a compressed log, last line first."""
    last: deque[bytes] = deque(maxlen=LAST_OF_COMPRESSED)
    with suppress(OSError, EOFError, zlib.error), os.fdopen(open_regular(path), "rb") as file:
        last.extend(line for line in gzip.GzipFile(fileobj=file) if _AUDIT in line and line.endswith(b"\n"))
    return reversed(last)


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
