"""Reads a file or stream from its last position on, in blocks of whole lines."""

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

from ...legacy.multiline import whole_records
from ...records import LINE_START
from .checkpoints import Checkpoint
from .envelopes import is_envelope, whole
from .fingerprint import FIRST_LINE_LIMIT, HEAD_LIMIT, NOTHING, TAIL_LIMIT, file_id, fingerprint

BLOCK = 1 << 21  # bytes of one read, enough for one request: joining blocks would copy them
TEXT_BLOCK = 1 << 14  # for text logs: a line of two bytes becomes a document of some hundred
LINE_LIMIT = 1 << 24  # bytes; a longer line becomes a dead letter without being parsed
MORE_S = 0.25  # how long a stream's last line waits for continuation lines
SETTLED_S = 5.0  # after this, a last line without a newline is read if it is a whole record


STDIN = "<stdin>"


LARGE = bytearray()
"""The data of a large block, until the next is read.

Megabytes that come and go by ever other sizes leave holes in malloc's memory, and the process held twice as much."""


class Source(Protocol):
    """A file or stream that lines are read from."""

    path: Path

    def acknowledge(self, mark: Mark) -> None:
        """Note that all lines up to the mark are indexed or dead letters."""

    def file_id(self) -> str:
        """Identifies this source among those of the host: a hash of its first line."""

    rereadable: bool
    """Whether `line_at` can be asked."""

    def line_at(self, start: int) -> bytes | None:
        """The line that was read there, without its newline. None if it is there no more."""

    def copy(self, start: int, length: int, to: int) -> None:
        """Copy these bytes of the source to another descriptor, without reading all of them into memory."""

    def changed_at(self) -> float:
        """The time of the last write, a Unix time."""

    def ahead(self, block: Block) -> Iterator[bytes]:
        """The bytes from this block's start to the current end, in pieces."""

    def behind(self, block: Block) -> Iterator[Block]:
        """The bytes before this block, in blocks of whole records."""


def name_of(source: Source) -> str:
    """The path of a source as text: bytes that are not UTF-8 are shown as \\xff."""
    return os.fsencode(source.path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Mark:
    """A position between two lines: `end`, and the `last` bytes before it."""

    end: int
    last: bytes


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines with their newlines, read at the offset `start` of `source`.

    The last line may lack its newline if no more will be written. If `too_long` is not 0, `data` is empty, and the
    block stands for one line of that length, which is over LINE_LIMIT.
    `data` is valid until the next block is read: what is kept of it is copied.
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
    """A file that is kept open, so that it is read on even if it is renamed.

    `read_to`: the offset up to which it was read. `acknowledged`: the offset up to which all lines are safe.
    `emptied`: it was truncated (copytruncate); a new TailedFile has to read it from its start.
    `final`: no more will be written, so an incomplete last line is read, too.
    `at_end`: the last read reached the end of the file.
    `quiet`: it was not modified since the last read, which found nothing new.
    `multiline`: a record may have several lines; they stay in one block, so the last record waits for continuation
    lines.
    """

    rereadable = True

    def __init__(self, path: Path, descriptor: int, *, multiline: bool = False) -> None:
        self.path = path
        self.multiline = multiline
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self.device, self.inode = status.st_dev, status.st_ino
        self.head = fingerprint(self._bytes(HEAD_LIMIT, 0))
        self.read_to = self.acknowledged = 0
        self.emptied = self.final = False
        self.at_end = False
        self.quiet = False
        self.moved_at = time.monotonic()
        self._id: str | None = None
        self._last = b""  # the bytes before read_to, to notice if they are replaced
        self._tail = NOTHING  # fingerprint of the bytes before `acknowledged`
        self._changed_at: int | None = None  # mtime at the last read that found nothing new
        self._searched = 0  # offset up to which the end of a too long line was searched
        self._pieces_since: float | None = None  # the file goes on with a line of which pieces are missing
        self._rest: tuple[int, float] | None = None  # size of the file, and since when it ends in an incomplete line

    def continue_at(self, entry: Checkpoint) -> None:
        """Continue at the position of a checkpoint."""
        self.read_to = self.acknowledged = entry.position
        self._tail = entry.tail
        self._last = self._bytes(min(TAIL_LIMIT, entry.position), max(0, entry.position - TAIL_LIMIT))

    def read(self, *, to_the_end: bool = False) -> Block | None:
        """The next whole lines, or None if there are none yet.

        `to_the_end`: also read a last line without a newline, if it is a whole JSON object.
        """
        status = os.fstat(self.descriptor)
        self.quiet = status.st_size == self.read_to and status.st_mtime_ns == self._changed_at
        if self.quiet:
            return None
        if not self.multiline and status.st_size - self.read_to >= BLOCK and (block := self._large()) is not None:
            return block
        # No more than is there: the room for a whole block is not free, and a file may have one new line.
        size = TEXT_BLOCK if self.multiline else min(BLOCK, max(0, status.st_size - self.read_to) + TEXT_BLOCK)
        while True:
            data = self._bytes(size, self.read_to)
            if self._was_emptied():  # checked after reading: data read before a truncation is valid
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
            self._changed_at = status.st_mtime_ns
            return None
        lines = BytesIO(data)
        del data  # as the only owner, BytesIO truncates it in place; a slice would copy, a tenth of a record's cost
        lines.truncate(cut)
        block = Block(self, self.read_to, lines.getvalue())
        return self._block(block, block.mark.last)

    def _large(self) -> Block | None:
        """A block as large as one may be, in the memory of the one before. None if it has to be looked at closely."""
        del LARGE[BLOCK:]
        LARGE.extend(bytes(BLOCK - len(LARGE)))
        size = os.preadv(self.descriptor, [LARGE], self.read_to)
        cut = LARGE.rfind(b"\n") + 1
        if size < BLOCK or not cut or self._was_emptied() or is_envelope(bytes(LARGE[:64])):
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
        if self._id is None:  # called when there is a first line
            first = self._bytes(HEAD_LIMIT, 0)
            if b"\n" not in first:
                first = self._bytes(FIRST_LINE_LIMIT, 0)
            self._id = file_id(first.split(b"\n", 1)[0])
        return self._id

    def copy(self, start: int, length: int, to: int) -> None:
        end = start + length
        while start < end:
            data = self._bytes(min(BLOCK, end - start), start)
            if not data:
                return  # it was truncated meanwhile
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
        """The position for the registry."""
        return Checkpoint(
            str(self.path), self.device, self.inode, self.head, self._tail, self.acknowledged, time.time()
        )

    @property
    def size(self) -> int:
        return os.lseek(self.descriptor, 0, os.SEEK_END)  # all reads are pread(), so the offset does not matter

    def backlog(self, size: int) -> int:
        """Bytes that are not acknowledged, if the file has this size."""
        return max(0, size - self.acknowledged)

    @property
    def is_safe(self) -> bool:
        """Whether the whole file was read and is acknowledged."""
        return self.acknowledged == self.read_to and self.size <= self.read_to

    def close(self) -> None:
        os.close(self.descriptor)

    def _bytes(self, length: int, offset: int) -> bytes:
        return os.pread(self.descriptor, length, offset)

    def _whole(self, data: bytes, size: int) -> int:
        """The length of the whole lines in `data`, of whole records in a multiline file."""
        cut = data.rfind(b"\n") + 1
        if not self.multiline:
            return self._with_all_pieces(data, cut, size)
        return whole_records(data[:cut]) or (cut if len(data) == size >= BLOCK else 0)

    def _with_all_pieces(self, data: bytes, cut: int, size: int) -> int:
        """The length of the lines in `data` that are whole, also if a container engine wrote them in pieces."""
        if not is_envelope(data[:64]):
            return cut
        if length := whole(data[:cut]):
            self._pieces_since = None
            return length
        # The rest of the first line may never come: its container was killed. Lines of the other stream do not wait.
        now = time.monotonic()
        self._pieces_since = self._pieces_since or now
        return cut if self.final or now - self._pieces_since >= SETTLED_S or len(data) == size >= LINE_LIMIT else 0

    def _was_emptied(self) -> bool:
        """Whether the bytes that were read have been replaced, so that the whole content is new."""
        if self._bytes(len(self._last), self.read_to - len(self._last)) != self._last:
            return True
        return self.read_to > 0 and not self.head.fits(self._bytes(self.head.length, 0))

    def _rest_too(self, data: bytes, cut: int, *, to_the_end: bool) -> int:
        """The length to read if the file ends without a newline: all, if the last line is whole and settled."""
        if self.final:
            return len(data)
        now, end = time.monotonic(), self.read_to + len(data)
        if self._rest is None or self._rest[0] != end:
            self._rest = (end, now)
        settled = now - self._rest[1] >= SETTLED_S
        return len(data) if (to_the_end or settled) and (self.multiline or _is_whole(data[cut:])) else cut

    def _beyond_limit(self) -> Block | None:
        """A block for a too long line, which ends at a newline or the start of a record. None if it has no end yet."""
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


class ReadOnce:
    """A source whose lines are not looked up again by their place. Its blocks contain all bytes of too long lines."""

    rereadable = False

    def line_at(self, start: int) -> bytes | None:
        raise NotImplementedError

    def copy(self, start: int, length: int, to: int) -> None:
        raise NotImplementedError


class Stream(ReadOnce):
    """Standard input, or another descriptor that cannot seek. Keeps no position."""

    def __init__(self, descriptor: int, name: str = STDIN, *, multiline: bool = False) -> None:
        self.path = Path(name)
        self._multiline = multiline
        self.descriptor = descriptor
        self.ended = False
        self._start = 0
        self._rest = b""
        self._id: str | None = None

    def read(self) -> Block | None:
        """Block until there are bytes, and return whole lines, or None. `ended` is set at the end of the stream."""
        data = os.read(self.descriptor, BLOCK)
        self.ended = not data
        data = self._rest + data
        cut = len(data) if self.ended else data.rfind(b"\n") + 1
        if is_envelope(data[:64]) and not self.ended:
            cut = whole(data[:cut])
        if self._multiline and not self.ended and select.select([self.descriptor], [], [], MORE_S)[0]:
            cut = whole_records(data[:cut]) or cut
        if not cut and len(data) > LINE_LIMIT:
            cut = len(data)  # a too long line becomes several dead letters
        self._rest = data[cut:]
        if not cut:
            return None
        if self._id is None:
            self._id = file_id(data[:FIRST_LINE_LIMIT].split(b"\n", 1)[0])
        block = Block(self, self._start, data[:cut])
        self._start += cut
        return block

    def acknowledge(self, mark: Mark) -> None:
        """Does nothing: a stream has no position to keep."""

    def file_id(self) -> str:
        return self._id or ""

    def changed_at(self) -> float:
        return time.time()

    def ahead(self, block: Block) -> Iterator[bytes]:
        yield bytes(block.data)

    def behind(self, block: Block) -> Iterator[Block]:  # noqa: ARG002
        return iter(())


def pieces(source: Source, end: int, data: Iterator[bytes]) -> Iterator[Block]:
    """The bytes from a source's start up to `end`, in blocks of whole records."""
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
