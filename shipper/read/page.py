"""Renders a timeline as a self-contained HTML page: a chart of lanes, then the records by request and job.

Pure. All values of records are escaped, and the page's content security policy allows no scripts and no requests.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from importlib.resources import files
from string import Template

from ..fields import text
from ..printable import printable, printable_json
from ..records import Record
from .entry import TimelineEntry, entry

# The chart's dimensions, in units of its view box.
WIDTH, LEFT, ROW, BAR, DOT = 1000, 260, 22, 8, 4
TICKS = 5
NAME_LIMIT = 42  # characters of a lane's name that fit on its left

_ENDINGS = frozenset({"job-finished", "job-retried", "job-dead", "job-stopped", "job-canceled", "job-deleted"})


@dataclass(slots=True)
class Lane:
    """The records of one job, one request, or of neither, in order."""

    key: str
    name: str
    entries: list[TimelineEntry] = field(default_factory=list)


@dataclass(slots=True)
class Group:
    """The lanes that belong together: a request and its jobs, or a job and the jobs that it enqueued."""

    key: str
    lanes: dict[str, Lane] = field(default_factory=dict)


def render(records: Iterable[Record], title: str) -> str:
    """The HTML page of records, which have to be in order."""
    groups = group(map(entry, records))
    lanes = [lane for one in groups for lane in one.lanes.values()]
    count = sum(len(lane.entries) for lane in lanes)
    template = Template(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=_shown(title),
        summary=escape(_summary(lanes, count)),
        picture=_chart(lanes) if lanes else "",
        groups="\n".join(_section(one) for one in groups),
    )


def group(entries: Iterable[TimelineEntry]) -> list[Group]:
    """Group entries by trace, else by root job. The groups are in the order of their first entries."""
    groups: dict[str, Group] = {}
    for one in entries:
        key, name = _lane_of(one)
        key_of_group = one.trace or _text(one.record, "rq", "root_job_id") or key
        lanes = groups.setdefault(key_of_group, Group(key_of_group)).lanes
        lane = lanes.setdefault(key, Lane(key, name))
        lane.name = lane.name or name
        lane.entries.append(one)
    return list(groups.values())


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


def _summary(lanes: list[Lane], count: int) -> str:
    if not lanes:
        return "No records."
    times = [one.at for lane in lanes for one in lane.entries]
    return f"{count} records from {_time(min(times))} to {_time(max(times))} (UTC)"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


# --- the chart ------------------------------------------------------------------------------------------


def _chart(lanes: list[Lane]) -> str:
    times = [one.at for lane in lanes for one in lane.entries]
    start, span_s = min(times), max((max(times) - min(times)).total_seconds(), 0.001)

    def x(time: datetime) -> float:
        return round(LEFT + (WIDTH - LEFT - 2 * DOT) * (time - start).total_seconds() / span_s, 1)

    height = (len(lanes) + 1) * ROW
    parts = [f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Lanes over time">']
    for tick in range(TICKS):
        at = LEFT + (WIDTH - LEFT - 2 * DOT) * tick / (TICKS - 1)
        anchor = "start" if tick == 0 else "end" if tick == TICKS - 1 else "middle"
        parts.append(f'<line class="axis" x1="{at:.1f}" y1="{ROW}" x2="{at:.1f}" y2="{height}"/>')
        parts.append(f'<text x="{at:.1f}" y="14" text-anchor="{anchor}">+{span_s * tick / (TICKS - 1):.2f} s</text>')
    for number, lane in enumerate(lanes):
        middle = (number + 1) * ROW + ROW / 2
        name = lane.name or lane.key
        shown = name if len(name) <= NAME_LIMIT else f"{name[: NAME_LIMIT - 1]}…"
        parts.append(
            f'<g class="lane"><a href="#{_anchor(lane)}"><text x="0" y="{middle + 4}">{_shown(shown)}</text></a>'
        )
        parts += [
            f'<rect class="{kind}" x="{x(begin)}" y="{middle - BAR / 2}" '
            f'width="{max(x(end) - x(begin), 1):.1f}" height="{BAR}" rx="2"/>'
            for kind, begin, end in _spans(lane)
        ]
        parts += [
            f'<circle class="{_outcome(one)}" cx="{x(one.at)}" cy="{middle}" r="{DOT}">'
            f"<title>{_shown(f'{_time(one.at)} {one.message}')}</title></circle>"
            for one in lane.entries
        ]
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"])


def _spans(lane: Lane) -> Iterator[tuple[str, datetime, datetime]]:
    """("wait" or "run", from, to) of a job, from its records."""
    pushed = started = None
    for one in lane.entries:
        if one.action in ("job-enqueued", "job-scheduled", "job-deferred"):
            pushed = one.at
        elif one.action == "job-started":
            if pushed is not None:
                yield "wait", pushed, one.at
            pushed, started = None, one.at
        elif one.action in _ENDINGS and one.dataset == "rq.job":
            if started is not None:
                yield "run", started, one.at
            started = None


def _outcome(one: TimelineEntry) -> str:
    return one.outcome if one.outcome in ("success", "failure") else "unknown"


def _anchor(lane: Lane) -> str:
    return "lane-" + "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in lane.key)


# --- the records ----------------------------------------------------------------------------------------


def _section(one: Group) -> str:
    first = min((lane.entries[0] for lane in one.lanes.values()), key=lambda entry_: entry_.at)
    parts = [f'<section class="group"><h2>{_shown(first.message)}</h2><p class="sub">{_shown(one.key)}</p>']
    for lane in one.lanes.values():
        parts.append(f'<h3 id="{_anchor(lane)}">{_shown(lane.name)} <span class="sub">{_shown(lane.key)}</span></h3>')
        parts.append("<table>")
        parts += map(_row, lane.entries)
        parts.append("</table>")
    return "\n".join([*parts, "</section>"])


def _row(one: TimelineEntry) -> str:
    content = printable_json(one.record, indent=True).decode()
    return (
        f'<tr class="record"><td><time datetime="{escape(one.at.isoformat())}">{_time(one.at)}</time></td>'
        f'<td class="what {_outcome(one)}">{_shown(one.action or one.dataset)}</td>'
        f'<td class="who">{_shown(one.user or "")}</td>'
        f"<td><details><summary>{_shown(one.message)}</summary><pre>{escape(content)}</pre></details></td></tr>"
    )
