"""The attempts of one job, from its records: when each waited and ran, where, and how it ended. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from ..fields import moment, number, text, time_of, value
from ..records import Record
from ..state import CLOSING_ACTIONS, WAITING_ACTIONS

Phase = Literal["waits", "runs", "ends"]
_NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a job. Times and durations that no record tells are None.

    `waiting_since`: the push, or the end of the attempt before. `waited_s`: from then to the start. `end`: finished,
    retried, dead, stopped, …, or None while it runs; `reason` says more (exception, timeout, killed).
    """

    attempt: int | None = None
    execution_id: str | None = None
    waiting_since: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    waited_s: float | None = None
    ran_s: float | None = None
    end: str | None = None
    reason: str | None = None
    inferred: bool = False
    worker: str | None = None
    host: str | None = None
    error: str | None = None


def phase(record: Record) -> Phase | None:
    """What a job does from this record on. None if the record changes nothing, or is of no job.

    A job that could not get into a critical section goes on unless it was put back: then it has a time for that.
    """
    if text(record, "event", "dataset") != "rq.job":
        return None
    action = text(record, "event", "action")
    if action in WAITING_ACTIONS:
        return "waits"
    if action == "job-started":
        return "runs"
    if action not in CLOSING_ACTIONS or (action == "job-busy" and value(record, "rq", "retry_at") is None):
        return None
    return "ends"


def attempts(records: Iterable[Record]) -> list[Attempt]:
    """The attempts in the order of their starts. `records` are those of one job, in order."""
    found: dict[str, Attempt] = {}
    since: datetime | None = None
    for record in records:
        does, key = phase(record), _key(record)
        if does == "waits":
            since = since or time_of(record)
        elif does == "runs":
            found[key] = _started(found.get(key, Attempt()), record, since)
            since = None
        elif does == "ends" and (value(record, "event", "start") or key in found):
            found[key] = _closed(found.get(key) or Attempt(waiting_since=since), record)
            since = found[key].ended
    return list(found.values())


def _key(record: Record) -> str:
    return text(record, "rq", "execution_id") or f"attempt {text(record, 'rq', 'attempt')}"


def _started(one: Attempt, record: Record, since: datetime | None) -> Attempt:
    at = moment(value(record, "rq", "started_at")) or time_of(record)
    return _placed(replace(one, started=at, waiting_since=since, waited_s=_between(since, at)), record)


def _closed(one: Attempt, record: Record) -> Attempt:
    """With the ending of this record, unless it is only inferred and another was observed."""
    inferred = value(record, "rq", "inferred") is True
    if one.end is not None and inferred and not one.inferred:
        return one
    start = one.started or moment(value(record, "event", "start"))
    end = moment(value(record, "event", "end")) or time_of(record)
    duration = number(record, "event", "duration")
    said = [text(record, "error", "type"), text(record, "error", "message")]
    return replace(
        _placed(one, record),
        started=start,
        waited_s=one.waited_s if one.waited_s is not None else _between(one.waiting_since, start),
        ended=end,
        ran_s=_between(start, end) if duration is None else duration / _NS_PER_S,
        end=(text(record, "event", "action") or "").removeprefix("job-"),
        reason=text(record, "event", "reason"),
        inferred=inferred,
        error=": ".join(part for part in said if part) or None,
    )


def _placed(one: Attempt, record: Record) -> Attempt:
    attempt = number(record, "rq", "attempt")
    return replace(
        one,
        attempt=one.attempt if attempt is None else int(attempt),
        execution_id=text(record, "rq", "execution_id") or one.execution_id,
        worker=text(record, "messaging", "client", "id") or one.worker,
        host=text(record, "host", "name") or one.host,
    )


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else max(0.0, (end - start).total_seconds())
