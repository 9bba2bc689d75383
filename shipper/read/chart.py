"""The chart of the HTML page: a lane for each job or request, as SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from typing import NamedTuple

from ..printable import printable
from .attempts import Phase
from .clock import Clock, time_of_day

# Dimensions in units of the view box.
WIDTH, LEFT, ROW, DOT = 1000, 230, 22, 4
BARS = {"wait": 5, "run": 12}  # heights: they differ, so that they can be told apart without colours
TICKS = 5
NAME_LIMIT = 36  # characters of a lane's name that fit on its left


class Dot(NamedTuple):
    """A record in the chart. `phase`: what its job does from then on. `outcome` is success, failure or unknown."""

    at: datetime
    phase: Phase | None
    outcome: str
    message: str


LaneOfChart = tuple[str, str, Sequence[Dot]]
"""The anchor that it leads to, its name, its records in order."""


def chart(lanes: Sequence[LaneOfChart], clock: Clock) -> Iterator[str]:
    """The SVG, piece by piece. There is at least one lane, and each has a record."""
    start, end = (pick(dot.at for _, _, dots in lanes for dot in dots) for pick in (min, max))
    span_s = max((end - start).total_seconds(), 0.001)

    def x(time: datetime) -> float:
        return round(LEFT + (WIDTH - LEFT - 2 * DOT) * (time - start).total_seconds() / span_s, 1)

    height = (len(lanes) + 1) * ROW
    yield f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Lanes over time">\n'
    for tick in range(TICKS):
        moment = start + (end - start) * tick / (TICKS - 1)
        at = LEFT + (WIDTH - LEFT - 2 * DOT) * tick / (TICKS - 1)
        anchor = "start" if tick == 0 else "end" if tick == TICKS - 1 else "middle"
        yield f'<line class="axis" x1="{at:.1f}" y1="{ROW}" x2="{at:.1f}" y2="{height}"/>\n'
        yield f'<text x="{at:.1f}" y="14" text-anchor="{anchor}">{_tick(moment, clock, span_s)}</text>\n'
    for number, (target, name, dots) in enumerate(lanes):
        middle = (number + 1) * ROW + ROW / 2
        yield (
            f'<g class="lane" id="picture-{target}"><a href="#{target}"><text x="0" y="{middle + 4}">'
            f"{_shown(_short(name))}<title>{_shown(name)}</title></text></a>\n"
        )
        for kind, begin, until in _spans(dots):
            yield (
                f'<rect class="{kind}" x="{x(begin)}" y="{middle - BARS[kind] / 2}" '
                f'width="{max(x(until) - x(begin), 1.5):.1f}" height="{BARS[kind]}" rx="2"/>\n'
            )
        for dot in dots:
            title = f"<title>{_shown(f'{clock.full(dot.at)} {dot.message}')}</title>"
            yield f"{_mark(dot.outcome, x(dot.at), middle, title)}\n"
        yield "</g>\n"
    yield "</svg>\n"


def _mark(outcome: str, x: float, y: float, title: str) -> str:
    """A failure is a diamond, so that it can be told apart without colours."""
    if outcome == "failure":
        size = DOT + 1.5
        points = f"{x},{y - size} {x + size:.1f},{y} {x},{y + size} {x - size:.1f},{y}"
        return f'<polygon class="dot failure" points="{points}">{title}</polygon>'
    return f'<circle class="dot {outcome}" cx="{x}" cy="{y}" r="{DOT}">{title}</circle>'


def _spans(dots: Sequence[Dot]) -> Iterator[tuple[str, datetime, datetime]]:
    """("wait" or "run", from, to) of a job, from its records."""
    pushed = started = None
    for one in dots:
        if one.phase == "waits":
            pushed = pushed or one.at
        elif one.phase == "runs":
            if pushed is not None:
                yield "wait", pushed, one.at
            pushed, started = None, one.at
        elif one.phase == "ends":
            if started is not None:
                yield "run", started, one.at
            elif pushed is not None:
                yield "wait", pushed, one.at
            pushed = started = None
    if started is not None and dots[-1].at > started:
        yield "run", started, dots[-1].at


def _short(name: str) -> str:
    """The end of a dotted name says most."""
    if len(name) <= NAME_LIMIT:
        return name
    last = name.rpartition(".")[2]
    return f"…{name[-NAME_LIMIT + 1 :]}" if len(last) < NAME_LIMIT else f"{last[: NAME_LIMIT - 1]}…"


def _tick(moment: datetime, clock: Clock, span_s: float) -> str:
    here = clock.at(moment)
    if span_s < 10:
        return time_of_day(here)
    return f"{here:%H:%M:%S}" if span_s < 86_400 else f"{here:%a %d %H:%M}"


def _shown(value: str) -> str:
    return escape(printable(value))
