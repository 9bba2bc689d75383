"""A rotated file that was compressed: read once, and only from where it was left when it was not compressed yet."""

from __future__ import annotations

import bz2
import contextlib
import enum
import gzip
import lzma
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...legacy.lines import whole_records
from .checkpoints import Checkpoint
from .fingerprint import FIRST_LINE_LIMIT, HEAD_LIMIT, NOTHING, TAIL_LIMIT, Fingerprint, file_id, fingerprint
from .tail import BLOCK, LINE_LIMIT, TEXT_BLOCK, Block, Mark, pieces

OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
SEAL_LENGTH = 64  # bytes
TICK_S = 0.05  # of a file system's clock, generously
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)


Version = tuple[int, int, int]
"""Inode, size and time of the last change: what tells a compressed file from one that took its place."""


_GONE: Version = (0, 0, 0)


class _End(enum.Enum):
    WHOLE = enum.auto()
    TOO_EARLY = enum.auto()


class CompressedFile:
    """A source whose positions count the bytes that come out of it.

    `emptied` turns true when another file was compressed under the same name. While somebody is still
    compressing it ends too early; then it is read on when it has grown. It is held open until it was read to its
    end: whatever becomes of its name, it is read.
    """

    at_end = False  # the end is found by reading it

    rereadable = False

    def __init__(self, path: Path, *, multiline: bool = False) -> None:
        """Raises OSError."""
        self.path = path
        self._multiline = multiline
        self._suffix = path.suffix
        self._descriptor: int | None = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        found = os.fstat(self._descriptor)
        self.device, self.inode, self.compressed_size = found.st_dev, found.st_ino, found.st_size
        self.seal = _seal(self._descriptor, found.st_size)
        self.read_to = self.acknowledged = 0
        self.emptied = self.final = self.ended = False
        self.moved_at = time.monotonic()
        self.head: Fingerprint = NOTHING
        self._tail = NOTHING
        self._stream: IO[bytes] | None = None
        self._rest = b""  # what was taken from the stream beyond the last line's end
        self._tried: Version | None = None  # which ended too early
        self._read_whole: Version | None = None  # which was read to its end
        self._surely_another_at = 0.0
        self._id: str | None = None

    def begin(self) -> bytes:
        """The first bytes that come out, which are its head. None while somebody is only making it."""
        try:
            with self._open() as stream:
                begins = stream.read(HEAD_LIMIT)
        except _BROKEN:
            return b""
        self.head = fingerprint(begins)
        return begins

    def is_continued_by(self, entry: Checkpoint) -> bool:
        """Whether an entry speaks of what is in here: one pass up to its position."""
        try:
            with self._open() as stream:
                head = stream.read(entry.head.length)
                if not entry.head.fits(head) or entry.position == 0:
                    return False
                last, at = head, len(head)
                if entry.position < at:
                    last, at = head[: entry.position], entry.position
                while at < entry.position:
                    data = stream.read(min(BLOCK, entry.position - at))
                    if not data:
                        return False
                    last, at = (last + data)[-TAIL_LIMIT:], at + len(data)
                return entry.tail.fits(last[len(last) - entry.tail.length :] if entry.tail.length else b"")
        except _BROKEN:
            return False

    def continue_at(self, entry: Checkpoint) -> None:
        self.read_to = self.acknowledged = entry.position
        self._tail = entry.tail
        if entry.whole is not None:
            self._was_read(self._version())

    def read(self, *, to_the_end: bool = False) -> Block | None:  # noqa: ARG002 - it always is
        """The next whole lines; at the end of the file the rest, whatever it is."""
        version = self._version()  # before it is read: what is written meanwhile makes another
        if self.ended or self._tried == version:
            self.emptied = self._read_whole not in (None, version, _GONE) or self._was_overwritten()
            return None
        if self._stream is None:
            self._stream, self._rest = self._open(), b""
            self._skip(self._stream)
        data, how = self._next(self._stream)
        cut = len(data) if how is _End.WHOLE or len(data) >= LINE_LIMIT else data.rfind(b"\n") + 1
        if self._multiline and how is not _End.WHOLE:
            cut = whole_records(data[:cut]) or cut
        self._rest = data[cut:]
        if how is _End.TOO_EARLY:
            self._tried = version  # when this has changed there may be more
            self._close_stream()
        if how is _End.WHOLE:
            self._was_read(version)
        if not cut:
            return None
        block = Block(self, self.read_to, data[:cut])
        self.read_to = block.end
        return block

    def _was_read(self, version: Version) -> None:
        """All of it, and nothing will come but from another file in its place."""
        self.compressed_size, self._read_whole = version[1], version
        if self._descriptor is not None:
            self.seal = _seal(self._descriptor, self.compressed_size)
        self._surely_another_at = version[2] / 1e9 + TICK_S
        self._end()

    def _was_overwritten(self) -> bool:
        """Whether others than were read stand there, though size and time are the same: the clock of a file system
        ticks some hundred times a second, and what is written within one tick has one time.
        """
        if not self.ended or time.time() > self._surely_another_at:
            return False
        return not self.is_continued_by(self.checkpoint())

    def _skip(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(*_BROKEN):  # the next read says so
            stream.seek(self.read_to)

    def _next(self, stream: IO[bytes]) -> tuple[bytes, _End | None]:
        """Bytes with at least one line's end among them, and whether these are the last, or the last for now."""
        data = self._rest
        while len(data) < LINE_LIMIT:
            try:
                more = stream.read1(TEXT_BLOCK if self._multiline else BLOCK)  # type: ignore[attr-defined]
            except _BROKEN:
                return data, _End.TOO_EARLY
            data += more
            if not more:
                return data, _End.WHOLE
            if b"\n" in more and (not self._multiline or len(data) >= BLOCK or whole_records(data)):
                break
        return data, None

    def acknowledge(self, mark: Mark) -> None:
        self.acknowledged, self.moved_at = mark.end, time.monotonic()
        self._tail = fingerprint(mark.last)

    def file_id(self) -> str:
        if self._id is None:
            with contextlib.suppress(*_BROKEN), self._open() as stream:  # it may be gone by now, or another's
                self._id = file_id(stream.read(FIRST_LINE_LIMIT).split(b"\n", 1)[0])
        return self._id or ""

    def line_at(self, start: int) -> bytes | None:
        """To find it, all before it would be decompressed again."""
        raise NotImplementedError

    def copy(self, start: int, length: int, to: int) -> None:
        """Its blocks hold all there is."""
        raise NotImplementedError

    def changed_at(self) -> float:
        return self._version()[2] / 1e9

    def ahead(self, block: Block) -> Iterator[bytes]:
        try:
            with self._open() as stream:
                stream.seek(block.start)
                while data := stream.read(BLOCK):
                    yield data
        except _BROKEN:
            return  # the block that is broken says so

    def behind(self, block: Block) -> Iterator[Block]:
        return pieces(self, block.start, self.ahead(Block(self, 0, b"")))

    def checkpoint(self) -> Checkpoint:
        whole = self.seal if self.ended and self.acknowledged == self.read_to else None
        return Checkpoint(
            str(self.path), self.device, self.inode, self.head, self._tail, self.acknowledged, time.time(), whole
        )

    @property
    def size(self) -> int:
        return self._version()[1] or self.compressed_size

    def backlog(self, size: int) -> int:
        """Bytes that are not indexed yet, as far as one can know before reading them."""
        return self.read_to - self.acknowledged if self.ended else size

    @property
    def is_safe(self) -> bool:
        return self.acknowledged == self.read_to and (self.ended or self._tried is not None)

    def close(self) -> None:
        self._end()

    def _end(self) -> None:
        self._close_stream()
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor, self.ended = None, True

    def _version(self) -> Version:
        try:
            found = os.fstat(self._descriptor) if self._descriptor is not None else self.path.stat()
        except OSError:
            return _GONE
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _open(self) -> IO[bytes]:
        """The bytes that come out. By the descriptor, so that it does not matter what became of the name."""
        where = self.path if self._descriptor is None else f"/proc/self/fd/{self._descriptor}"
        return OPENERS[self._suffix](where, "rb")  # type: ignore[operator, no-any-return]

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _seal(descriptor: int, size: int) -> int:
    """What tells a compressed file from another in its place: its size, and a check of its last bytes.

    Among them is, in all three formats, a check of the content: files of one size that hold other lines differ.
    """
    return size << 32 | zlib.crc32(os.pread(descriptor, SEAL_LENGTH, max(0, size - SEAL_LENGTH)))


def is_compressed(path: Path) -> bool:
    return path.suffix in OPENERS
