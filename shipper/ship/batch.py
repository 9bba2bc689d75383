"""Lines → a batch: documents to send, letters to keep, and how far each file is safe once both are done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ..records import LINE_START, Record, encode
from ..settings import Settings
from ..state import State
from .deadletter import Letter
from .document import Document, NotShippable, Place, document, state_document
from .tail import LINE_LIMIT, Block, Source

BODY_LIMIT = 5_000_000  # bytes of one request; Elastic advises a few megabytes
COUNT_LIMIT = 10_000  # documents of one request


@dataclass(frozen=True, slots=True)
class Item:
    """A document and the line it came from."""

    document: Document
    line: bytes
    path: str
    offset: int
    file_id: str = ""

    def refused(self, reason: str, status: int | None) -> Letter:
        """The dead letter that this becomes when Elasticsearch will not have it."""
        return Letter(reason, self.line, self.path, self.offset, status, self.file_id)

    @property
    def size(self) -> int:
        return len(self.document.action) + len(self.document.source) + 2


@dataclass(slots=True)
class Batch:
    """What is sent at once. `marks` holds the last block of each source, which is safe when the whole batch is.

    `size` is in bytes of memory and body, `read` in bytes of the files; `newest` is the time of the latest record.
    Of each job only the state with the last word is sent: `states` holds its version and item.
    """

    items: list[Item] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    marks: dict[Source, Block] = field(default_factory=dict)
    states: dict[str, tuple[int, Item]] = field(default_factory=dict)
    size: int = 0
    read: int = 0
    newest: datetime | None = None

    @property
    def full(self) -> bool:
        return self.size >= BODY_LIMIT or len(self.items) >= COUNT_LIMIT

    def __bool__(self) -> bool:
        return bool(self.items or self.letters or self.marks)

    def add(self, block: Block, host: str, settings: Settings) -> None:
        """Take a block's lines in. One that can be no document becomes a dead letter, and disturbs no other."""
        source, offset = block.source, block.start
        self.marks[source] = block
        self.read += block.end - block.start
        if block.too_long:
            reason = f"a line of {block.too_long} bytes; more than {LINE_LIMIT} are no record"
            self.letters.append(Letter(reason, b"", str(source.path), offset, too_long=block))
            return
        file_id = source.file_id()
        now = datetime.now(UTC)
        for line in block.data.split(b"\n"):
            self._add_line(line, Place(host, file_id, offset), str(source.path), settings, now)
            offset += len(line) + 1

    def add_again(self, letter: Letter, read_at: datetime, host: str, settings: Settings) -> None:
        """Take a dead letter's line in, as it would have been when it was read."""
        place = Place(host, letter.file_id, letter.offset)
        self._add_line(letter.line, place, letter.path, settings, read_at)

    def _add_line(self, line: bytes, place: Place, path: str, settings: Settings, now: datetime) -> None:
        """Take a line in; where records were torn and glued together, each whole one that stands in it."""
        while line.strip():
            try:
                made, state = document(line, place, settings, now)
            except NotShippable as reason:
                # A writer died in the middle of a record: the next one stands on the same line, and may be whole.
                next_record = line.find(LINE_START, 1)
                torn = line if next_record < 0 else line[:next_record]
                self.letters.append(Letter(str(reason), torn, path, place.offset, None, place.file_id))
                self.size += len(torn)
                line = line[len(torn) :]
                place = Place(place.host, place.file_id, place.offset + len(torn))
            else:
                self._add_document(Item(made, line, path, place.offset, place.file_id), state, settings)
                return

    def _add_document(self, item: Item, state: State | None, settings: Settings) -> None:
        self.items.append(item)
        self.size += item.size
        self.newest = item.document.moment
        if state is not None and state.version > self.states.get(state.job_id, (0, None))[0]:
            last_word = Item(state_document(state, settings), item.line, item.path, item.offset, item.file_id)
            self.states[state.job_id] = (state.version, last_word)
            self.size += last_word.size

    def to_send(self) -> list[Item]:
        """The records, and then the states."""
        return self.items + [item for _, item in self.states.values()]


def told(record: Record, settings: Settings) -> Item:
    """A record of the shipper's own, which stands in no file."""
    line = encode(record)[:-1]
    made, _ = document(line, Place("", "", 0), settings, datetime.now(UTC))
    return Item(replace(made, is_record=False), line, "<shipper>", 0)


def body(items: list[Item]) -> bytes:
    """The `_bulk` request's body."""
    parts: list[bytes] = []
    for item in items:
        parts += (item.document.action, item.document.source)
    parts.append(b"")
    return b"\n".join(parts)
