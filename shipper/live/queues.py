"""Queues as they are now: how many jobs wait and how long, how many are in each of RQ's registries."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..fields import moment
from ..job_fields import text
from . import keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Oldest:
    """The job of a queue that was pushed first. `at` is RQ's `enqueued_at` of that push."""

    job_id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSample:
    """One queue. Counts are what RQ's registries would answer after their clean-up, which is not done here.

    `depth`: jobs in the queue. `in_flight`: taken by a worker and not yet started.
    `oldest`: None if nothing waits, or if no waiting job's key exists any more.
    `started`: executions with a valid lease. `abandoned`: those whose lease ran out, which RQ has not noticed yet.
    `ready`: their dependencies are met, and nobody has pushed them yet (RQ 3).
    `rate_limited`: jobs that wait for a rate limit (RQ 3); an estimate if more than RATE_LIMITED_BOUND do.
    """

    name: str
    depth: int = 0
    oldest: Oldest | None = None
    in_flight: int = 0
    scheduled: int = 0
    deferred: int = 0
    started: int = 0
    abandoned: int = 0
    finished: int = 0
    failed: int = 0
    canceled: int = 0
    ready: int = 0
    rate_limited: int = 0

    def oldest_age_s(self, now: datetime) -> float:
        """Seconds for which the oldest job has waited. 0 if nothing waits, or its enqueuer's clock is ahead."""
        return max(0.0, (now - self.oldest.at).total_seconds()) if self.oldest else 0.0


def names(connection: Any) -> list[str]:
    """The names of all queues that RQ knows, sorted. Raises redis.RedisError."""
    return sorted(keys.queue_name(key) for key in connection.smembers(keys.QUEUES))


def read(connection: Any, wanted: Iterable[str] | None = None, now: float | None = None) -> list[QueueSample]:
    """All queues, or those wanted, in a handful of round trips for all of them.

    `now` is a Unix time, by which leases and entries of registries have expired. Raises redis.RedisError.
    """
    queues = names(connection) if wanted is None else list(wanted)
    moment = int(time.time() if now is None else now)  # RQ's registries count in whole seconds
    answers = keys.ask(connection, (command for name in queues for command in _commands(name, moment)))
    limited = rate_limited(connection, queues)
    width = len(_commands("", moment))
    counts = [answers[width * number : width * (number + 1)] for number in range(len(queues))]
    depths = {name: count[0] for name, count in zip(queues, counts, strict=True)}
    oldest = oldest_jobs(connection, depths)
    return [
        _sample(name, count, oldest.get(name), limited.get(name, 0)) for name, count in zip(queues, counts, strict=True)
    ]


def _commands(name: str, moment: int) -> list[tuple[Any, ...]]:
    commands: list[tuple[Any, ...]] = [("llen", keys.queue(name)), ("llen", keys.in_flight(name))]
    for template in keys.EXPIRING.values():
        key = template.format(name)
        # What RQ's clean-up would remove: 0 to now. A negative score is an entry without an expiry.
        commands += [("zcard", key), ("zcount", key, 0, moment)]
    commands += [("zcard", template.format(name)) for template in keys.KEPT.values()]
    return commands


def _sample(name: str, answers: Sequence[int], oldest: Oldest | None, limited: int) -> QueueSample:
    depth, in_flight, *rest = answers
    counts: dict[str, int] = {}
    for number, registry in enumerate(keys.EXPIRING):
        total, expired = rest[2 * number : 2 * number + 2]
        counts[registry] = total - expired
        if registry == "started":
            counts["abandoned"] = expired
    counts.update(zip(keys.KEPT, rest[2 * len(keys.EXPIRING) :], strict=True))
    return QueueSample(
        name=name, depth=depth, oldest=oldest if depth else None, in_flight=in_flight, rate_limited=limited, **counts
    )


# --- the oldest job ---------------------------------------------------------------------------------------

Positions = list[int]
Times = dict[int, tuple[str, datetime]]
PROBES = 16  # positions in one step of the search
STEPS = 6  # 16 ** 6 jobs, and a bound if the order is another than expected


def oldest_jobs(connection: Any, depths: dict[str, int]) -> dict[str, Oldest]:
    """Queue → its oldest waiting job. Three round trips, and three for each step of a search, for all queues together.

    Raises redis.RedisError.
    """
    searches = {name: find_oldest(depth) for name, depth in depths.items() if depth}
    asked = {name: next(search) for name, search in searches.items()}
    found: dict[str, Oldest] = {}
    while asked:
        answers = _times(connection, asked)
        following: dict[str, Positions] = {}
        for name in asked:
            try:
                following[name] = searches[name].send(answers.get(name, {}))
            except StopIteration as end:
                if end.value is not None:
                    found[name] = Oldest(job_id=end.value[0], at=end.value[1])
        asked = following
    return found


def find_oldest(depth: int) -> Generator[Positions, Times, tuple[str, datetime] | None]:
    """Search the oldest of `depth` jobs. Yields positions, takes their jobs' ids and times, returns the oldest found.

    RQ pushes at the end. So the first job is the oldest, if it is not younger than the second: then two are looked at.
    With `at_front` jobs are pushed before the first. Those are at the front, the youngest first, and behind them are
    the others, the oldest first: along the queue, times fall and then rise, and the oldest job is where they turn. It
    is approached with PROBES positions at a time, between the neighbours of the oldest one so far. For jobs in another
    order (pushed by hand), the result is the oldest of those looked at: at most PROBES x STEPS.
    """
    known = dict((yield list(range(min(depth, 2)))))
    if depth <= 2 or (len(known) == 2 and known[0][1] <= known[1][1]):
        return min(known.values(), key=_time, default=None)
    low, high = 0, depth - 1
    for _ in range(STEPS):
        width = high - low
        positions = sorted({low + width * step // (PROBES - 1) for step in range(PROBES)})
        known.update((yield [position for position in positions if position not in known]))
        seen = sorted(known)
        if not seen:
            return None  # the keys of all that were looked at are gone
        at = seen.index(min(seen, key=lambda position: known[position][1]))
        low, high = seen[max(at - 1, 0)], seen[min(at + 1, len(seen) - 1)]
        if width < PROBES:
            break  # each position between them was looked at
    return min(known.values(), key=_time)


def _time(job: tuple[str, datetime]) -> datetime:
    return job[1]


def _times(connection: Any, asked: dict[str, Positions]) -> dict[str, Times]:
    """The ids and times of the jobs at these positions. Positions without a job, or whose job is gone, are left out."""
    places = [(name, position) for name, positions in asked.items() for position in positions]
    ids = keys.ask(connection, (("lindex", keys.queue(name), position) for name, position in places))
    jobs = [(place, text(raw)) for place, raw in zip(places, ids, strict=True) if raw is not None]
    stored = keys.ask(connection, (("hget", keys.job(job_id), "enqueued_at") for _, job_id in jobs))
    result: dict[str, Times] = {}
    for ((name, position), job_id), raw in zip(jobs, stored, strict=True):
        if raw and (at := moment(text(raw))):
            result.setdefault(name, {})[position] = (job_id, at)
    return result


# --- rate limits ------------------------------------------------------------------------------------------

RATE_LIMITED_BOUND = 1000  # jobs whose queue is looked up; of more, the shares of the queues are estimated


def rate_limited(connection: Any, queues: Iterable[str]) -> dict[str, int]:
    """Queue → jobs that wait for a rate limit. RQ has them by limit, and the queue is in each job's hash.

    Raises redis.RedisError.
    """
    limits = [text(raw) for raw in connection.smembers(keys.RATE_LIMITS)]
    if not limits:
        return {}
    totals = keys.ask(connection, (("zcard", keys.rate_limited(limit)) for limit in limits))
    share = max(10, RATE_LIMITED_BOUND // len(limits))
    looked_at = [(limit, total) for limit, total in zip(limits, totals, strict=True) if total][:RATE_LIMITED_BOUND]
    waiting = keys.ask(connection, (("zrange", keys.rate_limited(limit), 0, share - 1) for limit, _ in looked_at))
    origins = iter(keys.ask(connection, (("hget", keys.job(text(raw)), "origin") for ids in waiting for raw in ids)))
    counts: dict[str, float] = dict.fromkeys(queues, 0.0)
    for (_, total), ids in zip(looked_at, waiting, strict=True):
        for _ in ids:
            origin = next(origins)
            if origin and text(origin) in counts:
                counts[text(origin)] += total / len(ids)
    return {name: round(count) for name, count in counts.items()}


def is_suspended(connection: Any) -> bool:
    """Whether `rq suspend` has told all workers to take no jobs. Raises redis.RedisError."""
    return bool(connection.exists(keys.SUSPENDED))
