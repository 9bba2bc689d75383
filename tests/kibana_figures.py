"""Figures of the known day in plain Python: what a panel of Kibana has to show follows from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kibana.words import LAG_OBJECTIVE_MS
from tests.known_day import Happening

INTERVAL, INTERVAL_MS = "5m", 300_000
NS = 1_000_000_000

Rows = list[Happening]
Figure = Callable[[Rows], Any]


# --- what follows from the day ---


@dataclass(frozen=True)
class Between:
    """A percentile of few values: an estimate by its nature, but never outside of its neighbours."""

    low: float
    high: float

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float | int) and self.low - 1e-6 <= other <= self.high + 1e-6

    __hash__ = None  # type: ignore[assignment]


def n(where: Callable[[Happening], object] = lambda one: True) -> Figure:
    return lambda rows: sum(1 for one in rows if where(one))


def a_minute(where: Callable[[Happening], object]) -> Figure:
    return lambda rows: n(where)(rows) * 60_000 / INTERVAL_MS


def values(rows: Rows, name: str, scale: float) -> list[float]:
    found = (get_of(one, name) for one in rows)
    return sorted(value * scale for value in found if value is not None)


def get_of(one: Happening, name: str) -> Any:
    return one.status[name] if one.status and name in one.status else getattr(one, name, None)


def summed(name: str, scale: float = 1) -> Figure:
    return lambda rows: sum(values(rows, name, scale))


def most(name: str, scale: float = 1) -> Figure:
    return lambda rows: max(values(rows, name, scale), default=None)


def in_unit(figure: Figure, divisor: float) -> Figure:
    def divided(rows: Rows) -> Any:
        found = figure(rows)
        if isinstance(found, Between):
            return Between(found.low / divisor, found.high / divisor)
        return None if found is None else found / divisor

    return divided


def among(where: Callable[[Happening], object], whole: Callable[[Happening], object] = lambda one: True) -> Figure:
    """A count, and none where nothing was there to be counted."""
    return lambda rows: n(lambda one: where(one) and whole(one))(rows) if any(whole(one) for one in rows) else None


def of_late(figure: Figure, minutes: int) -> Figure:
    """A figure of what happened in the last minutes only. The day ends `known_day.LASTS` after its start."""

    def late(rows: Rows) -> Any:
        return figure([one for one in rows if one.before_now <= minutes * 60])

    return late


def average(name: str) -> Figure:
    return lambda rows: sum(values(rows, name, 1)) / len(values(rows, name, 1))


def part(where: Callable[[Happening], object], whole: Callable[[Happening], object] = lambda one: True) -> Figure:
    def figure(rows: Rows) -> float | None:
        of = [one for one in rows if whole(one)]
        return sum(1 for one in of if where(one)) / len(of) if of else None

    return figure


def p(percent: int, name: str, scale: float = 1) -> Figure:
    def figure(rows: Rows) -> Between | None:
        found = values(rows, name, scale)
        if not found:
            return None
        at = percent / 100 * len(found)
        return Between(found[max(0, math.floor(at) - 1)], found[min(len(found) - 1, math.ceil(at))])

    return figure


def kinds(name: str) -> Figure:
    return lambda rows: len({value for one in rows if (value := get_of(one, name)) is not None})


def last(name: str) -> Figure:
    def figure(rows: Rows) -> Any:
        there = [one for one in rows if get_of(one, name) is not None]
        return get_of(max(there, key=lambda one: one.at), name) if there else None

    return figure


newest = most("ms")
OUTCOMES = {
    "finished": lambda one: one.action == "job-finished",
    "retried": lambda one: one.action == "job-retried",
    "dead": lambda one: one.action == "job-dead",
    "taken_away": lambda one: one.action in ("job-stopped", "job-canceled", "job-deleted"),
}
retried, dead = OUTCOMES["retried"], OUTCOMES["dead"]


def not_well(one: Happening) -> bool:
    return one.action in ("job-retried", "job-dead")


def failed(one: Happening) -> bool:
    """An attempt that failed: a job that expired in its queue never ran."""
    return not_well(one) and one.reason != "expired"


def attempted(one: Happening) -> bool:
    return failed(one) or one.action == "job-finished"


def started(one: Happening) -> bool:
    return one.action == "job-started"


def enqueued(one: Happening) -> bool:
    return one.action == "job-enqueued"


def timed(one: Happening) -> bool:
    return one.seconds is not None


def late(one: Happening) -> bool:
    return one.lag_ms is not None and one.lag_ms > LAG_OBJECTIVE_MS


def in_time(one: Happening) -> bool:
    return not late(one)


def denied(one: Happening) -> bool:
    return one.outcome == "failure"


def operator(one: Happening) -> bool:
    return one.actor == "operator"


def always(one: Happening) -> bool:
    return True


def attribute(name: str, missing: str | None = None) -> Callable[[Happening], Any]:
    return lambda one: missing if (value := getattr(one, name)) is None else value


def bucket(one: Happening) -> int:
    return int(one.ms) // INTERVAL_MS * INTERVAL_MS


def of_outcome(outcome: str) -> Callable[[Happening], bool]:
    return lambda one: one.outcome == outcome


@dataclass(frozen=True)
class Expected:
    """Which happenings a panel is about, what they are grouped by, and the figures of each group."""

    of: str
    figures: dict[str, Figure]
    keys: Mapping[str, Callable[[Happening], Any]] = field(default_factory=dict)
    where: Callable[[Happening], object] = always
    chosen: Callable[[Happening], object] | None = None
    """What is chosen above the page, where the panel's data view finds other records by it than that of their field."""


time, function, queue, version = {"time": bucket}, attribute("function"), attribute("queue"), attribute("version")
reason = attribute("reason")


def what_failed(one: Happening) -> str:
    return one.error or one.reason or "no error"


worked = {"time_worked": summed("seconds", NS)}
minutes_worked = {"time_worked": in_unit(summed("seconds", NS), 60 * NS)}
by_outcome = {name: n(where) for name, where in OUTCOMES.items()}
rate = {"failure_rate": part(failed, attempted)}
p50, p95, p99 = ({f"p{percent}": p(percent, "seconds", NS)} for percent in (50, 95, 99))
lag50, lag95, lag99 = ({f"p{percent}": p(percent, "lag_ms")} for percent in (50, 95, 99))


def states(state: str) -> Callable[[Happening], bool]:
    meant = {
        "waiting": ("queued", "scheduled", "deferred", "retrying"),
        "running": ("started", "busy"),
        "dead": ("dead", "expired", "lost"),
    }
    return lambda one: one.action in meant[state]


def seconds(figures: dict[str, Figure]) -> dict[str, Figure]:
    return {name: in_unit(figure, NS) for name, figure in figures.items()}


def minutes(figures: dict[str, Figure]) -> dict[str, Figure]:
    return {name: in_unit(figure, 60_000) for name, figure in figures.items()}


def thousandths(figures: dict[str, Figure]) -> dict[str, Figure]:
    return {name: in_unit(figure, 1000) for name, figure in figures.items()}


def of_state(one: Happening) -> str:
    """What failed, as the states tell it: they have the error, and else only the state."""
    return one.error or str(one.action)


def given(name: str) -> Callable[[Happening], Any]:
    return lambda one: get_of(one, name)


def over(one: Happening) -> bool:
    return bool(get_of(one, "state") == "closed")


def of_objective(rows: Rows, pick: Callable[[list[float]], float]) -> float | None:
    shares = [get_of(one, "oldest_age_s") / get_of(one, "objective_s") for one in sorted(rows, key=lambda one: one.at)]
    return pick(shares) if shares else None


WORST_WAIT = Expected(
    "rq.queue",
    {"oldest_job_of_its_objective": of_late(lambda rows: of_objective(rows, max), 6)},
)
WAITING_BY_QUEUE = Expected(
    "rq.queue",
    {
        "of_its_objective": of_late(lambda rows: of_objective(rows, lambda shares: shares[-1]), 6),
        "oldest_waits_for": of_late(last("oldest_age_s"), 6),
        "waiting": of_late(last("depth"), 6),
        "workers": of_late(last("workers"), 6),
    },
    {"queue": queue},
)


def least(name: str) -> Figure:
    return lambda rows: min(values(rows, name, 1), default=None)


def mean_of(name: str) -> Figure:
    return lambda rows: sum(found) / len(found) if (found := values(rows, name, 1)) else None
