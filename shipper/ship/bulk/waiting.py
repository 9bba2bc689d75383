"""Stores documents whose index takes none now, so that those of other indices go on.

Each index has a file in the folder `waiting` of the state folder, with documents as they are sent: a line with the
action, a line with the source. They are sent from the end of the file, which is then cut: their order does not matter,
as ids and versions decide. Sending a document twice is harmless for the same reason.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import orjson

from ..reader.document import Document
from ..reader.items import Item
from ..source.checkpoints import make_folder, sync_folder
from .backoff import LogThrottle

log = logging.getLogger("shipper")

SIZE_LIMIT = 1 << 30  # bytes of all files
CHUNK = 2_000_000  # bytes of documents that are sent at once


@dataclass(frozen=True, slots=True)
class Blocked:
    """A document whose index takes none now, and what Elasticsearch says of it."""

    item: Item
    index: str
    reason: str


class Waiting:
    """The stored documents, at most SIZE_LIMIT bytes of them. Files are mode 0600."""

    def __init__(self, folder: Path) -> None:
        """Raises StateError if the folder cannot be used."""
        self._folder = folder / "waiting"
        make_folder(self._folder)
        for path in self._files():
            os.truncate(path, _whole_documents(path))
        self._size = sum(path.stat().st_size for path in self._files())
        self._throttle = LogThrottle()

    @property
    def size(self) -> int:
        """Bytes of all that waits."""
        return self._size

    def append(self, blocked: Sequence[Blocked]) -> bool:
        """Store documents, durably. False if there is no room for them.

        Raises OSError. Those of some indices may be stored then.
        """
        size = sum(_size(one.item.document) for one in blocked)
        if self._size + size > SIZE_LIMIT:
            return False
        by_index: dict[str, list[Blocked]] = {}
        for one in blocked:
            by_index.setdefault(one.index, []).append(one)
        for index, those in by_index.items():
            self._size += _append(self._path(index), [one.item.document for one in those])
        if self._throttle.due():
            names = ", ".join(sorted(by_index))
            log.warning(
                "%s takes no documents (%s). Those of it wait in %s (%d bytes) and are tried again; others go on.",
                names,
                blocked[0].reason,
                self._folder,
                self._size,
                extra={"event.action": "index-blocked"},
            )
        return True

    def indices(self) -> list[str]:
        """The indices that documents are stored of."""
        return [unquote(path.name) for path in self._files()]

    def last(self, index: str) -> list[Item]:
        """The last documents of an index, about CHUNK bytes; [] if there are none."""
        path = self._path(index)
        if not path.exists():
            return []
        length = CHUNK
        while True:
            lines, is_all = _last_lines(path, length)
            if len(lines) >= 2 or is_all:
                break
            length *= 4  # a document larger than that
        pairs = iter(lines[len(lines) % 2 :])
        return [_item(path, action, source) for action, source in zip(pairs, pairs, strict=True)]

    def remove_last(self, index: str, items: Sequence[Item]) -> None:
        """Remove these last documents of an index. Raises OSError."""
        path, size = self._path(index), sum(_size(one.document) for one in items)
        rest = path.stat().st_size - size
        if rest:
            os.truncate(path, rest)
        else:
            path.unlink()
        self._size -= size

    def _path(self, index: str) -> Path:
        return self._folder / quote(index, safe="")

    def _files(self) -> list[Path]:
        return sorted(self._folder.iterdir())


def _last_lines(path: Path, length: int) -> tuple[list[bytes], bool]:
    """The whole lines in a file's last `length` bytes, and whether these are all of the file."""
    with path.open("rb") as file:
        start = max(0, path.stat().st_size - length)
        file.seek(start)
        lines = file.read().split(b"\n")[:-1]
    return lines[start > 0 :], start == 0  # the first one may have begun before


def _append(path: Path, documents: Iterable[Document]) -> int:
    """Append documents to a file, and return their size. If that fails the file is as it was. Raises OSError."""
    data = b"".join(b"%b\n%b\n" % (one.action, one.source) for one in documents)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as out:
        before = os.fstat(descriptor).st_size
        try:
            if out.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(descriptor)
            if not before:
                sync_folder(path.parent)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    return len(data)


def _whole_documents(path: Path) -> int:
    """The length of the whole documents in a file: the power may have been cut while one was appended."""
    whole = at = 0
    with path.open("rb") as lines:
        for action, source in zip(lines, lines, strict=False):
            at += len(action) + len(source)
            if source.endswith(b"\n"):
                whole = at
    return whole


def _item(path: Path, action: bytes, source: bytes) -> Item:
    document = Document(action, source, is_record=action.startswith(b'{"create"'))
    return Item(document, source, str(path), 0)


def _size(document: Document) -> int:
    return len(document.action) + len(document.source) + 2


def index_of(document: Document) -> str:
    """The index that a document goes to; "" of an action that names none."""
    for target in orjson.loads(document.action).values():
        return str(target.get("_index", ""))
    return ""
