"""Identifies files by their content, as names change at a rotation and inodes are reused.

A fingerprint is a hash of some bytes of a file. A file has two: `head`, of its first bytes (up to 1024, fewer while the
file is short), and `tail`, of the bytes before the position up to which it was shipped. If both match, reading
continues at that position: it is the same file, perhaps moved, renamed, copied or compressed. If only the head matches,
the file was rewritten and is read from its start.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass

HEAD_LIMIT = 1024
TAIL_LIMIT = 256
FIRST_LINE_LIMIT = 65_536

ReadAt = Callable[[int, int], bytes]
"""`(length, offset)` → the bytes there; fewer at the end."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`digest` is of `length` bytes."""

    length: int
    digest: str

    def fits(self, data: bytes) -> bool:
        """Whether this is the fingerprint of `data`."""
        return len(data) == self.length and _digest(data) == self.digest


NOTHING = Fingerprint(0, "")


def fingerprint(data: bytes) -> Fingerprint:
    """The fingerprint of these bytes."""
    return Fingerprint(len(data), _digest(data)) if data else NOTHING


def is_continuation(head: Fingerprint, tail: Fingerprint, position: int, read: ReadAt) -> bool:
    """Whether a file is the one that was shipped up to `position`: head and tail match."""
    if position == 0 or head.length == 0:
        return False
    return head.fits(read(head.length, 0)) and tail.fits(read(tail.length, position - tail.length))


def read_at(descriptor: int) -> ReadAt:
    """A ReadAt for an open file."""
    return lambda length, offset: os.pread(descriptor, length, offset) if length else b""


def file_id(first_line: bytes) -> str:
    """The file's part in the ids of its lines: a hash of its first line, which stays when it is moved."""
    return _digest(first_line.rstrip(b"\r\n"))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest() if data else ""
