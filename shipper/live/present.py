"""What `shipper now` shows: queues, workers, what runs, Redis, cron jobs, in one sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from . import asking, cron, queues, server, workers
from .cron import CronSample
from .queues import QueueSample
from .server import KeySample, ServerSample
from .workers import Running, WorkerSample

SECTIONS = ("queues", "workers", "running", "redis", "cron")


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A sample. What was not asked for is empty.

    `suspended`: `rq suspend` has told all workers to take no jobs. `by_queue`: the workers of each queue.
    """

    at: datetime
    suspended: bool = False
    queues: list[QueueSample] = field(default_factory=list)
    workers: list[WorkerSample] = field(default_factory=list)
    by_queue: dict[str, list[WorkerSample]] = field(default_factory=dict)
    servers: list[ServerSample] = field(default_factory=list)
    keys: KeySample = field(default_factory=KeySample)
    cron: list[CronSample] = field(default_factory=list)

    def workers_of(self, queue: str) -> list[WorkerSample]:
        """The workers that take jobs from a queue, dead ones left out."""
        return [one for one in self.by_queue.get(queue, ()) if asking.takes_jobs(one)]

    def eta_s(self, queue: QueueSample) -> float | None:
        """When a job that is enqueued now would start: see asking.eta_s."""
        return asking.eta_s(queue.depth, self.by_queue.get(queue.name, ()))

    def running(self) -> list[tuple[WorkerSample, Running]]:
        """What runs, the longest first."""
        found = [(worker, job) for worker in self.workers for job in worker.running]
        return sorted(found, key=lambda one: one[1].since or self.at)


def read(connection: Any, sections: Iterable[str] = SECTIONS) -> Present:
    """What is true now, of these sections. Bounded, and changes nothing. Raises redis.RedisError."""
    wanted = set(sections)
    found = workers.read(connection) if wanted & {"queues", "workers", "running"} else []
    by_queue: dict[str, list[WorkerSample]] = {}
    for worker in found:
        for name in worker.queues:
            by_queue.setdefault(name, []).append(worker)
    return Present(
        at=datetime.now(UTC),
        suspended=queues.is_suspended(connection),
        queues=queues.read(connection) if "queues" in wanted else [],
        workers=found,
        by_queue=by_queue,
        servers=server.read(connection) if "redis" in wanted else [],
        keys=server.sample_keys(connection) if "redis" in wanted else KeySample(),
        cron=cron.read(connection) if "cron" in wanted else [],
    )


def as_json(present: Present, sections: Iterable[str]) -> dict[str, Any]:
    """The sample as JSON values: times as ISO 8601, durations in seconds."""
    makers: dict[str, Callable[[Present], Any]] = {
        "queues": _queues, "workers": _workers, "running": _running, "redis": _redis, "cron": _cron,
    }  # fmt: skip
    made: dict[str, Any] = {"at": present.at, "suspended": present.suspended}
    return made | {name: makers[name](present) for name in SECTIONS if name in set(sections)}


def _queues(present: Present) -> list[dict[str, Any]]:
    return [
        asdict(one)
        | {
            "oldest_age_s": one.oldest_age_s(present.at) if one.oldest else None,
            "workers": len(present.workers_of(one.name)),
            "eta_s": present.eta_s(one),
        }
        for one in present.queues
    ]


def _workers(present: Present) -> list[dict[str, Any]]:
    return [
        asdict(one) | {"is_live": one.is_live, "is_late": one.is_late, "utilisation": utilisation(one, present.at)}
        for one in present.workers
    ]


def _running(present: Present) -> list[dict[str, Any]]:
    return [
        asdict(job)
        | {
            "worker": worker.name,
            "running_s": (present.at - job.since).total_seconds() if job.since else None,
            "worker_is_live": worker.is_live,
        }
        for worker, job in present.running()
    ]


def _redis(present: Present) -> dict[str, Any]:
    sample = present.keys
    return {
        "servers": [asdict(one) | {"used_share": one.used_share} for one in present.servers],
        "sampled_keys": sample.taken,
        "estimated_bytes_by_kind": {kind: sample.estimate(size) for kind, size in largest_kinds(sample)},
        "estimated_jobs_by_function": {
            name: {"jobs": sample.estimate(count), "bytes": sample.estimate(size), "largest_payload_bytes": largest}
            for name, (count, size, largest) in fattest_functions(sample)
        },
    }  # fmt: skip


def _cron(present: Present) -> list[dict[str, Any]]:
    return [asdict(one) | {"schedule": one.schedule, "outcomes": dict(one.outcomes)} for one in present.cron]


def largest_kinds(sample: KeySample) -> list[tuple[str, int]]:
    """(kind of key, bytes in the sample), largest first."""
    return sorted(sample.by_kind.items(), key=lambda one: -one[1])


def fattest_functions(sample: KeySample) -> list[tuple[str, tuple[int, int, int]]]:
    """(function, (jobs, bytes, largest payload) in the sample), the one with the most bytes first."""
    return sorted(sample.jobs_by_function.items(), key=lambda one: -one[1][1])


def utilisation(worker: WorkerSample, now: datetime) -> float | None:
    """The share of its life that a worker has worked, 0 to 1. None if it does not say when it began."""
    if worker.birth is None or (life_s := (now - worker.birth).total_seconds()) <= 0:
        return None
    return min(1.0, worker.working_s / life_s)
