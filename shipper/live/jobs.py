"""The jobs in RQ's Redis: one by its id, or those that match. Unpickles nothing and changes nothing.

Lists and registries are read in pages while others change them. A job that is there all the time is found, possibly
twice; one that moves meanwhile may be found in either place, or not at all.
"""

from __future__ import annotations

import re
import zlib
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

from rq.results import Result

from .. import fields
from ..job_fields import CARRIED_FIELD, attempts, called_function, parse_carried, read_progress, text
from . import keys

PAGE = 500  # jobs per round trip

# RQ's statuses that have another name here.
_STATES = {"failed": "dead"}

# Neither `data` nor `meta` nor `result`: they are pickles.
_FIELDS = (
    "status", "description", "origin", "worker_name", "created_at", "enqueued_at", "started_at", "ended_at",
    "retries_left", "number_of_retries", CARRIED_FIELD,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job's state.

    `state` is queued, deferred, scheduled, started, retrying, finished, dead, stopped, canceled, deleted, expired or
    lost. `live`: it was read from Redis. `percent` and `message` are the job's progress; `percent` is 0 to 100.
    """

    job_id: str
    state: str
    live: bool
    function: str | None = None
    queue: str | None = None
    worker: str | None = None
    user: str | None = None
    customer: str | None = None
    attempt: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    error: str | None = None
    percent: float | None = None
    message: str | None = None
    family: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """Which jobs. None: any. `function` may have wildcards (`shop.*`), `error` is a part of the error, in any case.

    `family`: of the job's critical section, or the module of its function (`shop.jobs`, or `jobs` alone).
    """

    states: Collection[str]
    function: str | None = None
    family: str | None = None
    queue: str | None = None
    user: str | None = None
    customer: str | None = None
    error: str | None = None
    since: datetime | None = None
    without: str | None = None

    def matches(self, job: JobState) -> bool:
        wanted = ((self.queue, job.queue), (self.user, job.user), (self.customer, job.customer))
        return (
            job.state in self.states
            and job.job_id != self.without
            and all(one is None or one == own for one, own in wanted)
            and (self.function is None or fnmatchcase(job.function or "", self.function))
            and (self.family is None or is_of_family(job, self.family))
            and (self.error is None or self.error.lower() in (job.error or "").lower())
            and (self.since is None or (job.updated_at is not None and job.updated_at >= self.since))
        )


def is_of_family(job: JobState, family: str) -> bool:
    module = (job.function or "").rpartition(".")[0]
    return family in (job.family, module, module.rpartition(".")[2])


def get(connection: Any, job_id: str) -> JobState | None:
    """The job's state with its progress and last error, None if it is not in Redis. Raises redis.RedisError.

    The error is as RQ has it, with whatever secrets are in it.
    """
    state = parse(job_id, connection.hmget(keys.job(job_id), list(_FIELDS)))
    if state is None:
        return None
    if state.state in _FAILED_STATES and (trace := stack_trace(connection, job_id)):
        state = _with(state, error=_last_line(trace))
    progress = read_progress(connection, job_id)
    if progress is None:
        return state
    return _with(state, percent=progress.percent, message=progress.message)


def stack_trace(connection: Any, job_id: str) -> str | None:
    """The traceback that RQ has stored of the job's latest failure, as it is. Raises redis.RedisError."""
    return _trace(connection.xrevrange(_results(job_id), "+", "-", 1))


def ids_beginning(connection: Any, prefix: str, limit: int) -> list[str]:
    """At most `limit` ids of jobs in Redis that begin so; none if Redis has too many keys to look at all of them.

    Raises redis.RedisError.
    """
    if connection.dbsize() > _KEYS_LIMIT:
        return []
    pattern = keys.job(re.sub(r"([*?\[\]\\^])", r"\\\1", prefix)) + "*"
    found = connection.scan_iter(match=pattern, count=_SCAN_PAGE, _type="hash")
    return sorted(text(key).removeprefix(keys.JOB_PREFIX) for key in islice(found, limit))


_KEYS_LIMIT, _SCAN_PAGE = 2_000_000, 1000  # some 5 s, in steps between which Redis serves others
_FAILED_STATES = frozenset({"dead", "stopped", "scheduled"})  # a scheduled job may wait for a retry


def find(connection: Any, criteria: Criteria, *, with_error: bool = False) -> Iterator[JobState]:
    """The jobs that match, in no order. Raises redis.RedisError.

    `error` is filled in if the criteria ask for it, or `with_error`.
    """
    with_error = with_error or criteria.error is not None
    remaining = _ids(connection, criteria)
    while page := list(islice(remaining, PAGE)):
        yield from filter(criteria.matches, read(connection, page, with_error=with_error))


def read(connection: Any, ids: Iterable[str], *, with_error: bool = False) -> Iterator[JobState]:
    """The states of these jobs, without those that are not in Redis."""
    page = list(ids)
    commands: list[tuple[Any, ...]] = [("hmget", keys.job(job_id), list(_FIELDS)) for job_id in page]
    if with_error:
        commands += [("xrevrange", _results(job_id), "+", "-", 1) for job_id in page]
    answers = keys.ask(connection, commands)
    for at, job_id in enumerate(page):
        state = parse(job_id, answers[at])
        if state is not None:
            yield _with(state, error=_error(answers[len(page) + at])) if with_error else state


def parse(job_id: str, raw: Any) -> JobState | None:
    """The state from the values of _FIELDS; None if the job is not there."""
    values = {name: text(value) for name, value in zip(_FIELDS, raw, strict=True) if value}
    if "status" not in values:
        return None
    carried = parse_carried(values.get(CARRIED_FIELD))
    left, returned = _count(values.get("retries_left")), _count(values.get("number_of_retries"))
    _, attempt = attempts(left, returned, carried.get("max_attempts"))
    times = [fields.moment(values.get(name)) for name in ("ended_at", "started_at", "enqueued_at", "created_at")]
    return JobState(
        job_id=job_id,
        state=_STATES.get(values["status"], values["status"]),
        live=True,
        function=fields.text(carried, "function") or called_function(values.get("description")),
        queue=values.get("origin"),
        worker=values.get("worker_name"),
        user=fields.text(carried, "context", "user"),
        customer=fields.text(carried, "context", "customer"),
        attempt=attempt,
        created_at=fields.moment(values.get("created_at")),
        updated_at=max((time for time in times if time), default=None),
        family=fields.text(carried, "family"),
    )


def _with(state: JobState, **changes: Any) -> JobState:
    from dataclasses import replace

    return replace(state, **changes)


# --- where jobs of a state are ----------------------------------------------------------------------------


def _ids(connection: Any, criteria: Criteria) -> Iterator[str]:
    queues = [criteria.queue] if criteria.queue is not None else _queues(connection)
    for place in dict.fromkeys(_PLACES[state] for state in criteria.states if state in _PLACES):
        yield from place(connection, queues)


def _queues(connection: Any) -> list[str]:
    return sorted(keys.queue_name(key) for key in connection.smembers(keys.QUEUES))


def _waiting(connection: Any, queues: list[str]) -> Iterator[str]:
    """Read from the end of each list: workers take from its beginning, which moves no index from the end."""
    for name in queues:
        for key in (keys.queue(name), keys.in_flight(name)):
            last = -1
            while page := connection.lrange(key, last - PAGE + 1, last):
                yield from map(text, page)
                last -= PAGE


def _running(connection: Any, queues: list[str]) -> Iterator[str]:
    for name in queues:
        for member in _members(connection, keys.EXPIRING["started"].format(name)):
            yield member.rpartition(":")[0] or member  # `job id:execution id`


def _in_registry(kind: str) -> Callable[[Any, list[str]], Iterator[str]]:
    template = (keys.EXPIRING | keys.KEPT)[kind]

    def ids(connection: Any, queues: list[str]) -> Iterator[str]:
        for name in queues:
            yield from _members(connection, template.format(name))

    return ids


def _rate_limited(connection: Any, _queues: list[str]) -> Iterator[str]:
    for limit in connection.smembers(keys.RATE_LIMITS):
        yield from _members(connection, keys.rate_limited(text(limit)))


def _members(connection: Any, key: str) -> Iterator[str]:
    """ZSCAN: what is there all the time is found, however the set changes."""
    for member, _ in connection.zscan_iter(key, count=PAGE):
        yield text(member)


_failed = _in_registry("failed")
_PLACES: dict[str, Callable[[Any, list[str]], Iterator[str]]] = {
    "queued": _waiting,
    "started": _running,
    "scheduled": _in_registry("scheduled"),
    "deferred": _in_registry("deferred"),
    "rate_limited": _rate_limited,
    "finished": _in_registry("finished"),
    "dead": _failed,
    "stopped": _failed,
    "canceled": _in_registry("canceled"),
}
STATES = frozenset(_PLACES)
"""The states that a job in Redis may have, so that it can be found here."""


# --- errors -----------------------------------------------------------------------------------------------


def _results(job_id: str) -> str:
    key: str = Result.get_key(job_id)  # type: ignore[no-untyped-call]
    return key


def _error(latest: Any) -> str | None:
    """The last line of the traceback that RQ has stored of the latest failure."""
    trace = _trace(latest)
    return None if trace is None else _last_line(trace)


def _last_line(trace: str) -> str:
    return (trace.strip().splitlines() or [""])[-1]


def _trace(latest: Any) -> str | None:
    for _, stored in latest:
        compressed = stored.get(b"exc_string") or stored.get("exc_string")
        with suppress(ValueError, zlib.error):  # another program may have written it
            return zlib.decompress(b64decode(compressed or b"")).decode("utf-8", "replace")
    return None


def _count(given: str | None) -> int:
    """A number from a job's hash; 0 if it is missing or not a number, as anybody can write to Redis."""
    return int(given) if given and given.isascii() and given.isdecimal() and len(given) < _DIGITS else 0


_DIGITS = 10
