"""Lines → a batch: documents to send, letters to keep, and how far each file is safe once both are done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from ...records import LINE_START, TIME_AT, Record, encode
from ...settings import Settings
from ...state import State
from ..reader.document import Document, NotShippable, Place, document, state_document
from ..reader.fastpath import FastPath, keep_latest
from ..source.tail import LINE_LIMIT, Block, Mark, Source, name_of
from .dead_letters import DeadLetter

BODY_LIMIT = 2_000_000  # bytes of one request; a request costs 0.4 ms of CPU besides its documents, so few large ones
COUNT_LIMIT = 10_000  # documents of one request


@dataclass(frozen=True, slots=True)
class Item:
    """A document and the line it came from."""

    document: Document
    line: bytes
    path: str
    offset: int
    file_id: str = ""

    def refused(self, reason: str, status: int | None) -> DeadLetter:
        """The dead letter that this becomes when Elasticsearch will not have it."""
        return DeadLetter(reason, self.line, self.path, self.offset, status, self.file_id)


class BulkRequest(Protocol):
    """What goes into one request."""

    @property
    def count(self) -> int:
        """How many documents it holds."""

    @property
    def records(self) -> int:
        """How many of them are lines of files."""

    def body(self) -> bytes:
        """The `_bulk` request's body."""

    def items(self) -> Sequence[Item]:
        """Its documents one by one, in the body's order. Needed only when something was refused."""


@dataclass(frozen=True, slots=True)
class FramedLines:
    """Lines of ours that stand one after the other in a source: action and source of each, as they are sent."""

    source: Source
    offset: int
    body: bytes
    count: int


@dataclass(slots=True)
class Batch:
    """What is sent at once.

    `runs` are records of ours; `others` are the documents that had to be looked at one by one. `marks` says
    how far each source is safe when the whole batch is. `size` is in bytes, `read` counts those of
    the files. Of each job only the state with the last word is sent.
    """

    settings: Settings
    runs: list[FramedLines] = field(default_factory=list)
    others: list[Item] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    marks: dict[Source, Mark] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    size: int = 0
    read: int = 0

    @property
    def full(self) -> bool:
        return self.size >= BODY_LIMIT or self.count >= COUNT_LIMIT

    @property
    def count(self) -> int:
        return sum(run.count for run in self.runs) + len(self.others)

    @property
    def records(self) -> int:
        return sum(run.count for run in self.runs) + sum(item.document.is_record for item in self.others)

    def requests(self) -> list[BulkRequest]:
        """The requests that it becomes, the first one last. States go by themselves: megabytes of records that are
        ready to be sent would be copied to stand in one request with them.
        """
        states = ItemsRequest([self._item(state) for state in self.states.values()])
        return [portion for portion in (states, self) if portion.count]

    @property
    def newest(self) -> str | None:
        """The time of its last record."""
        if self.runs:
            body = self.runs[-1].body
            return body[body.rindex(LINE_START) :][TIME_AT].decode()
        moment = self.others[-1].document.moment if self.others else None
        return moment.isoformat() if moment else None

    def __bool__(self) -> bool:
        return bool(self.runs or self.others or self.letters or self.marks)

    def add(self, block: Block, host: str, fast_path: FastPath) -> None:
        """Take a block's lines in. One that can be no document becomes a dead letter, and disturbs no other."""
        if not self.mark(block):
            return
        if (whole := fast_path.frame_block(block.data, self.states)) is not None:
            self.runs.append(FramedLines(block.source, block.start, *whole))
            return
        lines = block.data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        rest, at, offset = iter(lines), 0, block.start
        while at < len(lines):
            parts: list[bytes] = []
            if taken := fast_path.frame_lines(rest, parts, self.states):
                self.runs.append(FramedLines(block.source, offset, b"\n".join([*parts, b""]), taken))
                offset += sum(map(len, parts[1::2])) + taken
                at += taken
            if at < len(lines):  # the odd one, which is out of `rest` by now
                place = Place(host, block.source.file_id(), offset)
                self._add_line(lines[at], place, name_of(block.source), datetime.now(UTC))
                offset += len(lines[at]) + 1
                at += 1

    def mark(self, block: Block) -> bool:
        """Note that a block is in. False if there is nothing to take from it: a line too long is a dead letter."""
        self.reached(block)
        self.read += block.end - block.start
        self.size += len(block.data)
        if block.too_long:
            reason = f"a line of {block.too_long} bytes; more than {LINE_LIMIT} are no record"
            self.letters.append(DeadLetter(reason, b"", name_of(block.source), block.start, too_long=block))
        return not block.too_long

    def reached(self, block: Block) -> None:
        """Once this batch is safe, so is all up to the end of the block."""
        self.marks[block.source] = block.mark

    def add_again(self, letter: DeadLetter, read_at: datetime, host: str) -> None:
        """Take a dead letter's line in, as it would have been when it was read."""
        self._add_line(letter.line, Place(host, letter.file_id, letter.offset), letter.path, read_at)

    def add_own(self, record: Record) -> None:
        """A record of the shipper's own, which stands in no file."""
        line = encode(record)[:-1]
        made, _ = document(line, Place("", "", 0), self.settings, datetime.now(UTC))
        self.others.append(Item(replace(made, is_record=False), line, "<shipper>", 0))

    def body(self) -> bytes:
        return _body([run.body for run in self.runs], (item.document for item in self.others))

    def items(self) -> list[Item]:
        return [*self._own_items(), *self.others]

    def _own_items(self) -> list[Item]:
        items = []
        for run in self.runs:
            offset, path, file_id = run.offset, name_of(run.source), run.source.file_id()
            parts = iter(run.body.split(b"\n")[:-1])
            for action, line in zip(parts, parts, strict=True):
                items.append(Item(Document(action, line), line, path, offset, file_id))
                offset += len(line) + 1
        return items

    def _item(self, state: State) -> Item:
        """What it was made of is in the records' dead letters, should there be any."""
        return Item(state_document(state, self.settings), b"", STATE, 0)

    def _add_line(self, line: bytes, place: Place, path: str, now: datetime) -> None:
        """Take a line in; where records were torn and glued together, each whole one that stands in it."""
        for at, part in _parts(line):
            there = replace(place, offset=place.offset + at)
            try:
                made, state = document(part, there, self.settings, now)
            except Exception as odd:  # whatever it is about this line, the others have nothing to do with it
                self.letters.append(DeadLetter(rejection_reason(odd), part, path, there.offset, None, place.file_id))
            else:
                self.others.append(Item(made, part, path, there.offset, place.file_id))
                keep_latest(self.states, state)


def rejection_reason(odd: Exception) -> str:
    """The reason on a line's dead letter."""
    return str(odd) if isinstance(odd, NotShippable) else f"it cannot be taken in: {type(odd).__name__}: {odd}"


def _parts(line: bytes) -> Iterator[tuple[int, bytes]]:
    """A line, or what stands on it one after the other, each with its place: a writer died in the middle of a
    record, and the next record stands on the same line.

    What is JSON up to the line's end is one part, whatever begins in it. To ask that takes no longer than to where
    it is none: a line of thousands of torn records is gone through once.
    """
    at = 0
    while (following := line.find(LINE_START, at + 1)) >= 0 and not _is_json(memoryview(line)[at:]):
        yield at, line[at:following]
        at = following
    if part := line[at:].strip() and line[at:]:
        yield at, part


def _is_json(text: memoryview) -> bool:
    try:
        _read_through(text)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


_read_through = msgspec.json.Decoder(msgspec.Raw).decode  # which builds nothing


STATE = "<state>"


@dataclass(frozen=True, slots=True)
class ItemsRequest:
    """Documents of a batch that are sent by themselves: its states, and what has to be sent again."""

    documents: list[Item]

    @property
    def count(self) -> int:
        return len(self.documents)

    @property
    def records(self) -> int:
        return sum(item.document.is_record for item in self.documents)

    def body(self) -> bytes:
        return _body([], (item.document for item in self.documents))

    def items(self) -> list[Item]:
        return self.documents


def _body(ready: list[bytes], documents: Iterable[Document]) -> bytes:
    """What is ready, and then the action and source of each document."""
    for one in documents:
        ready += (one.action, b"\n", one.source, b"\n")
    return b"".join(ready)  # of one part alone it is that part, and no copy
