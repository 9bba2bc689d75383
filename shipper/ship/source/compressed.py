"""Reads a compressed rotated file once, from the position that was reached before it was compressed.

Text files in UTF-16 are read in the same way: their positions count bytes of UTF-8.
"""

from __future__ import annotations

import bz2
import contextlib
import enum
import gzip
import logging
import lzma
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ...legacy.multiline import whole_records
from ...opening import open_regular
from .. import pulse
from .checkpoints import Checkpoint
from .encoded import open_utf16
from .fingerprint import FIRST_LINE_LIMIT, HEAD_LIMIT, NOTHING, TAIL_LIMIT, Fingerprint, file_id, fingerprint
from .tail import BLOCK, LINE_LIMIT, TEXT_BLOCK, Block, Mark, ReadOnce, pieces

UTF16 = "UTF-16"
OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, UTF16: open_utf16}
SEAL_LENGTH = 64  # bytes
TICK_S = 0.05  # upper bound of a file system's timestamp granularity
_BROKEN = (EOFError, OSError, zlib.error, lzma.LZMAError)


Version = tuple[int, int, int]
"""(inode, size, mtime in ns): distinguishes a compressed file from one that replaced it."""


_GONE: Version = (0, 0, 0)


log = logging.getLogger("shipper")

EXPANDED_MIN = 1 << 26  # bytes that any compressed file may become
EXPANDED_RATIO = 200  # and by how much it may grow: logs compress to a tenth or a hundredth


class _End(enum.Enum):
    WHOLE = enum.auto()
    TOO_EARLY = enum.auto()


class CompressedFile(ReadOnce):
    """A source whose positions count uncompressed bytes.

    `emptied`: another file was compressed under the same name. While the file is still being compressed, it ends too
    early; reading continues when it has grown. It is kept open until its end was read, even if it is renamed.
    """

    at_end = False  # the end is found by reading it

    def __init__(self, path: Path, *, multiline: bool = False) -> None:
        """Raises OSError."""
        self.path = path
        self._multiline = multiline
        self._kind = path.suffix if is_compressed(path) else UTF16
        self._descriptor: int | None = open_regular(path)
        status = os.fstat(self._descriptor)
        self.device, self.inode, self.compressed_size = status.st_dev, status.st_ino, status.st_size
        self.seal = _seal(self._descriptor, status.st_size)
        self.read_to = self.acknowledged = 0
        self.emptied = self.final = self.ended = False
        self.moved_at = time.monotonic()
        self.head: Fingerprint = NOTHING
        self._tail = NOTHING
        self._stream: IO[bytes] | None = None
        self._rest = b""  # read from the stream, after the last newline
        self._tried: Version | None = None  # the version that ended too early
        self._read_whole: Version | None = None  # the version that was read to its end
        self._new_mtime_from = 0.0  # Unix time from which a write gets another mtime
        self._id: str | None = None

    def begin(self) -> bytes:
        """Read the first bytes, and set `head` from them. b"" if it is empty or still being created."""
        try:
            with self._open() as stream:
                first_bytes = stream.read(HEAD_LIMIT)
        except _BROKEN:
            return b""
        self.head = fingerprint(first_bytes)
        return first_bytes

    def is_continued_by(self, entry: Checkpoint) -> bool:
        """Whether the checkpoint is of this content. Decompresses up to its position."""
        try:
            with self._open() as stream:
                head = stream.read(entry.head.length)
                if not entry.head.fits(head) or entry.position == 0:
                    return False
                last, at = head, len(head)
                if entry.position < at:
                    last, at = head[: entry.position], entry.position
                while at < entry.position:
                    pulse.beat()
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

    def read(self, *, to_the_end: bool = False) -> Block | None:  # noqa: ARG002 - always read to the end
        """The next whole lines; at the end of the file also a line without a newline. None if there is nothing new."""
        version = self._version()  # before reading, so that a concurrent write gives another version
        if self.ended or self._tried == version:
            self.emptied = self._read_whole not in (None, version, _GONE) or self._was_overwritten()
            return None
        if self.read_to > max(EXPANDED_MIN, EXPANDED_RATIO * version[1]):
            self._stop_expanding(version)
            return None
        if self._stream is None:
            self._stream, self._rest = self._open(), b""
            self._skip(self._stream)
        data, end = self._next(self._stream)
        cut = len(data) if end is _End.WHOLE or len(data) >= LINE_LIMIT else data.rfind(b"\n") + 1
        if self._multiline and end is not _End.WHOLE:
            cut = whole_records(data[:cut]) or cut
        self._rest = data[cut:]
        if end is _End.TOO_EARLY:
            self._tried = version  # try again when the file has changed
            self._close_stream()
        if end is _End.WHOLE:
            self._was_read(version)
        if not cut:
            return None
        block = Block(self, self.read_to, data[:cut])
        self.read_to = block.end
        return block

    def _stop_expanding(self, version: Version) -> None:
        """Leave the rest of the file alone: whoever can put a file there must not fill the disk with what is in it."""
        self._tried = version
        self._close_stream()
        log.warning(
            "%s became %d bytes, %d times its size: that is no log. What follows stays there unread.",
            self.path,
            self.read_to,
            self.read_to // max(1, version[1]),
            extra={"event.action": "file-expands"},
        )

    def _was_read(self, version: Version) -> None:
        """Note that this version was read to its end."""
        self.compressed_size, self._read_whole = version[1], version
        if self._descriptor is not None:
            self.seal = _seal(self._descriptor, self.compressed_size)
        self._new_mtime_from = version[2] / 1e9 + TICK_S
        self._end()

    def _was_overwritten(self) -> bool:
        """Whether the content was replaced though size and mtime are the same.

        That is possible within one tick of the file system's clock, which ticks some hundred times a second.
        """
        if not self.ended or time.time() > self._new_mtime_from:
            return False
        return not self.is_continued_by(self.checkpoint())

    def _skip(self, stream: IO[bytes]) -> None:
        at = 0
        with contextlib.suppress(*_BROKEN):  # the next read fails, too, and handles it
            while at < self.read_to and (data := stream.read(min(BLOCK, self.read_to - at))):
                at += len(data)
                pulse.beat()

    def _next(self, stream: IO[bytes]) -> tuple[bytes, _End | None]:
        """(bytes with at least one newline, the kind of end that was reached or None)."""
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
            with contextlib.suppress(*_BROKEN), self._open() as stream:  # it may be deleted or replaced by now
                self._id = file_id(stream.read(FIRST_LINE_LIMIT).split(b"\n", 1)[0])
        return self._id or ""

    def changed_at(self) -> float:
        return self._version()[2] / 1e9

    def ahead(self, block: Block) -> Iterator[bytes]:
        try:
            with self._open() as stream:
                stream.seek(block.start)
                while data := stream.read(BLOCK):
                    yield data
        except _BROKEN:
            return  # reading that block reports it

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
        """Bytes that are not acknowledged; the compressed size until the file was read."""
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
            status = os.fstat(self._descriptor) if self._descriptor is not None else self.path.stat()
        except OSError:
            return _GONE
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _open(self) -> IO[bytes]:
        """A stream of the uncompressed bytes. Opened by the descriptor, so that a rename does not matter."""
        where = self.path if self._descriptor is None else f"/proc/self/fd/{self._descriptor}"
        return OPENERS[self._kind](where, "rb")  # type: ignore[operator, no-any-return]

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _seal(descriptor: int, size: int) -> int:
    """Identifies the content of a compressed file: its size, and a CRC of its last bytes.

    In all three formats the last bytes contain a checksum of the content.
    """
    return size << 32 | zlib.crc32(os.pread(descriptor, SEAL_LENGTH, max(0, size - SEAL_LENGTH)))


def is_compressed(path: Path) -> bool:
    return path.suffix in OPENERS
