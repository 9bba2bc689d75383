"""Splits the bytes of a text log into records: a line, and the lines that belong to it.

A line that begins with a time or a level, and a line of RQ's about a job, begin a record. Of the other lines, these
belong to the record before: all that follows the beginning of an exception (messages have several lines), indented
lines, and the rest of a job's description. Any other line is a record of its own. Carriers come off each line first;
the lines of several containers in one file are kept apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..records import BYTE_ORDER_MARK
from . import heads, messages
from .carriers import Carriers, Line
from .grok import Captures

# Matches a line that belongs to the one before, whatever that is.
CONTINUES = (
    r"^(?:[ \t]|[\])}]|\r?$|Traceback \(most recent|During handling of the above|The above exception was|\+-|\| )"
)
# Matches where a second record begins within a line: two processes wrote at once, or a newline was lost.
GLUED = r"(?<=\S)(?=Time: \d{4}-\d{2}-\d{2} \d{2}:)|(?<=\))(?=\d{2}:\d{2}:\d{2} [^\s:]{1,200}: )"
COLORS = r"\x1b\[[0-9;]{0,20}[mK]"

DESCRIPTION_LINES = 10
INTERRUPTIONS = 5  # records of other workers within a traceback
SOURCES_LINES = 50  # records that are looked at for what other containers have begun

_continues = re.compile(CONTINUES.replace("$", r"\Z"))
_glued = re.compile(GLUED.encode())
_colors = re.compile(COLORS)
_TRACEBACK = "Traceback (most recent call last):"
_RAISED = ": exception raised while executing ("
_raised = re.compile(r"[^\W\d][\w.]*(?:: |\Z)")
_described = re.compile(r"(?:[\w.]+:? )?[^\s:()]+(?: [^\s:()]+){0,5}: \S")
_job_id_last = re.compile(r" \([0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\)[ \t]*\Z")


@dataclass(slots=True)
class Entry:
    """A line of a log: where it is, its bytes without the newline, and what it says. `head` is heads.parse of it."""

    offset: int
    raw: bytes
    line: Line
    head: Captures

    @property
    def text(self) -> str:
        return self.line.text

    def begins_record(self) -> bool:
        """Whether it has a time or a level, or is RQ's line about a job."""
        if len(self.head) > 1:
            return True
        return not _continues.match(self.text) and messages.is_about_job(self.text)

    def continues(self) -> bool:
        return _continues.match(self.text) is not None

    def is_raised(self) -> bool:
        """Whether its text is that of an exception without its traceback: `ValueError: no`."""
        return _raised.match(self.head["body"]) is not None


LogRecord = list[Entry]
"""A line and those that belong to it."""


def text_of(record: LogRecord) -> str:
    """The record's text after the head of its first line."""
    body = record[0].head["body"]
    if len(record) == 1:
        return body.rstrip()
    return "\n".join([body, *(entry.text for entry in record[1:])]).rstrip()


def raw_of(record: LogRecord) -> bytes:
    return record[0].raw if len(record) == 1 else b"\n".join(entry.raw for entry in record)


def records_in(data: bytes, carriers: Carriers) -> list[LogRecord]:
    """The records in `data`, which is whole lines, in the order in which they begin. Offsets are those in `data`."""
    chunks: list[LogRecord] = []
    latest: dict[str, LogRecord] = {}  # by source
    for entry in _entries(data, carriers):
        source = entry.line.source + entry.line.stream if entry.line.source or entry.line.stream else ""
        chunk = latest.get(source)
        if chunk is not None and not entry.begins_record():
            chunk.append(entry)
        elif entry.line.text.strip():
            latest[source] = chunk = [entry]
            chunks.append(chunk)
    for number, chunk in enumerate(chunks):
        if len(chunk) > 1:
            _give_back(chunk, chunks[max(0, number - INTERRUPTIONS) : number])
    records: list[LogRecord] = []
    for chunk in chunks:
        if len(chunk) == 1:
            records.append(chunk)
        else:
            records += filter(_is_text, _split(chunk))
    return records


def whole_records(data: bytes) -> int:
    """The length of the complete records in `data`, which has to end with a newline: all but the last record.

    The last one may still get lines; one that another worker's line has interrupted, too. 0 if there is no other.
    """
    carriers, end, begins = Carriers(), len(data), list[int]()
    latest: dict[str, int] = {}  # by source: where its last record begins
    exceptions = set[str]()  # the sources whose last record is an exception
    fallback = 0
    while end > 0 and (len(begins) <= INTERRUPTIONS or (len(latest) > 1 and len(begins) <= SOURCES_LINES)):
        start = data.rfind(b"\n", 0, end - 1) + 1
        raw = data[start : end - 1]
        entry = _entry(start, raw, decoded(raw), carriers)
        source = entry.line.source + entry.line.stream
        if source not in latest and _is_exception(entry):
            exceptions.add(source)
        if entry.begins_record() and not _is_partial(data, start, carriers):
            begins.append(start)
            latest.setdefault(source, start)
        elif not begins and not fallback and not entry.continues():
            fallback = start
        end = start
    if not begins:
        return fallback
    cut = min(begins[0], *(start for source, start in latest.items() if source in exceptions), begins[0])
    for after, begin in pairwise(begins):
        if begin < cut and b"Traceback (most" in data[begin:after]:
            last = carriers.line(decoded(data[begin:after].rstrip(b"\r\n").rpartition(b"\n")[2]))
            cut = begin if last.text.startswith((" ", "\t")) else cut
    return cut


def _is_partial(data: bytes, start: int, carriers: Carriers) -> bool:
    """Whether the line before this offset is a piece of a longer one."""
    before = data[data.rfind(b"\n", 0, max(0, start - 1)) + 1 : max(0, start - 1)]
    return (b" P" in before or b'"log"' in before) and carriers.line(decoded(before)).partial


def _entries(data: bytes, carriers: Carriers) -> Iterator[Entry]:
    """The lines, without carriers; pieces that a container engine has made of long lines are joined."""
    pieces: dict[str, Entry] = {}
    for offset, raw, text in _lines(data.removesuffix(b"\n")):
        entry = _entry(offset, raw, text, carriers)
        if not pieces and not entry.line.partial:
            yield entry
            continue
        source = entry.line.source + entry.line.stream
        if first := pieces.pop(source, None):
            first.raw += b"\n" + entry.raw
            first.line.text += entry.line.text
            first.line.partial = entry.line.partial
            entry = Entry(first.offset, first.raw, first.line, heads.parse(first.line.text))
        if entry.line.partial:
            pieces[source] = entry
        else:
            yield entry
    yield from pieces.values()


def _lines(data: bytes) -> Iterator[tuple[int, bytes, str]]:
    """(offset, bytes, text) of each line."""
    start = 0
    if (whole := _plain_text(data)) is not None:
        for raw, text in zip(data.split(b"\n"), whole.split("\n"), strict=True):
            yield start, raw, text
            start += len(raw) + 1
        return
    for raw in data.split(b"\n"):
        for begin, part in _apart(raw):
            yield start + begin, part, decoded(part)
        start += len(raw) + 1


def _plain_text(data: bytes) -> str | None:
    """The text of several lines that need not be looked at one by one, to decode them or take them apart."""
    if any(odd in data for odd in _ODD):
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


_ODD = (BYTE_ORDER_MARK, b"\0", b"\r", b"\x1b", b"Time: ", b")0", b")1", b")2")  # for `decoded` and `_apart`


def _entry(offset: int, raw: bytes, text: str, carriers: Carriers) -> Entry:
    if head := heads.of_rq(text):
        return Entry(offset, raw, Line(text), head)
    line = carriers.line(text)
    text = line.text
    return Entry(offset, raw, line, {"body": text} if text[:1] in _UNSTAMPED else heads.parse(text))


_UNSTAMPED = ("", " ", "\t", "|", "+", "{")


def decoded(raw: bytes) -> str:
    """The text of a line: UTF-8, else Windows-1252. Without NULs at its ends, carriage returns and colours."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    if "\0" in text:
        text = text.strip("\0")
    if "\r" in text:
        text = text.rstrip("\r").replace("\r", "\n")
    if "\x1b" in text:
        text = _colors.sub("", text)
    return text


def _apart(raw: bytes) -> Sequence[tuple[int, bytes]]:
    """(offset, bytes) of the records in one line: usually one, more if lines ran together."""
    start = 0
    if raw.startswith(BYTE_ORDER_MARK):
        start, raw = len(BYTE_ORDER_MARK), raw[len(BYTE_ORDER_MARK) :]
    if raw.find(b"Time: ", 1) < 0 and b")0" not in raw and b")1" not in raw and b")2" not in raw:
        return ((start, raw),)
    cuts = [0, *(match.start() for match in _glued.finditer(raw)), len(raw)]
    return [(start + begin, raw[begin:end]) for begin, end in pairwise(cuts)]


def _give_back(chunk: LogRecord, before: Sequence[LogRecord]) -> None:
    """Move the rest of a traceback, which this record has interrupted, to the record where it began."""
    tail = chunk[1:]
    if _is_exception(chunk[0]) or not any(not one.continues() and one.is_raised() for one in tail):
        return
    for earlier in reversed(before):
        if earlier[0].line.source == chunk[0].line.source and _is_unfinished(earlier):
            earlier.extend(tail)
            del chunk[1:]
            return


def _is_unfinished(record: LogRecord) -> bool:
    """Whether the exception's line is missing in its traceback."""
    return record[-1].text.startswith((" ", "\t")) and any(_TRACEBACK in entry.text for entry in record)


def _is_exception(entry: Entry) -> bool:
    return _RAISED in entry.text or _TRACEBACK in entry.text


def _split(chunk: LogRecord) -> list[LogRecord]:
    """The records in a line that begins one and all lines up to the next that does."""
    records = [[chunk[0]]]
    in_exception = _is_exception(chunk[0])
    for entry in chunk[1:]:
        if not in_exception and _TRACEBACK in entry.text:
            in_exception = True
            if chunk[0].is_raised():  # RQ up to 1.4 wrote the exception first, then its traceback
                records = [[one for record in records for one in record]]
        if in_exception or entry.continues():
            records[-1].append(entry)
        else:
            records.append([entry])
    return _with_description(records)


def _with_description(records: list[LogRecord]) -> list[LogRecord]:
    """The same, with the lines of a job's description joined: the last of them ends with the job's id."""
    first = records[0][0].head["body"]
    if not _described.match(first) or _job_id_last.search(first):
        return records
    for number, record in enumerate(records[1 : DESCRIPTION_LINES + 1], 1):
        if _job_id_last.search(record[-1].text.rstrip()):
            return [[one for joined in records[: number + 1] for one in joined], *records[number + 1 :]]
    return records


def _is_text(record: LogRecord) -> bool:
    return any(entry.text.strip() for entry in record)
