"""One file, read from where it was left: blocks of whole lines."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol

import orjson

from ...legacy.lines import whole_records
from ...records import LINE_START
from .checkpoints import Checkpoint
from .fingerprint import FIRST_LINE_LIMIT, HEAD_LIMIT, NOTHING, TAIL_LIMIT, file_id, fingerprint

BLOCK = 1 << 21  # bytes of one read, and enough for one request: two that are joined are copied once more
TEXT_BLOCK = 1 << 14  # of text logs: a line of two bytes becomes a document of some hundred
LINE_LIMIT = 1 << 24  # bytes; a longer line is no record of anybody's, and becomes a dead letter unread
MORE_S = 0.25  # for which a stream's last line waits for others that belong to it
SETTLED_S = 5.0  # after which a last line without a newline is taken, if it is a whole record


STDIN = "<stdin>"


LARGE = bytearray()
"""The data of a large block, until the next is read.

Megabytes that come and go by ever other sizes leave holes in malloc's memory, and the process held twice as much."""


class Source(Protocol):
    """Where lines come from. `acknowledged` is how far all of it is known to be safe."""

    path: Path

    def acknowledge(self, mark: Mark) -> None:
        """All up to there is safe."""

    def file_id(self) -> str:
        """What tells this source from others of the host: a hash of its first line."""

    rereadable: bool
    """Whether `line_at` can be asked."""

    def line_at(self, start: int) -> bytes | None:
        """The line that was read there, without its newline. None if it is there no more."""

    def copy(self, start: int, length: int, to: int) -> None:
        """Write these bytes of the source to another descriptor, without holding all of them."""

    def changed_at(self) -> float:
        """When it was last written to, in seconds since the epoch."""

    def ahead(self, block: Block) -> Iterator[bytes]:
        """What stands there from this block's start on, as far as it is known by now, in pieces."""

    def behind(self, block: Block) -> Iterator[Block]:
        """What was read before this block, in blocks of whole records."""


def name_of(source: Source) -> str:
    """The path of a source as text that can be written anywhere: bytes that are no UTF-8 are shown as \\xff."""
    return os.fsencode(source.path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Mark:
    """A place between two lines, and the bytes that stand before it."""

    end: int
    last: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines, with their newlines: `data` stands at `start` in `source`.

    `data` is read before the next block is: what is to be kept of it is to be copied.

    The newline of the last line may be missing where no more will come. `too_long` is the length of a line that
    is not in `data`, which is empty then.
    """

    source: Source
    start: int
    data: bytes | bytearray
    too_long: int = 0

    @property
    def end(self) -> int:
        return self.start + (self.too_long or len(self.data))

    @property
    def mark(self) -> Mark:
        """The checkpoint at the block's end."""
        return Mark(self.end, bytes(self.data[-TAIL_LIMIT:]))


class TailedFile:
    """A file that is held open: whatever becomes of its name, it is this file that is read on.

    It is one life of that file: when somebody empties it (copytruncate), `emptied` turns true, and what is
    written from then on is another's to read. `read_to` is how far it was read, `acknowledged` how far all of
    it is known to be safe. `final` says that no more will be written: a torn last line is taken, too. In `multiline`
    files a record may have several lines, which stay together: the last one waits for what may still belong to it.
    """

    rereadable = True

    def __init__(self, path: Path, descriptor: int, *, multiline: bool = False) -> None:
        self.path = path
        self.multiline = multiline
        self.descriptor = descriptor
        found = os.fstat(descriptor)
        self.device, self.inode = found.st_dev, found.st_ino
        self.head = fingerprint(self._bytes(HEAD_LIMIT, 0))
        self.read_to = self.acknowledged = 0
        self.emptied = self.final = False
        self.at_end = False  # when it was read last
        self.quiet = False  # nobody had touched it since there was nothing new
        self.moved_at = time.monotonic()
        self._id: str | None = None
        self._last = b""  # the bytes before read_to, to notice when others stand there
        self._tail = NOTHING  # of those before `acknowledged`
        self._changed_at: int | None = None  # when it was changed before it had nothing new
        self._searched = 0  # of a line that is too long: up to where no end was found
        self._rest: tuple[int, float] | None = None  # size, and since when the file ends in half a line

    def continue_at(self, entry: Checkpoint) -> None:
        """Read on from where an earlier run left off."""
        self.read_to = self.acknowledged = entry.position
        self._tail = entry.tail
        self._last = self._bytes(min(TAIL_LIMIT, entry.position), max(0, entry.position - TAIL_LIMIT))

    def read(self, *, to_the_end: bool = False) -> Block | None:
        """The next whole lines, or None if there are none yet.

        `to_the_end`: take a last line without a newline too, if it is a whole JSON object (the beginning of
        one never is).
        """
        found = os.fstat(self.descriptor)
        self.quiet = found.st_size == self.read_to and found.st_mtime_ns == self._changed_at
        if self.quiet:
            return None
        if not self.multiline and found.st_size - self.read_to >= BLOCK and (block := self._large()) is not None:
            return block
        size = TEXT_BLOCK if self.multiline else BLOCK
        while True:
            data = self._bytes(size, self.read_to)
            if self._was_emptied():  # asked after reading: what was read before it happened stands where it is read
                self.emptied = True
                return None
            cut = self._whole(data, size)
            if cut or len(data) < size:
                break
            if size >= LINE_LIMIT:
                return self._beyond_limit()
            size *= 2  # a line longer than the block
        if len(data) < size and cut < len(data):
            cut = self._rest_too(data, cut, to_the_end=to_the_end)
        self.at_end = len(data) < size
        if not cut:
            self._changed_at = found.st_mtime_ns
            return None
        lines = BytesIO(data)
        del data  # whose only owner cuts it where it stands: a slice is a copy, a tenth of what a record costs
        lines.truncate(cut)
        block = Block(self, self.read_to, lines.getvalue())
        return self._block(block, block.mark.last)

    def _large(self) -> Block | None:
        """A block as large as one may be, in the memory of the one before. None if it has to be looked at closely."""
        del LARGE[BLOCK:]
        LARGE.extend(bytes(BLOCK - len(LARGE)))
        size = os.preadv(self.descriptor, [LARGE], self.read_to)
        cut = LARGE.rfind(b"\n") + 1
        if size < BLOCK or not cut or self._was_emptied():
            return None
        self.at_end = False
        del LARGE[cut:]
        block = Block(self, self.read_to, LARGE)
        return self._block(block, block.mark.last)

    def line_at(self, start: int) -> bytes | None:
        size = 1 << 14
        while (end := (data := self._bytes(size, start)).find(b"\n")) < 0:
            if len(data) < size or size > LINE_LIMIT:
                return None
            size *= 4
        return data[:end]

    def acknowledge(self, mark: Mark) -> None:
        self.acknowledged, self.moved_at = mark.end, time.monotonic()
        self._tail = fingerprint(mark.last)

    def file_id(self) -> str:
        if self._id is None:  # asked for when a first line is there
            self._id = file_id(self._bytes(FIRST_LINE_LIMIT, 0).split(b"\n", 1)[0])
        return self._id

    def copy(self, start: int, length: int, to: int) -> None:
        end = start + length
        while start < end:
            data = self._bytes(min(BLOCK, end - start), start)
            if not data:
                return  # it was emptied meanwhile
            os.write(to, data)
            start += len(data)

    def changed_at(self) -> float:
        return os.fstat(self.descriptor).st_mtime

    def ahead(self, block: Block) -> Iterator[bytes]:
        at = block.start
        while data := self._bytes(BLOCK, at):
            yield data
            at += len(data)

    def behind(self, block: Block) -> Iterator[Block]:
        return pieces(self, block.start, self.ahead(Block(self, 0, b"")))

    def checkpoint(self) -> Checkpoint:
        """This file's line in the registry."""
        return Checkpoint(
            str(self.path), self.device, self.inode, self.head, self._tail, self.acknowledged, time.time()
        )

    @property
    def size(self) -> int:
        return os.lseek(self.descriptor, 0, os.SEEK_END)  # nobody reads from where the descriptor stands

    def backlog(self, size: int) -> int:
        """Bytes that are not indexed yet, of a file that has this size."""
        return max(0, size - self.acknowledged)

    @property
    def is_safe(self) -> bool:
        """Whether all that is there was read and is acknowledged."""
        return self.acknowledged == self.read_to and self.size <= self.read_to

    def close(self) -> None:
        os.close(self.descriptor)

    def _bytes(self, length: int, offset: int) -> bytes:
        return os.pread(self.descriptor, length, offset)

    def _whole(self, data: bytes, size: int) -> int:
        """How much of what was read is whole lines, and in a multiline file whole records; 0 of a part of one."""
        cut = data.rfind(b"\n") + 1
        if not self.multiline:
            return cut
        return whole_records(data[:cut]) or (cut if len(data) == size >= BLOCK else 0)

    def _was_emptied(self) -> bool:
        """Whether the bytes that were read last are there no more: then all that is there now is new."""
        if self._bytes(len(self._last), self.read_to - len(self._last)) != self._last:
            return True
        return self.read_to > 0 and not self.head.fits(self._bytes(self.head.length, 0))

    def _rest_too(self, data: bytes, cut: int, *, to_the_end: bool) -> int:
        """Where to cut when the file ends in half a line: behind it, if that is whole, and nobody writes on."""
        if self.final:
            return len(data)
        now, end = time.monotonic(), self.read_to + len(data)
        if self._rest is None or self._rest[0] != end:
            self._rest = (end, now)
        settled = now - self._rest[1] >= SETTLED_S
        return len(data) if (to_the_end or settled) and (self.multiline or _is_whole(data[cut:])) else cut

    def _beyond_limit(self) -> Block | None:
        """Look for the end of a line that is too long: a newline, or where the next record begins."""
        at = max(self._searched, self.read_to + 1)
        overlap = len(LINE_START) - 1
        while data := self._bytes(BLOCK, at):
            ends = [found + extra for mark, extra in ((b"\n", 1), (LINE_START, 0)) if (found := data.find(mark)) >= 0]
            if ends or (self.final and len(data) < BLOCK):
                end = at + (min(ends) if ends else len(data))
                self._searched = 0
                before = max(self.read_to, end - TAIL_LIMIT)
                return self._block(
                    Block(self, self.read_to, b"", end - self.read_to), self._bytes(end - before, before)
                )
            if len(data) <= overlap:
                break
            at += len(data) - overlap
        self._searched = at
        return None

    def _block(self, block: Block, last: bytes) -> Block:
        self.read_to, self._last, self._rest = block.end, last, None
        if self.head.length < HEAD_LIMIT:
            self.head = fingerprint(self._bytes(min(HEAD_LIMIT, self.read_to), 0))
        return block


class Stream:
    """Standard input, or any other descriptor that can only be read onwards. It keeps no position."""

    rereadable = False

    def __init__(self, descriptor: int, name: str = STDIN, *, multiline: bool = False) -> None:
        self.path = Path(name)
        self._multiline = multiline
        self.descriptor = descriptor
        self.ended = False
        self._start = 0
        self._rest = b""
        self._id: str | None = None

    def read(self) -> Block | None:
        """Wait for the next whole lines. None when only a part of a line came; `ended` tells of the end."""
        data = os.read(self.descriptor, BLOCK)
        self.ended = not data
        data = self._rest + data
        cut = len(data) if self.ended else data.rfind(b"\n") + 1
        if self._multiline and not self.ended and select.select([self.descriptor], [], [], MORE_S)[0]:
            cut = whole_records(data[:cut]) or cut
        if not cut and len(data) > LINE_LIMIT:
            cut = len(data)  # a line that is too long is refused in pieces
        self._rest = data[cut:]
        if not cut:
            return None
        if self._id is None:
            self._id = file_id(data[:FIRST_LINE_LIMIT].split(b"\n", 1)[0])
        block = Block(self, self._start, data[:cut])
        self._start += cut
        return block

    def acknowledge(self, mark: Mark) -> None:
        """There is nothing to keep."""

    def file_id(self) -> str:
        return self._id or ""

    def line_at(self, start: int) -> bytes | None:
        """What was read of a stream is never read again."""
        raise NotImplementedError

    def copy(self, start: int, length: int, to: int) -> None:
        """What was read of a stream is never read again: its blocks hold all there is."""
        raise NotImplementedError

    def changed_at(self) -> float:
        return time.time()

    def ahead(self, block: Block) -> Iterator[bytes]:
        yield bytes(block.data)

    def behind(self, block: Block) -> Iterator[Block]:  # noqa: ARG002
        return iter(())


def pieces(source: Source, end: int, data: Iterator[bytes]) -> Iterator[Block]:
    """What comes from the start of a source up to `end`, in blocks of whole records."""
    start, rest = 0, b""
    for piece in data:
        held = (rest + piece)[: end - start]
        last = start + len(held) >= end
        cut = len(held) if last else whole_records(held[: held.rfind(b"\n") + 1])
        if cut:
            yield Block(source, start, held[:cut])
        if last:
            return
        start, rest = start + cut, held[cut:]


def _is_whole(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
