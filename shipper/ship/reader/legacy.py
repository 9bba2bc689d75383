"""Text logs of RQ → documents: for the ingest pipeline rq-legacy (`run --format legacy`), or whole (`import`).

What only the file tells, is found here in both cases: which lines belong together, and when a line without a date was
written. The grammar is the pipeline's, which sees each line by itself, or our own, which also pairs starts with ends.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

import orjson

from ...index.pipelines import CLEAN, NAME
from ...legacy import dates, grammar, lines
from ...legacy.dates import Dates
from ...legacy.grammar import Facts, Whence
from ...legacy.pairing import Pairs
from ...records import encode, index_name, timestamp
from ...redact.text import TextRules
from ...service import ServiceInfo
from ...settings import Settings
from ..source.tail import Block, Source, name_of
from .document import Document, Place, line_id
from .items import DeadLetter, Item, Parsed, rejection_reason, too_long
from .state_store import StateStore


class Line(NamedTuple):
    """A record of a text log, with the lines that belong to it."""

    offset: int
    raw: bytes
    text: str
    head: Facts
    moment: datetime


class LegacyReader:
    """Takes blocks of text logs in; a line of before `since` is left out, and `skipped` counts it."""

    states: StateStore | None = None  # a text log's lines do not tell enough of a job

    def __init__(self, settings: Settings, since: datetime | None = None) -> None:
        self.skipped = 0
        self._settings = settings
        self._since = since
        self._zone: tzinfo = UTC if settings.timezone == "UTC" else ZoneInfo(settings.timezone)
        self._host = socket.gethostname()
        self._service = ServiceInfo.here(settings).service
        self._known: WeakKeyDictionary[Source, Dates] = WeakKeyDictionary()
        self._rules = TextRules(name for name in settings.redact if ":" not in name)

    def read(self, block: Block) -> Parsed:
        """What a block's records become."""
        if block.too_long:
            return too_long(block)
        parsed = Parsed(size=len(block.data))
        path, file_id = name_of(block.source), block.source.file_id()
        whence = Whence(self._host, path, self._service)
        days = self._dates(block)
        for at, raw in lines.records_in(bytes(block.data)):
            offset = block.start + at
            try:
                line = _line(offset, raw, days, self._rules)
                identifier = line_id(raw.decode("utf-8", "replace"), Place(self._host, file_id, offset), line.moment)
                document = self._document(line, whence, identifier)
            except Exception as odd:  # whatever it is about this line, the others have nothing to do with it
                parsed.dead_letters.append(DeadLetter(rejection_reason(odd), raw, path, offset, None, file_id))
                continue
            if self._since is not None and line.moment < self._since:
                self.skipped += 1
            else:
                parsed.size += len(document.source)
                parsed.items.append(Item(document, document.source, path, offset, file_id))
        return parsed

    def _document(self, line: Line, whence: Whence, identifier: str) -> Document:
        """What Elasticsearch makes a record of, by its pipeline. It moves a job's to the index of jobs."""
        source = {
            "@timestamp": timestamp(line.moment),
            "event": {"id": identifier, "timezone": self._settings.timezone},
            "message": line.text,
            CLEAN: True,
            "service": whence.service,
            "host": {"name": whence.host},
            "log": {"file": {"path": whence.path}},
        }
        return self._created("rq.app", line.moment, identifier, orjson.dumps(source), pipeline=NAME)

    def _created(self, dataset: str, moment: datetime, identifier: str, source: bytes, **more: str) -> Document:
        target = {"_index": index_name(dataset, moment, self._settings.namespace), "_id": identifier, **more}
        return Document(orjson.dumps({"create": target}), source, moment)

    def _dates(self, block: Block) -> Dates:
        """The days of the block's file, which is read ahead to its end where that was not done yet."""
        source = block.source
        known = self._known.get(source)
        if known is None or block.end > known.read_to:
            changed = datetime.fromtimestamp(source.changed_at(), UTC)
            found = Dates(dates.last_written(source.path, changed), self._zone, known.last if known else None)
            found.learn(source.ahead(block), block.start)
            known = self._known[source] = found
        return known


def _line(offset: int, raw: bytes, days: Dates, rules: TextRules) -> Line:
    text = lines.text_of(raw, rules)
    head = grammar.begin(text)
    return Line(offset, raw, text, head, days.moment(head, offset))


class LegacyImportReader(LegacyReader):
    """The same, with records made here: an end knows its start. `seen` is told of each record's time."""

    def __init__(
        self, settings: Settings, since: datetime | None = None, seen: Callable[[datetime], None] = lambda _: None
    ) -> None:
        super().__init__(settings, since)
        self._pairs = Pairs()
        self._seen = seen

    def recall(self, source: Source, end: int) -> None:
        """Read again what an earlier run has imported of a file: its last starts are those of the ends to come."""
        whence = Whence(self._host, name_of(source), self._service)
        for earlier in source.behind(Block(source, end, b"")):
            days = self._dates(earlier)
            for at, raw in lines.records_in(bytes(earlier.data)):
                with suppress(Exception):  # it became a dead letter then
                    self._document(_line(earlier.start + at, raw, days, self._rules), whence, "")

    def _document(self, line: Line, whence: Whence, identifier: str) -> Document:
        facts = grammar.read_on(line.head)
        record = grammar.record(facts, line.moment, whence, identifier)
        self._pairs.join(record, facts, line.moment, whence.path)
        self._seen(line.moment)
        return self._created(record["event"]["dataset"], line.moment, identifier, encode(record)[:-1])
