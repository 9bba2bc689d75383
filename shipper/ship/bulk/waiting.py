"""Documents of an index that takes none now wait on the disk, so that those of other indices go on.

Each index has a file in the folder `waiting` of the state folder, with documents as they are sent: action, source. The
first line says why. From time to time the shipper sends what waits; what was sent is removed. Ids make a second
sending harmless. There is a limit: beyond it documents wait in their log files, and hold up those behind them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

import orjson

from ..reader.document import Document
from ..reader.items import Item
from ..source.checkpoints import make_folder
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
    """The documents that wait. Files are mode 0600."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "waiting"
        self._size = sum(path.stat().st_size for path in self._files())
        self._throttle = LogThrottle()

    def __bool__(self) -> bool:
        return self._size > 0

    @property
    def size(self) -> int:
        """Bytes of all that waits."""
        return self._size

    def append(self, blocked: Sequence[Blocked]) -> bool:
        """Keep documents; durable when it returns. False if there is no room for them. Raises OSError."""
        size = sum(len(one.item.document.action) + len(one.item.document.source) + 2 for one in blocked)
        if self._size + size > SIZE_LIMIT:
            return False
        make_folder(self._folder)
        by_index: dict[str, list[Blocked]] = {}
        for one in blocked:
            by_index.setdefault(one.index, []).append(one)
        for index, those in by_index.items():
            path = self._folder / quote(index, safe="")
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(descriptor, "ab") as out:
                for one in those:
                    out.writelines((one.item.document.action, b"\n", one.item.document.source, b"\n"))
                out.flush()
                os.fsync(out.fileno())
        self._size += size
        if self._throttle.due():
            names = ", ".join(sorted(by_index))
            log.warning(
                "%s takes no documents (%s). Those of it wait in %s (%d bytes) and are tried again; others go on.",
                names, blocked[0].reason, self._folder, self._size, extra={"event.action": "index-blocked"},
            )  # fmt: skip
        return True

    def indices(self) -> list[str]:
        """Those of which documents wait."""
        return [unquote(path.name) for path in self._files()]

    def first(self, index: str) -> list[Item]:
        """The documents that wait for an index, from the first on: as many as are sent at once."""
        items: list[Item] = []
        size = 0
        with (self._folder / quote(index, safe="")).open("rb") as lines:
            for action, source in zip(lines, lines, strict=False):
                if not source.endswith(b"\n"):
                    break  # the power was cut: the log file has it, too
                document = Document(action[:-1], source[:-1], is_record=action.startswith(b'{"create"'))
                items.append(Item(document, source[:-1], str(self._folder / index), 0))
                size += len(action) + len(source)
                if size >= CHUNK:
                    break
        return items

    def remove(self, index: str, items: Sequence[Item]) -> None:
        """The first documents of an index are done. Raises OSError."""
        path = self._folder / quote(index, safe="")
        done = sum(len(one.document.action) + len(one.document.source) + 2 for one in items)
        aside = path.with_name(f".{path.name}.new")
        with path.open("rb") as old, open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as new:
            old.seek(done)
            while data := old.read(1 << 20):
                new.write(data)
            new.flush()
            os.fsync(new.fileno())
        if aside.stat().st_size:
            aside.rename(path)
        else:
            aside.unlink()
            path.unlink()
        self._size = sum(path.stat().st_size for path in self._files())

    def _files(self) -> Iterator[Path]:
        if self._folder.is_dir():
            yield from sorted(path for path in self._folder.iterdir() if not path.name.startswith("."))


def index_of(document: Document) -> str:
    """The index that a document goes to; "" of an action that names none."""
    for target in orjson.loads(document.action).values():
        return str(target.get("_index", ""))
    return ""
