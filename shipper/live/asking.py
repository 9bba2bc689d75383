"""One queue, asked in one round trip: for web views, which ask before they enqueue.

A Lua script does in Redis what queues.py and workers.py do in several round trips. Where scripts cannot be used (in a
cluster, or an access control list forbids them) those are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from redis.exceptions import ResponseError
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from .. import lua
from ..fields import moment
from ..job_fields import text
from . import keys, queues, workers
from .queues import Oldest
from .workers import WorkerSample

_FIELDS = ("state", "death", "successful_job_count", "failed_job_count", "total_working_time")


def oldest(connection: Any, queue: str) -> Oldest | None:
    """The oldest waiting job of a queue. Raises redis.RedisError."""
    if _takes_scripts(connection):
        try:
            found = connection.eval(lua.source(__package__, "oldest"), 1, keys.queue(queue), keys.JOB_PREFIX)
        except ResponseError:
            pass
        else:
            at = moment(text(found[1])) if found else None
            return Oldest(job_id=text(found[0]), at=at) if at else None
    return queues.oldest_jobs(connection, {queue: depth(connection, queue)}).get(queue)


def depth(connection: Any, queue: str) -> int:
    """How many jobs wait in a queue. Raises redis.RedisError."""
    return int(connection.llen(keys.queue(queue)))


def depth_and_workers(connection: Any, queue: str) -> tuple[int, list[WorkerSample]]:
    """How many jobs wait, and the queue's workers, without what they run. Raises redis.RedisError."""
    if _takes_scripts(connection):
        arguments = (keys.WORKER_PREFIX, PUBSUB_CHANNEL_TEMPLATE % "", *_FIELDS)
        script = lua.source(__package__, "workers")
        with connection.pipeline(transaction=False) as pipeline:
            pipeline.llen(keys.queue(queue))
            pipeline.eval(script, 1, keys.workers_of(queue), *arguments)
            waiting, found = pipeline.execute(raise_on_error=False)
        if isinstance(waiting, Exception):
            raise waiting
        if not isinstance(found, Exception):
            samples = [_sample(*one) for one in found]
            return int(waiting), [one for one in samples if one is not None]
        if not isinstance(found, ResponseError):
            raise found
    return depth(connection, queue), workers.read(connection, workers.names(connection, queue))


def takes_jobs(worker: WorkerSample) -> bool:
    """Whether a worker is alive and not suspended."""
    return worker.is_live and worker.state != "suspended"


def mean_s(samples: Iterable[WorkerSample]) -> float | None:
    """How long a job took these workers on average, since they began. None if they have ended none yet."""
    ended = working_s = 0.0
    for one in samples:
        ended += one.successes + one.failures
        working_s += one.working_s
    return working_s / ended if ended else None


def eta_s(waiting: int, samples: Sequence[WorkerSample]) -> float | None:
    """Seconds until a job that is enqueued now starts: an estimate from what jobs took these workers until now.

    0 if a worker is free for it. None if no worker lives, or nobody knows yet how long a job takes.
    """
    live = [one for one in samples if takes_jobs(one)]
    ahead = waiting + 1 - sum(not one.is_busy for one in live)  # ends of jobs to be waited for
    if not live:
        return None
    if ahead <= 0:
        return 0.0
    mean = mean_s(live)
    return None if mean is None else mean * ahead / len(live)


def now() -> datetime:
    return datetime.now(UTC)


def _sample(key: bytes | str, values: Sequence[Any], ttl_ms: int, subscribers: int) -> WorkerSample | None:
    """A worker from what the script returns; None if it said that it ended."""
    state, death, successes, failures, working_s = (text(one) if one else "" for one in values)
    if death:
        return None
    return WorkerSample(
        name=keys.worker_name(key),
        state=state or ("?" if ttl_ms >= 0 else "gone"),
        expires_in_s=ttl_ms / 1000 if ttl_ms >= 0 else None,
        is_subscribed=int(subscribers) > 0,
        successes=int(successes or 0),
        failures=int(failures or 0),
        working_s=float(working_s or 0.0),
    )


def _takes_scripts(connection: Any) -> bool:
    return not hasattr(connection, "get_primaries")  # of a cluster a script sees one node
