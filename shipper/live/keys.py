"""The names of RQ's keys, from the constants of the installed RQ: they follow its version and RQ_KEY_PREFIX."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from rq import registry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.queue import Queue
from rq.worker import BaseWorker
from rq.worker_registration import REDIS_WORKER_KEYS, WORKERS_BY_QUEUE_KEY

from ..job_fields import text

QUEUES = Queue.redis_queues_keys  # a set of queues' keys
QUEUE_PREFIX = Queue.redis_queue_namespace_prefix
JOB_PREFIX = Job.redis_job_namespace_prefix
WORKERS = REDIS_WORKER_KEYS  # a set of workers' keys
WORKER_PREFIX = BaseWorker.redis_worker_namespace_prefix
PREFIX = QUEUES.removesuffix("queues")
"""`rq:`, or what RQ_KEY_PREFIX says (RQ 3)."""
CRON_SCHEDULERS = f"{PREFIX}cron_schedulers"  # a sorted set, by heartbeat
RATE_LIMITS = f"{PREFIX}rl-keys"  # a set of limits' keys
SUSPENDED = f"{PREFIX}suspended"

# Commands in one pipeline: enough to spare round trips, and few enough that Redis serves others between them.
CHUNK = 2000


def queue(name: str) -> str:
    """The list of the jobs that wait in a queue."""
    return f"{QUEUE_PREFIX}{name}"


def queue_name(key: bytes | str) -> str:
    return text(key).removeprefix(QUEUE_PREFIX)


def in_flight(name: str) -> str:
    """The list of the jobs that workers have taken from the queue and not yet started."""
    return IntermediateQueue.get_intermediate_queue_key(queue(name))


def job(job_id: str) -> str:
    """The hash of a job."""
    return f"{JOB_PREFIX}{job_id}"


def workers_of(name: str) -> str:
    """The set of the keys of a queue's workers."""
    return WORKERS_BY_QUEUE_KEY % name


def worker_name(key: bytes | str) -> str:
    return text(key).removeprefix(WORKER_PREFIX)


def executions_of_worker(name: str) -> str:
    """RQ 3: the set of `job id:execution id` that a worker runs. In older ones the worker's hash has `current_job`."""
    return f"{WORKER_PREFIX}{name}:executions"


def rate_limited(limit: str) -> str:
    """RQ 3: the sorted set of the jobs that wait for a rate limit."""
    return f"{PREFIX}rl:{limit}:rate_limited"


def cron_scheduler(name: str) -> str:
    """The hash of a cron scheduler."""
    return f"{PREFIX}cron_scheduler:{name}"


def cron_history(name: str) -> str:
    """RQ 2.12: the sorted set of the jobs that a cron job created, by their time."""
    return f"{PREFIX}cron_job:{name}:jobs"


# Registries: sorted sets of job ids. The first three are scored by the time at which an entry expires.
EXPIRING = {
    "started": registry.StartedJobRegistry.key_template,
    "finished": registry.FinishedJobRegistry.key_template,
    "failed": registry.FailedJobRegistry.key_template,
}
KEPT = {
    "scheduled": registry.ScheduledJobRegistry.key_template,
    "deferred": registry.DeferredJobRegistry.key_template,
    "canceled": registry.CanceledJobRegistry.key_template,
}
if hasattr(registry, "ReadyJobRegistry"):  # RQ 3
    KEPT["ready"] = registry.ReadyJobRegistry.key_template


def ask(connection: Any, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
    """The answers to `(method name, *arguments)` of redis-py, in few round trips. Raises redis.RedisError."""
    answers: list[Any] = []
    remaining: Iterator[tuple[Any, ...]] = iter(commands)
    while chunk := list(islice(remaining, CHUNK)):
        with connection.pipeline(transaction=False) as pipeline:
            for name, *arguments in chunk:
                method: Callable[..., Any] = getattr(pipeline, name)
                method(*arguments)
            answers += pipeline.execute()
    return answers
