"""Parses blocks of newline-delimited JSON: our own records, and any other program's."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol
from weakref import WeakKeyDictionary

from ...records import LINE_START, TIME_AT, timestamp
from ...settings import Settings
from ..source import envelopes
from ..source.tail import Block, Source, name_of
from ..source.trust import is_trusted
from . import state_store, torn
from .days import PAST_DAYS_LIMIT, ForeignDays
from .document import NotShippable, Place, document, text_line
from .framer import Framed, Framer
from .items import DeadLetter, FramedLines, Item, Parsed, rejection_reason, too_long
from .state_store import StateStore


class Reader(Protocol):
    """Knows a format. `legacy.py` has those of text logs."""

    states: StateStore | None
    """Where the states go of the jobs that it reads of. None: it keeps none."""

    def read(self, block: Block) -> Parsed:
        """What all of the block's lines become. Never raises for what stands in them."""


class NdjsonReader:
    """One JSON object on each line. `trusts_all`: any file may hold records of ours. `counts`: jobs are counted."""

    def __init__(self, settings: Settings, *, trusts_all: bool = False, counts: bool = False) -> None:
        self._settings = settings
        self._trusts_all = trusts_all
        self._counts = counts
        self._host = socket.gethostname()
        self._framer = Framer(settings, self._host)
        self.states = state_store.make(settings.namespace) if settings.states else None
        self._days = ForeignDays()
        self._trusted: WeakKeyDictionary[Source, bool] = WeakKeyDictionary()

    def read(self, block: Block) -> Parsed:
        if block.too_long:
            return too_long(block)
        now, parsed = datetime.now(UTC), Parsed(size=len(block.data))
        place = Place(self._host, block.source.file_id(), block.start, trusted=self._trusts(block.source))
        days = None if place.trusted else self._days.bits(now)
        framed = self._framer.frame(
            block, place.file_id, now, self.states, trusted=place.trusted, days=days, counts=self._counts
        )
        if framed is None:
            lines = _lines(block.data, 0)
        else:
            lines = (next(_lines(block.data, at)) for at in framed.odd)
            if len(framed.taken):
                parsed.framed.append(_framed_lines(block, framed, foreign=not place.trusted))
                parsed.size = max(parsed.size, len(framed.body))
        path = name_of(block.source)
        self.read_lines(lines, place, path, now, parsed)
        return parsed

    def read_lines(
        self, lines: Iterable[tuple[int, bytes]], place: Place, path: str, now: datetime, parsed: Parsed
    ) -> None:
        """Parse lines (offset from `place`, line) one by one with document.py, and add the results to `parsed`."""
        for offset, raw, line, at in envelopes.unwrapped(lines):
            there = replace(place, offset=place.offset + offset, at=at)
            if at is None:
                for begin, part in torn.parts(line):
                    self._read(part, part, replace(there, offset=there.offset + begin), path, now, parsed)
            elif line.strip():
                self._read(raw, line if line.lstrip().startswith(b"{") else text_line(line), there, path, now, parsed)

    def _read(self, raw: bytes, line: bytes, there: Place, path: str, now: datetime, parsed: Parsed) -> None:
        try:
            made, state = document(line, there, self._settings, now)
            if not there.trusted and made.moment is not None and not self._days.allows(made.moment, now):
                raise NotShippable(
                    f"other programs' lines were of {PAST_DAYS_LIMIT} past days already, and this one of another: "
                    "`shipper import` takes old files"
                )
        except Exception as odd:  # whatever it is about this line, the others have nothing to do with it
            reason, foreign = rejection_reason(odd), not there.trusted
            parsed.dead_letters.append(
                DeadLetter(reason, raw, path, there.offset, None, there.file_id, foreign=foreign)
            )
        else:
            parsed.items.append(Item(made, raw, path, there.offset, there.file_id, not there.trusted))
            if state is not None and self.states is not None:
                state_store.put(self.states, state)

    def _trusts(self, source: Source) -> bool:
        if self._trusts_all:
            return True
        known = self._trusted.get(source)
        if known is None:
            known = self._trusted[source] = is_trusted(source.path, self._settings)
        return known


class NdjsonReaderSince(NdjsonReader):
    """The same without records of before `since`; those that state no time are taken. `skipped` counts."""

    def __init__(self, settings: Settings, since: datetime, *, trusts_all: bool = False) -> None:
        super().__init__(settings, trusts_all=trusts_all)
        self.skipped = 0
        self._since = since
        self._earliest = timestamp(since).encode()

    def read(self, block: Block) -> Parsed:
        if block.too_long:
            return super().read(block)
        whole = Parsed()
        for piece in self._pieces(block):
            whole.add(super().read(piece))
        return whole

    def _pieces(self, block: Block) -> Iterator[Block]:
        """The lines to be taken, those that stand together in one piece."""
        start = at = 0
        for line in block.data.splitlines(keepends=True):
            if self._is_before(bytes(line)):
                if at > start:
                    yield Block(block.source, block.start + start, block.data[start:at])
                self.skipped += 1
                start = at + len(line)
            at += len(line)
        if at > start:
            yield Block(block.source, block.start + start, block.data[start:at])

    def _is_before(self, line: bytes) -> bool:
        if line.startswith(LINE_START):
            return line[TIME_AT] < self._earliest
        try:
            made, _ = document(line, Place("", "", 0), self._settings, datetime.now(UTC))
        except NotShippable:
            return False
        return made.moment is not None and made.moment < self._since


def _framed_lines(block: Block, framed: Framed, *, foreign: bool) -> FramedLines:
    data = None if framed.verbatim or block.source.rereadable else bytes(block.data)
    return FramedLines(
        block.source,
        block.start,
        framed.body,
        framed.taken,
        framed.verbatim,
        data,
        framed.newest,
        foreign,
        framed.tally,
    )


def _lines(data: bytes | bytearray, start: int) -> Iterator[tuple[int, bytes]]:
    """The lines from there on that are not blank, each with its place."""
    while start < len(data):
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        if line := bytes(data[start:end]):
            yield start, line
        start = end + 1
