"""Asks about a queue before something is enqueued: is anybody working, and how long will it take?

    if not shipper.queues.has_workers("low"):
        messages.warning(request, "Reports are not made at the moment.")
    seconds = shipper.queues.eta("low")

Each function takes one round trip to Redis (in a Redis Cluster a few), changes nothing, and raises redis.RedisError.
The queue is a name, in the Redis of SHIPPER_REDIS or of `redis=…`; or an rq.Queue, in its own.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from . import settings as settings_module
from .forking import no_fork
from .settings import Settings

if TYPE_CHECKING:
    from redis import Redis
    from rq import Queue

    from .live.workers import WorkerSample


def has_workers(queue: str | Queue, *, settings: Settings | None = None, redis: Redis | None = None) -> bool:
    """Whether a live worker takes jobs from the queue. One that was killed, hangs, or is suspended is none."""
    _, workers = _depth_and_workers(queue, settings, redis)
    return any(_asking().takes_jobs(one) for one in workers)


def depth(queue: str | Queue, *, settings: Settings | None = None, redis: Redis | None = None) -> int:
    """How many jobs wait in the queue."""
    asking = _asking()
    connection, name = _where(queue, settings, redis)
    found: int = asking.depth(connection, name)
    return found


def oldest(queue: str | Queue, *, settings: Settings | None = None, redis: Redis | None = None) -> float | None:
    """Seconds for which the oldest waiting job has waited. None if nothing waits.

    With `at_front` the first job is not the oldest: it is searched for (docs/watch.md).
    """
    asking = _asking()
    connection, name = _where(queue, settings, redis)
    found = asking.oldest(connection, name)
    return None if found is None else max(0.0, (asking.now() - found.at).total_seconds())


def eta(queue: str | Queue, *, settings: Settings | None = None, redis: Redis | None = None) -> float | None:
    """Seconds until a job that is enqueued now would start: an estimate.

    The jobs before it, times what a job took the queue's workers on average since they began, by the number of live
    workers. 0 if one is free. None if no worker lives, or nobody knows yet how long a job takes.
    """
    found: float | None = _asking().eta_s(*_depth_and_workers(queue, settings, redis))
    return found


def _depth_and_workers(
    queue: str | Queue, settings: Settings | None, redis: Redis | None
) -> tuple[int, list[WorkerSample]]:
    asking = _asking()
    found: tuple[int, list[WorkerSample]] = asking.depth_and_workers(*_where(queue, settings, redis))
    return found


def _where(queue: str | Queue, settings: Settings | None, redis: Redis | None) -> tuple[Redis, str]:
    if not isinstance(queue, str):
        return redis or queue.connection, queue.name
    return redis or _connection(settings), queue


_connections: dict[str, Redis] = {}
"""By URL. A connection for each question would cost round trips; redis-py connects again after a fork."""


def _connection(settings: Settings | None) -> Redis:
    config = settings or _default_settings()
    known = _connections.get(config.redis)
    if known is None:
        with no_fork:
            from .live.connection import connect
        known = _connections[config.redis] = connect(config)
    return known


@cache
def _default_settings() -> Settings:
    return settings_module.load(complain=lambda _: None)  # emitters say what is wrong, and once is enough


def _asking() -> Any:
    with no_fork:
        from .live import asking
    return asking
