"""One file, read from where it was left: blocks of whole lines."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import orjson

from .identity import HEAD_LIMIT, fingerprint, first_line
from .registry import Entry

BLOCK = 1 << 20  # bytes of one read; larger ones fall out of the processor's cache


class Source(Protocol):
    """Where lines come from. `acknowledged` is how far all of it is known to be safe."""

    path: Path
    acknowledged: int

    def first_line(self) -> bytes:
        """The first line, which tells the sources of one host apart."""


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, with their newlines: `data` stands at `start` in `source`.

    The newline of the last line may be missing where no more will come.
    """

    source: Source
    start: int
    data: bytes


class Tailed:
    """A file that is held open: whatever becomes of its name, it is this file that is read on.

    `read_to` is how far it was read, `acknowledged` how far all of it is known to be safe.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        found = os.fstat(descriptor)
        self.device, self.inode = found.st_dev, found.st_ino
        self.head = fingerprint(descriptor)
        self.read_to = self.acknowledged = 0

    def continue_at(self, position: int) -> None:
        """Read on from where an earlier run left off."""
        self.read_to = self.acknowledged = position

    def read(self, *, to_the_end: bool = False) -> Block | None:
        """The next whole lines, or None if there are none yet.

        `to_the_end`: take a last line without a newline too, if it is a whole JSON object (the beginning of
        one never is).
        """
        self._notice_truncation()
        size = BLOCK
        while True:
            data = os.pread(self.descriptor, size, self.read_to)
            cut = data.rfind(b"\n") + 1
            if cut or len(data) < size:
                break
            size *= 2  # a line longer than the block
        if to_the_end and len(data) < size and _is_whole(data[cut:]):
            cut = len(data)
        if not cut:
            return None
        block = Block(self, self.read_to, data[:cut])
        self.read_to += cut
        if self.head.length < HEAD_LIMIT:
            self.head = fingerprint(self.descriptor)
        return block

    def rewind(self) -> None:
        """Forget what was read but not acknowledged."""
        self.read_to = self.acknowledged

    def first_line(self) -> bytes:
        return first_line(self.descriptor)

    def entry(self) -> Entry:
        """This file's line in the registry."""
        return Entry(str(self.path), self.device, self.inode, self.head, self.acknowledged)

    def at_end(self) -> bool:
        """Whether all that is there was read."""
        return os.fstat(self.descriptor).st_size <= self.read_to

    def close(self) -> None:
        os.close(self.descriptor)

    def _notice_truncation(self) -> None:
        """Emptied and written anew under the same name (copytruncate): what is there now is another file."""
        if os.fstat(self.descriptor).st_size < self.read_to or not self.head.fits(self.descriptor):
            self.head = fingerprint(self.descriptor)
            self.continue_at(0)


class Stream:
    """Standard input, or any other descriptor that can only be read onwards. It keeps no position."""

    def __init__(self, descriptor: int, name: str = "<stdin>") -> None:
        self.path = Path(name)
        self.descriptor = descriptor
        self.acknowledged = 0
        self.ended = False
        self._start = 0
        self._rest = b""
        self._first: bytes | None = None

    def read(self) -> Block | None:
        """Wait for the next whole lines. None when only a part of a line came; `ended` tells of the end."""
        data = os.read(self.descriptor, BLOCK)
        self.ended = not data
        data = self._rest + data
        cut = len(data) if self.ended else data.rfind(b"\n") + 1
        self._rest = data[cut:]
        if not cut:
            return None
        if self._first is None:
            self._first = data.split(b"\n", 1)[0]
        block = Block(self, self._start, data[:cut])
        self._start += cut
        return block

    def first_line(self) -> bytes:
        return self._first or b""


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
