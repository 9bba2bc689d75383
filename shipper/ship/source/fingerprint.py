"""Which file is which: a name changes at a rotation, an inode is used again, but what a file holds stays.

A fingerprint is a hash of some bytes of a file. Two of them tell a file: that of its first bytes, as many as
there were (1024 at most), which grows with a young file, and that of the bytes right before the position up to
which it was shipped. Whatever fits both may be read on from that position: the same file, moved to another
disk, renamed, copied or compressed. Whatever fits only the first was written anew and is read from its start.
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
        """Whether these are the bytes that this was taken from."""
        return len(data) == self.length and _digest(data) == self.digest


NOTHING = Fingerprint(0, "")


def fingerprint(data: bytes) -> Fingerprint:
    """The fingerprint of these bytes."""
    return Fingerprint(len(data), _digest(data)) if data else NOTHING


def is_continuation(head: Fingerprint, tail: Fingerprint, position: int, read: ReadAt) -> bool:
    """Whether a file is the one that was shipped up to `position`: it begins so, and so it reads before that."""
    if position == 0 or head.length == 0:
        return False
    return head.fits(read(head.length, 0)) and tail.fits(read(tail.length, position - tail.length))


def read_at(descriptor: int) -> ReadAt:
    """How the bytes of an open file are read."""
    return lambda length, offset: os.pread(descriptor, length, offset) if length else b""


def file_id(first_line: bytes) -> str:
    """What stands for a file in the ids of its lines: wherever it is moved, its first line is the same."""
    return _digest(first_line.rstrip(b"\r\n"))


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest() if data else ""
