"""Reads text files in UTF-16, as PowerShell's redirection writes them, as UTF-8."""

from __future__ import annotations

import codecs
import io
from pathlib import Path

from ...opening import open_regular

_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BLOCK = 1 << 16


def is_utf16(path: Path) -> bool:
    """Whether the file begins with a byte order mark of UTF-16. False if it cannot be read."""
    try:
        with open(open_regular(path), "rb") as file:
            return file.read(len(_MARKS[0])) in _MARKS
    except OSError:
        return False


def open_utf16(where: str | Path, mode: str) -> io.BufferedReader:  # noqa: ARG001 - as gzip.open is called
    """The file's content as a stream of UTF-8. Code units that are none become U+FFFD. Raises OSError."""
    return io.BufferedReader(_Transcoded(where))  # type: ignore[arg-type]


class _Transcoded(io.RawIOBase):
    """A stream that can only be read from its start on: seeking decodes all before the offset again."""

    def __init__(self, where: str | Path) -> None:
        self._file = open(where, "rb")  # noqa: SIM115 - closed with this stream
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        self._ready, self._ended, self._at = b"", False, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while not self._ready and not self._ended:
            data = self._file.read(_BLOCK)
            self._ended = not data
            self._ready = self._decoder.decode(data, self._ended).encode("utf-8", "replace")
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        self._at += size
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation
        if offset < self._at:
            self._rewind()
        while self._at < offset and self.read(min(_BLOCK, offset - self._at)):
            pass
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        self._file.close()
        super().close()

    def _rewind(self) -> None:
        self._file.seek(0)
        self._decoder = codecs.getincrementaldecoder("utf-16")("replace")
        self._ready, self._ended, self._at = b"", False, 0
