"""Which file is which: a name changes at a rotation, an inode is used again, but what a file begins with stays.

A fingerprint is a hash of the first bytes, as many as there were (1024 at most). It grows with a young file
and can be checked against any later state of it. Records begin with their time and id, so no two logs have
the same head.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

HEAD_LIMIT = 1024
FIRST_LINE_LIMIT = 65_536


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """`digest` is of the first `length` bytes."""

    length: int
    digest: str

    def fits(self, descriptor: int) -> bool:
        """Whether the open file begins with the bytes that this was taken from."""
        head = os.pread(descriptor, self.length, 0)
        return len(head) == self.length and _digest(head) == self.digest


def fingerprint(descriptor: int) -> Fingerprint:
    """The fingerprint of an open file as it is now."""
    head = os.pread(descriptor, HEAD_LIMIT, 0)
    return Fingerprint(len(head), _digest(head))


def first_line(descriptor: int) -> bytes:
    """The file's first line without its newline: the file's name in the ids of lines that have none."""
    return os.pread(descriptor, FIRST_LINE_LIMIT, 0).split(b"\n", 1)[0]


def _digest(head: bytes) -> str:
    return hashlib.blake2b(head, digest_size=16).hexdigest()
