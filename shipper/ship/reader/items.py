"""What a reader makes of a block: documents, and lines that can be none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from ..counting.tally import NativeTally
from ..source.tail import LINE_LIMIT, Block, Source, name_of
from .document import Document, NotShippable

if TYPE_CHECKING:
    from .framing import Body

LINE = re.compile(rb"[^\n]+")  # found one by one, nothing but the line at hand is copied

Buffer: TypeAlias = "bytes | Body"
"""Bytes to be sent."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A line that was refused. `path` and `offset` say where it stood; `status` is Elasticsearch's, if it was asked.

    `file_id` tells files of a host apart: it goes into the ids of lines that have none. `too_long` is the
    block that the line is to be copied from, where it is too long to be held. `foreign`: the file may not hold records
    of ours. `written_at`: of a line of a text log, when it was written.
    """

    reason: str
    line: bytes
    path: str
    offset: int
    status: int | None = None
    file_id: str = ""
    too_long: Block | None = None
    foreign: bool = False
    written_at: datetime | None = None


@dataclass(slots=True)  # frozen, it would take three times as long to make one
class Item:
    """A document and the line it came from."""

    document: Document
    line: bytes
    path: str
    offset: int
    file_id: str = ""
    foreign: bool = False
    written_at: datetime | None = None

    def refused(self, reason: str, status: int | None) -> DeadLetter:
        """The dead letter that this becomes when Elasticsearch will not have it."""
        return DeadLetter(
            reason,
            self.line,
            self.path,
            self.offset,
            status,
            self.file_id,
            foreign=self.foreign,
            written_at=self.written_at,
        )


@dataclass(frozen=True, slots=True)
class FramedLines:
    """Lines of a source whose action and source stand in `body` as they are sent.

    `places` says where each line begins, from `start` on. `verbatim`: each document is its line.
    Where it is not, the lines are in `data`, or can be read again. `tally`: what they add to the counters.
    """

    source: Source
    start: int
    body: Body
    places: memoryview
    verbatim: bool
    data: bytes | None
    newest: datetime | None
    foreign: bool
    tally: NativeTally | None = None

    @property
    def count(self) -> int:
        return len(self.places)

    def items(self) -> Iterator[Item]:
        """The lines one by one. Needed only when Elasticsearch has something against one of them."""
        path, file_id = name_of(self.source), self.source.file_id()
        parts = (found[0] for found in LINE.finditer(self.body))
        for place, action, source in zip(self.places, parts, parts, strict=True):
            line = source if self.verbatim else self._line(place)
            if line is None:
                line = source  # the file was emptied: what was sent is what is left of it
            yield Item(Document(action, source), line, path, self.start + place, file_id, self.foreign)

    def _line(self, place: int) -> bytes | None:
        if self.data is not None:
            return self.data[place : self.data.index(b"\n", place)]
        return self.source.line_at(self.start + place)


@dataclass(slots=True)
class Parsed:
    """What a block holds. `size` is in bytes, about what is sent of it."""

    framed: list[FramedLines] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    dead_letters: list[DeadLetter] = field(default_factory=list)
    size: int = 0

    def add(self, other: Parsed) -> None:
        """Add what another block holds."""
        self.framed += other.framed
        self.items += other.items
        self.dead_letters += other.dead_letters
        self.size += other.size


def too_long(block: Block) -> Parsed:
    """A block that stands for a line that is too long to be held."""
    reason = f"a line of {block.too_long} bytes; more than {LINE_LIMIT} are no record"
    return Parsed(dead_letters=[DeadLetter(reason, b"", name_of(block.source), block.start, too_long=block)])


def rejection_reason(odd: Exception) -> str:
    """The reason on a line's dead letter."""
    return str(odd) if isinstance(odd, NotShippable) else f"it cannot be taken in: {type(odd).__name__}: {odd}"
