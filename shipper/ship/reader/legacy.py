"""Text logs of RQ → documents: for the ingest pipeline rq-legacy (`run --format legacy`), or whole (`import`).

What only the file tells is found here in both cases: which lines belong together, and when and by whom they were
written. What a line says is found by the pipeline, which sees each line by itself, or by our own grammar, which also
combines starts with ends.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from weakref import WeakKeyDictionary
from zoneinfo import ZoneInfo

from ...index.pipelines import BODY, NAME
from ...legacy import dates, heads, multiline
from ...legacy.carriers import Carriers
from ...legacy.messages import Grammar
from ...legacy.multiline import LogRecord
from ...legacy.outline import Outline
from ...legacy.pairing import OpenJobs
from ...legacy.record import LEGACY, UNDATED, LogSource, ParsedLine, build
from ...records import encode, id_end, id_start, index_name, shorten, timestamp
from ...redact.text import TextRules
from ...service import ServiceInfo
from ...settings import Settings
from ..source.tail import Block, Source, name_of
from .document import Document, check_time
from .items import DeadLetter, Item, Parsed, rejection_reason, too_long
from .state_store import StateStore

# Characters beyond which only the ends of a text are read: Elasticsearch ends a grok after one second
# (ingest.grok.watchdog.max_execution_time), which a busy one needs for a megabyte.
_READ_LIMIT = 131_072

_id_start = lru_cache(maxsize=16)(id_start)  # lines of the same second follow each other


@dataclass(slots=True)
class _File:
    """What is known of a file: its outline, and the carriers of its lines."""

    source: LogSource
    file_id: str
    outline: Outline
    carriers: Carriers = field(default_factory=Carriers)
    id_start: bytes = field(init=False)
    """What the hash in its records' ids is made of, as far as it is the same for all."""

    def __post_init__(self) -> None:
        self.id_start = f"{self.source.host}\0{self.file_id}\0".encode("utf-8", "surrogatepass")

    def record_id(self, moment: datetime, offset: int, raw: bytes) -> str:
        """The id of the record that stands there: that of the host, the file, the place and the text."""
        text = raw if raw.isascii() else raw.decode("utf-8", "replace").encode()
        return _id_start(moment) + id_end(b"%b%d\0%b" % (self.id_start, offset, text))


class LegacyReader:
    """Parses blocks of text logs. Lines from before `since` are left out; `skipped` counts them."""

    states: StateStore | None = None  # a text log does not have what a state needs

    def __init__(self, settings: Settings, since: datetime | None = None) -> None:
        self.skipped = 0
        self._settings = settings
        self._since = since
        self._zone: tzinfo = UTC if settings.timezone == "UTC" else ZoneInfo(settings.timezone)
        self._host = socket.gethostname()
        self._service = ServiceInfo.here(settings).service
        self._rules = TextRules(name for name in settings.redact if ":" not in name)
        self._files: WeakKeyDictionary[Source, _File] = WeakKeyDictionary()
        self._actions: dict[tuple[str, int], bytes] = {}  # their beginnings by dataset and day

    def read(self, block: Block) -> Parsed:
        if block.too_long:
            return too_long(block)
        return self._read(bytes(block.data), block.start, self._file(block))

    def read_again(self, raw: bytes, path: str, offset: int, file_id: str, written_at: datetime) -> Parsed:
        """A record that became a dead letter, with the time that it had then."""
        outline = Outline(written_at, self._zone, newest=written_at)
        outline.learn([raw], offset)
        return self._read(raw, offset, _File(LogSource(self._host, path, self._service), file_id, outline))

    def _read(self, data: bytes, start: int, file: _File) -> Parsed:
        parsed, now = Parsed(size=len(data)), datetime.now(UTC)
        earliest = now - timedelta(days=self._settings.past_days)
        latest = now + timedelta(days=self._settings.future_days)
        path, file_id = file.source.path, file.file_id
        rules, records = self._records(data, file)
        for record, text in records:
            offset, raw = start + record[0].offset, multiline.raw_of(record)
            moment, is_dated = file.outline.moment(record[0].line.sent, record[0].head, offset)
            try:
                if self._since is not None and moment < self._since:
                    self.skipped += 1
                    self._skip(record, _redacted(rules, text), file, moment, offset)
                    continue
                if not earliest <= moment <= latest:
                    check_time(moment, self._settings, now)
                identifier = file.record_id(moment, offset, raw)
                document = self._document(record, _redacted(rules, text), file, moment, is_dated, offset, identifier)
            except Exception as odd:  # whatever it is about this line, the others have nothing to do with it
                parsed.dead_letters.append(
                    DeadLetter(rejection_reason(odd), raw, path, offset, None, file_id, written_at=moment)
                )
            else:
                parsed.size += len(document.source)
                parsed.items.append(Item(document, raw, path, offset, file_id, written_at=moment))
        return parsed

    def _records(self, data: bytes, file: _File) -> tuple[TextRules, list[tuple[LogRecord, str]]]:
        """The records of whole lines, each with its text, and the rules that find the secrets in these texts."""
        records = [(record, multiline.text_of(record)) for record in multiline.records_in(data, file.carriers)]
        return self._rules.within("\n".join(text for _, text in records)), records

    def _skip(self, record: LogRecord, text: str, file: _File, moment: datetime, offset: int) -> None:
        """Called for a line from before `since`."""

    def _document(
        self,
        record: LogRecord,
        text: str,
        file: _File,
        moment: datetime,
        is_dated: bool,
        offset: int,  # noqa: ARG002
        identifier: str,
    ) -> Document:
        """The document that Elasticsearch's pipeline makes a record of. It moves a job's to the index of jobs."""
        line, head = record[0].line, record[0].head
        tags = [LEGACY] if is_dated else [LEGACY, UNDATED]
        log = {"file": {"path": file.source.path}}
        source = {
            "@timestamp": timestamp(moment),
            "event": {"id": identifier},
            BODY: text,
            "service": file.source.service,
            "host": {"name": line.host or file.source.host},
            "log": log,
            "tags": tags,
        }
        if level := heads.log_level(head.get("level") or line.level or ""):
            log["level"] = level  # type: ignore[assignment]
        if logger := head.get("logger") or line.logger:
            log["logger"] = logger  # type: ignore[assignment]
        if line.pid is not None:
            source["process"] = {"pid": line.pid}
        return self._created("rq.app", moment, identifier, encode(source)[:-1], b',"pipeline":"%b"' % NAME.encode())

    def _created(self, dataset: str, moment: datetime, identifier: str, source: bytes, more: bytes = b"") -> Document:
        key = dataset, moment.toordinal()
        start = self._actions.get(key)
        if start is None:
            index = index_name(dataset, moment, self._settings.namespace, self._settings.index_period)
            start = self._actions[key] = b'{"create":{"_index":"%b","_id":"' % index.encode()
        return Document(b'%b%b"%b}}' % (start, identifier.encode(), more), source, moment)

    def _file(self, block: Block) -> _File:
        """What is known of the block's file, which is read ahead to its end where that was not done yet."""
        source = block.source
        known = self._files.get(source)
        if known is None or block.end > known.outline.read_to:
            changed = datetime.fromtimestamp(source.changed_at(), UTC)
            outline = Outline(dates.last_written(source.path, changed), self._zone)
            outline.learn(source.ahead(block), block.start)
            if known is None:
                place = LogSource(self._host, name_of(source), self._service)
                known = self._files[source] = _File(place, source.file_id(), outline)
            outline.newest, known.outline = known.outline.newest, outline
        return known


class LegacyImportReader(LegacyReader):
    """Builds records itself, and combines starts with ends. `seen` is called with each record's time."""

    def __init__(
        self, settings: Settings, since: datetime | None = None, seen: Callable[[datetime], None] = lambda _: None
    ) -> None:
        super().__init__(settings, since)
        self._grammar = Grammar(settings.job_ids)
        self._open_jobs = OpenJobs()
        self._seen = seen

    def recall(self, source: Source, end: int) -> None:
        """Read again what an earlier run has imported of a file: its last starts are those of the ends to come."""
        for earlier in source.behind(Block(source, end, b"")):
            file = self._file(earlier)
            rules, records = self._records(bytes(earlier.data), file)
            for record, text in records:
                with suppress(Exception):  # it became a dead letter then
                    offset = earlier.start + record[0].offset
                    moment, is_dated = file.outline.moment(record[0].line.sent, record[0].head, offset)
                    self._document(record, _redacted(rules, text), file, moment, is_dated, offset, "")

    def _skip(self, record: LogRecord, text: str, file: _File, moment: datetime, offset: int) -> None:
        self._document(record, text, file, moment, True, offset, "")  # its end may be taken

    def _document(
        self,
        record: LogRecord,
        text: str,
        file: _File,
        moment: datetime,
        is_dated: bool,
        offset: int,
        identifier: str,
    ) -> Document:
        first, outline = record[0].line, file.outline
        captures = self._grammar.parse(text, outline, offset)
        head = record[0].head
        if len(head) > 2 or "clock" not in head:  # more than a clock and the text
            captures = {**head, **captures}
        if first.level:
            captures.setdefault("level", first.level)
        if first.logger:
            captures.setdefault("logger", first.logger)
        line = ParsedLine(text, captures, moment, is_dated, first.host, first.pid)
        made = build(line, file.source, identifier)
        self._open_jobs.join(made, line, (file.source.path, first.source), offset, outline)
        self._seen(moment)
        return self._created(made["event"]["dataset"], moment, identifier, encode(made)[:-1])


def _redacted(rules: TextRules, text: str) -> str:
    """The text of a record as it is read: without secrets, and without its middle if it is very long."""
    redacted = rules.redacted(text)
    return shorten(redacted) if len(redacted) > _READ_LIMIT else redacted
