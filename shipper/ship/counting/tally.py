"""What records of jobs add to the counters, by service, queue and function.

framing.c counts the lines that it takes in the same pass (reader/tally.h); PlainTally is the same for lines that are
looked at one by one, and says what is counted. A series is a flat list of numbers, so that two are added at once:

    a count for each of EVENTS, then for each of MEASURES its buckets (BOUNDS_S, and one beyond) and its sum in us
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from struct import unpack
from typing import Any, NamedTuple, Protocol

import orjson

EVENTS = (
    "enqueued", "scheduled", "deferred", "rate_limited", "refused", "started", "busy", "finished", "retried", "dead",
    "stopped", "canceled", "deleted", "timeout",
)  # fmt: skip
"""What is counted. `timeout` is counted beside `retried` or `dead`, if the attempt ran into its timeout."""

MEASURES = ("duration", "lag", "total")
"""What is measured: `event.duration` of an execution, `rq.lag_ms` of its start, `rq.total_ms` of a job's end."""

BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""The upper bounds of the buckets: jobs take milliseconds or hours."""

WIDTH = len(BOUNDS_S) + 2  # of a measure: its buckets, the one beyond, its sum
NUMBERS = len(EVENTS) + len(MEASURES) * WIDTH
LAGS = slice(len(EVENTS) + WIDTH, NUMBERS)
"""The measures that say how long jobs wait: lag and total."""

Labels = tuple[str, str, str]
"""Service, queue and function."""

NAMELESS = "unknown"  # a record that names no function: its payload could not be decoded
LABEL_LIMIT = 200  # characters of a label


class Counted(NamedTuple):
    """What a record of an action counts as. `fails`: it is an attempt's failure."""

    event: str
    measures: tuple[str, ...] = ()
    fails: bool = False


COUNTED = {
    "job-enqueued": Counted("enqueued"),
    "job-scheduled": Counted("scheduled"),
    "job-deferred": Counted("deferred"),
    "job-rate-limited": Counted("rate_limited"),
    "job-refused": Counted("refused"),
    "job-started": Counted("started", ("lag",)),
    "job-busy": Counted("busy"),
    "job-finished": Counted("finished", ("duration", "total")),
    "job-retried": Counted("retried", ("duration",), fails=True),
    "job-dead": Counted("dead", ("duration", "total"), fails=True),
    "job-stopped": Counted("stopped", ("duration", "total")),
    "job-canceled": Counted("canceled"),
    "job-deleted": Counted("deleted"),
}

_BOUNDS_US = [round(bound * 1e6) for bound in BOUNDS_S]
_MOST_US = 315_360_000_000_000  # ten years: no measure of a job. framer.h has it, too
_SAMPLES = 16  # of a measure in one tally: framer.h's SAMPLE_LIMIT
_EVENT_AT = {event: at for at, event in enumerate(EVENTS)}
_MEASURE_AT = {measure: len(EVENTS) + at * WIDTH for at, measure in enumerate(MEASURES)}


@dataclass(slots=True)
class Series:
    """What was counted of one set of labels. `samples`: of each measure some values in us, chosen at random."""

    labels: Labels
    numbers: Sequence[int]
    samples: tuple[Sequence[int], ...]

    def seen(self) -> list[int]:
        """How many values there were of each measure."""
        return [sum(self.numbers[at : at + WIDTH - 1]) for at in _MEASURE_AT.values()]


class Tally(Protocol):
    """What some records add to the counters."""

    def series(self) -> Iterator[Series]:
        """Each set of labels, in the order in which they were met first."""


class Native(Protocol):
    """framing.c's tally."""

    def read(self) -> list[tuple[bytes, bytes, bytes, bytes, bytes]]:
        """(labels as JSON, numbers, samples of each measure) of each set of labels."""


def for_native() -> tuple[int, int, list[tuple[bytes, int, int, bool]], list[int]]:
    """What framing.c has to know: events, the timeout's number, (action, event, measures, fails), bounds in us."""
    counted = [
        (action.encode(), _EVENT_AT[one.event], sum(1 << MEASURES.index(name) for name in one.measures), one.fails)
        for action, one in COUNTED.items()
    ]
    return len(EVENTS), _EVENT_AT["timeout"], counted, _BOUNDS_US


@dataclass(frozen=True, slots=True)
class NativeTally:
    """A tally that framing.c made. `made_at` is `time.monotonic()`."""

    native: Native
    made_at: float = field(default_factory=time.monotonic)

    def series(self) -> Iterator[Series]:
        for labels, numbers, *samples in self.native.read():
            service, queue, function = _loads(labels)
            yield Series(
                (_label(service), _label(queue), _label(function)),
                unpack(_FORMAT, numbers),
                tuple(unpack(f"{len(one) // 8}q", one) for one in samples),
            )


_FORMAT = f"{NUMBERS}q"


def _loads(labels: bytes) -> list[Any]:
    try:
        return orjson.loads(labels)  # type: ignore[no-any-return]
    except orjson.JSONDecodeError:  # it has a lone surrogate, which is no text
        return [None, None, None]


@dataclass(slots=True)
class PlainTally:
    """A tally in Python, of records that are looked at one by one."""

    _all: dict[Labels, Series] = field(default_factory=dict)
    _seen: dict[tuple[Labels, str], int] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any], *, fresh: bool) -> None:
        """Count a record of a job. `fresh`: it is of now, so that it may say how long jobs wait now."""
        event = _within(record, "event")
        counted = COUNTED.get(event["action"]) if isinstance(event.get("action"), str) else None
        if counted is None:
            return
        labels = labels_of(record)
        series = self._all.get(labels)
        if series is None:
            series = self._all[labels] = Series(labels, [0] * NUMBERS, ([], [], []))
        numbers: list[int] = series.numbers  # type: ignore[assignment]
        numbers[_EVENT_AT[counted.event]] += 1
        if counted.fails and event.get("reason") == "timeout":
            numbers[_EVENT_AT["timeout"]] += 1
        rq = _within(record, "rq")
        for name in counted.measures:
            us = _microseconds(event.get("duration"), 1, 1000) if name == "duration" else None
            if name != "duration" and fresh:
                us = _microseconds(rq.get(f"{name}_ms"), 1000, 1)
            if us is not None:
                self._measure(series, name, us)

    def series(self) -> Iterator[Series]:
        return iter(self._all.values())

    def _measure(self, series: Series, name: str, us: int) -> None:
        numbers: list[int] = series.numbers  # type: ignore[assignment]
        at = _MEASURE_AT[name]
        numbers[at + next((place for place, bound in enumerate(_BOUNDS_US) if us <= bound), len(_BOUNDS_US))] += 1
        numbers[at + WIDTH - 1] += us
        seen = self._seen[series.labels, name] = self._seen.get((series.labels, name), 0) + 1
        samples: list[int] = series.samples[MEASURES.index(name)]  # type: ignore[assignment]
        if seen <= _SAMPLES:
            samples.append(us)
        elif (place := random.randrange(seen)) < _SAMPLES:  # noqa: S311 - a reservoir, no secret
            samples[place] = us


def labels_of(record: Mapping[str, Any]) -> Labels:
    """A record's service, queue and function."""
    return (
        _label(_within(record, "service").get("name")),
        _label(_within(record, "messaging", "destination").get("name")),
        _label(_within(record, "code", "function").get("name")),
    )


def event_count(numbers: Sequence[int], event: str) -> int:
    """How many of an event are in a series. `failed` are the attempts that failed: retried or dead."""
    if event == "failed":
        return numbers[_EVENT_AT["retried"]] + numbers[_EVENT_AT["dead"]]
    return numbers[_EVENT_AT[event]]


def buckets(numbers: Sequence[int], measure: str) -> tuple[Sequence[int], float]:
    """(how many values are in each bucket, their sum in seconds) of a measure of a series."""
    at = _MEASURE_AT[measure]
    return numbers[at : at + WIDTH - 1], numbers[at + WIDTH - 1] / 1e6


def _label(value: object) -> str:
    return value[:LABEL_LIMIT] if isinstance(value, str) and value else NAMELESS


def _within(record: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found: Any = record
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _microseconds(value: object, times: int, by: int) -> int | None:
    """A whole number that is not negative, times and by something. None for what is none, or is beyond all reason."""
    if type(value) is not int or not 0 <= value < 10**18:
        return None
    return value * times // by if value // by <= _MOST_US // times else None
