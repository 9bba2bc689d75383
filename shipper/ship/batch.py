"""Lines → a batch: documents to send, letters to keep, and how far each file is safe once both are done."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from ..records import LINE_START
from ..settings import Settings
from ..state import State
from .deadletter import Letter
from .document import Document, NotShippable, Place, document, state_document
from .tail import Block, Source

BODY_LIMIT = 5_000_000  # bytes of one request; Elastic advises a few megabytes
COUNT_LIMIT = 10_000  # documents of one request


@dataclass(frozen=True, slots=True)
class Item:
    """A document and the line it came from."""

    document: Document
    line: bytes
    path: str
    offset: int

    @property
    def size(self) -> int:
        return len(self.document.action) + len(self.document.source) + 2


@dataclass(slots=True)
class Batch:
    """What is sent at once. `marks` says how far each file is safe when the whole batch is.

    Of each job only the state with the last word is sent: `states` holds its version and item.
    """

    items: list[Item] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    marks: dict[Source, int] = field(default_factory=dict)
    states: dict[str, tuple[int, Item]] = field(default_factory=dict)
    size: int = 0

    @property
    def full(self) -> bool:
        return self.size >= BODY_LIMIT or len(self.items) >= COUNT_LIMIT

    def __bool__(self) -> bool:
        return bool(self.items or self.letters or self.marks)

    def add(self, block: Block, host: str, settings: Settings) -> None:
        """Take a block's lines in. One that can be no document becomes a dead letter, and disturbs no other."""
        source, offset = block.source, block.start
        first_line = source.first_line()
        now = datetime.now(UTC)
        for line in block.data.split(b"\n"):
            self._add_line(line, Place(host, first_line, offset), str(source.path), settings, now)
            offset += len(line) + 1
        self.marks[source] = block.start + len(block.data)

    def _add_line(self, line: bytes, place: Place, path: str, settings: Settings, now: datetime) -> None:
        """Take a line in; where records were torn and glued together, each whole one that stands in it."""
        while line.strip():
            try:
                made, state = document(line, place, settings, now)
            except NotShippable as reason:
                # A writer died in the middle of a record: the next one stands on the same line, and may be whole.
                next_record = line.find(LINE_START, 1)
                torn = line if next_record < 0 else line[:next_record]
                self.letters.append(Letter(str(reason), torn, path, place.offset))
                line = line[len(torn) :]
                place = Place(place.host, place.first_line, place.offset + len(torn))
            else:
                self._add_document(Item(made, line, path, place.offset), state, settings)
                return

    def _add_document(self, item: Item, state: State | None, settings: Settings) -> None:
        self.items.append(item)
        self.size += item.size
        if state is not None and state.version > self.states.get(state.job_id, (0, None))[0]:
            last_word = Item(state_document(state, settings), item.line, item.path, item.offset)
            self.states[state.job_id] = (state.version, last_word)
            self.size += last_word.size

    def to_send(self) -> list[Item]:
        """The records, and then the states."""
        return self.items + [item for _, item in self.states.values()]


def body(items: list[Item]) -> bytes:
    """The `_bulk` request's body."""
    parts: list[bytes] = []
    for item in items:
        parts += (item.document.action, item.document.source)
    parts.append(b"")
    return b"\n".join(parts)
