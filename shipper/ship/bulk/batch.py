"""Collects what readers return: documents to send, dead letters to keep, and how far each file is safe then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from ...records import Record, encode
from ...settings import Settings
from ..reader.document import Document, Place, document
from ..reader.items import Buffer, DeadLetter, FramedLines, Item, Parsed
from ..source.tail import Block, Mark, Source

BODY_LIMIT = 2_000_000  # bytes of one request; a request costs 0.4 ms of CPU besides its documents, so few large ones
COUNT_LIMIT = 10_000  # documents of one request


class BulkRequest(Protocol):
    """What goes into one request."""

    @property
    def count(self) -> int:
        """How many documents it holds."""

    @property
    def records(self) -> int:
        """How many of them are lines of files."""

    def body(self) -> Buffer:
        """The `_bulk` request's body."""

    def items(self) -> Iterable[Item]:
        """Its documents one by one, in the body's order. Needed only when something was refused."""


@dataclass(slots=True)
class Batch:
    """What is sent at once.

    `framed` are lines that are ready to be sent; `others` are the documents that had to be looked at one by one.
    `marks` says how far each source is safe when the whole batch is. `size` is in bytes, `read` counts those of
    the files.
    """

    settings: Settings
    framed: list[FramedLines] = field(default_factory=list)
    others: list[Item] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    marks: dict[Source, Mark] = field(default_factory=dict)
    size: int = 0
    read: int = 0

    @property
    def full(self) -> bool:
        return self.size >= BODY_LIMIT or self.count >= COUNT_LIMIT

    @property
    def count(self) -> int:
        return sum(one.count for one in self.framed) + len(self.others)

    @property
    def records(self) -> int:
        return sum(one.count for one in self.framed) + sum(item.document.is_record for item in self.others)

    @property
    def newest(self) -> datetime | None:
        """The time of its last record."""
        if self.framed:
            return self.framed[-1].newest
        return self.others[-1].document.moment if self.others else None

    def __bool__(self) -> bool:
        return bool(self.framed or self.others or self.dead_letters or self.marks)

    def add(self, block: Block, parsed: Parsed) -> None:
        """Collect what a block holds. Once the batch is safe, so is all up to the end of the block."""
        self.marks[block.source] = block.mark
        self.read += block.end - block.start
        self.add_parsed(parsed)

    def add_parsed(self, parsed: Parsed) -> None:
        """Collect what comes from no block."""
        self.framed += parsed.framed
        self.others += parsed.items
        self.dead_letters += parsed.dead_letters
        self.size += parsed.size

    def add_own(self, record: Record) -> None:
        """A record of the shipper's own, which stands in no file."""
        line = encode(record)[:-1]
        made, _ = document(line, Place("", "", 0), self.settings, datetime.now(UTC))
        self.others.append(Item(replace(made, is_record=False), line, "<shipper>", 0))

    def body(self) -> Buffer:
        return _body([one.body for one in self.framed], (item.document for item in self.others))

    def items(self) -> Iterator[Item]:
        for one in self.framed:
            yield from one.items()
        yield from self.others


@dataclass(frozen=True, slots=True)
class ItemsRequest:
    """Documents of a batch that are sent by themselves, as they have to be sent again."""

    documents: list[Item]

    @property
    def count(self) -> int:
        return len(self.documents)

    @property
    def records(self) -> int:
        return sum(item.document.is_record for item in self.documents)

    def body(self) -> Buffer:
        return _body([], (item.document for item in self.documents))

    def items(self) -> list[Item]:
        return self.documents


def _body(ready: list[Buffer], documents: Iterable[Document]) -> Buffer:
    """What is ready, and then the action and source of each document."""
    for one in documents:
        ready += (one.action, b"\n", one.source, b"\n")
    return ready[0] if len(ready) == 1 else b"".join(ready)
