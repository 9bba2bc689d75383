"""Renders a timeline as a self-contained HTML page: a chart of lanes, then the records by request and job.

All values of records are escaped. The page's content security policy allows no requests, and no style and script but
the page's own: their hashes are in it. Records are read once and in order; their rows wait in a temporary file until
it is known which of them belong together, so that the memory does not grow with what they say.
"""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from io import SEEK_END, BytesIO
from string import Template
from typing import IO

from ..fields import text
from ..printable import printable, printable_json, printable_lines
from ..records import Record
from .attempts import phase
from .chart import Dot, chart
from .clock import Clock
from .entry import TimelineEntry, entry

DOT_LIMIT = 200  # characters of a record's message in the chart


@dataclass(slots=True)
class Lane:
    """The records of one job, one request, or of neither, in order. `rows`: (offset, length) in the temporary file."""

    key: str
    name: str
    number: int
    dots: list[Dot] = field(default_factory=list)
    rows: list[tuple[int, int]] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        return f"lane-{self.number}"


@dataclass(slots=True)
class Group:
    """The lanes that belong together: a request and its jobs, or a job and the jobs that it enqueued."""

    key: str
    first: str
    """The message of its first record."""
    lanes: dict[str, Lane] = field(default_factory=dict)


@dataclass(slots=True)
class Page:
    """The records as they will be shown. `is_cut`: there are more records than the limit."""

    clock: Clock
    groups: dict[str, Group] = field(default_factory=dict)
    count: int = 0
    is_cut: bool = False
    rows: IO[bytes] = field(default_factory=BytesIO)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def lanes(self) -> list[Lane]:
        return [lane for group in self.groups.values() for lane in group.lanes.values()]

    def add(self, record: Record) -> None:
        one = entry(record)
        key, name = _lane_of(one)
        key_of_group = one.trace or _text(one.record, "rq", "root_job_id") or key
        group = self.groups.setdefault(key_of_group, Group(key_of_group, one.message))
        lane = group.lanes.get(key)
        if lane is None:
            lane = group.lanes[key] = Lane(key, name, next(self._numbers))
        lane.name = lane.name or name
        lane.dots.append(Dot(one.at, phase(record), _outcome(one), one.message[:DOT_LIMIT]))
        self.count += 1
        row = _row(one, self.clock).encode("utf-8", "backslashreplace")
        lane.rows.append((self.rows.seek(0, SEEK_END), len(row)))
        self.rows.write(row)


@contextmanager
def lay_out(records: Iterable[Record], *, limit: int | None = None, clock: Clock | None = None) -> Iterator[Page]:
    """Read at most `limit` records, which have to be in order, for `chunks`. Times are shown by `clock`, or in UTC."""
    rest = iter(records)
    with tempfile.TemporaryFile(prefix="shipper-page-") as rows:
        page = Page(clock or Clock.utc(), rows=rows)
        for record in itertools.islice(rest, limit):
            page.add(record)
        page.is_cut = limit is not None and next(rest, None) is not None
        yield page


def chunks(page: Page, title: str) -> Iterator[str]:
    """The HTML, piece by piece."""
    style, script = _own("page.css"), _own("page.js")
    lanes = page.lanes
    before, after = _own("page.html").split("$groups")
    values = {
        "title": _shown(title),
        "summary": escape(_summary(page, lanes)),
        "more": _more(page),
        "style": style,
        "style_hash": _hash(style),
        "script": script,
        "script_hash": _hash(script),
    }
    head, rest = before.split("$picture")
    yield Template(head).substitute(values)
    if lanes:
        yield from chart([(lane.anchor, lane.name or lane.key, lane.dots) for lane in lanes], page.clock)
    yield Template(rest).substitute(values)
    for group in page.groups.values():
        yield from _section(page, group)
    yield Template(after).substitute(values)


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _lane_of(one: TimelineEntry) -> tuple[str, str]:
    """(key, name) of an entry's lane. Operations on a job are in the job's lane."""
    if one.job_id:
        return f"job {one.job_id}", one.function or ""
    if request := _text(one.record, "http", "request", "id"):
        return f"request {request}", f"web {_text(one.record, 'url', 'path')}"
    return "others", "outside of requests and jobs"


def _text(record: Record, *path: str) -> str:
    return text(record, *path) or ""


def _shown(value: str) -> str:
    """Text of a record for the page: neither markup nor control characters in it have an effect."""
    return escape(printable(value))


def _summary(page: Page, lanes: list[Lane]) -> str:
    if not lanes:
        return "No records."
    first, last = (pick(dot.at for lane in lanes for dot in lane.dots) for pick in (min, max))
    return f"{page.count} records from {page.clock.full(first)} to {page.clock.full(last)}, {page.clock.name(last)}"


def _more(page: Page) -> str:
    if not page.is_cut:
        return ""
    said = f"These are the first {page.count} records. There are more: narrow the filters, or raise --limit."
    return f'<p class="more">{escape(said)}</p>'


def _outcome(one: TimelineEntry) -> str:
    return one.outcome if one.outcome in ("success", "failure") else "unknown"


def _section(page: Page, group: Group) -> Iterator[str]:
    yield f'<section class="group"><h2>{_shown(group.first)}</h2><p class="sub">{_shown(group.key)}</p>\n'
    for lane in group.lanes.values():
        yield (
            f'<div class="lane" id="{lane.anchor}"><h3>{_shown(lane.name)} '
            f'<span class="sub">{_shown(lane.key)}</span></h3>\n<table>\n'
        )
        for offset, length in lane.rows:
            page.rows.seek(offset)
            yield page.rows.read(length).decode()
        yield "</table></div>\n"
    yield "</section>\n"


def _row(one: TimelineEntry, clock: Clock) -> str:
    trace = _text(one.record, "error", "stack_trace")
    record = {**one.record, "error": _without_trace(one.record["error"])} if trace else one.record
    folded = ""
    if trace:
        lines = escape(printable_lines(trace), quote=False)
        folded = f"<details><summary>Stack trace</summary><pre>{lines}</pre></details>"
    content = escape(printable_json(record).decode().rstrip(), quote=False)
    return (
        f'<tr class="record"><td class="when"><time datetime="{escape(one.at.isoformat())}">{clock.full(one.at)}</time>'
        f'</td><td class="what {_outcome(one)}">{_shown(one.action or one.dataset)}</td>'
        f'<td class="who">{_shown(one.user or "")}</td>'
        f'<td><details><summary>{_shown(one.message)}</summary>{folded}<pre class="json">{content}</pre>'
        "</details></td></tr>\n"
    )


def _without_trace(error: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in error.items() if name != "stack_trace"}
