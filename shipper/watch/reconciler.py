"""Finds jobs that ended without a closing record: compares the open states in Elasticsearch with Redis.

A job can vanish unnoticed: its time to live runs out in the queue, its key is deleted by hand, a worker's machine goes
down between two commands. After a grace time the reconciler writes an inferred record. It has an id of its own, so it
never replaces an observed one, and a lower rank, so every observed ending overrides it. It only reads Redis, with plain
commands: it never unpickles a payload, never changes a queue or job, and never calls RQ methods that clean registries.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from elasticsearch import Elasticsearch
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.queue import Queue
from rq.registry import StartedJobRegistry
from rq.utils import as_text

from ..emit.events import Failure, Hooks, Success
from ..emit.snapshot import JobSnapshot
from ..read.states import matching
from ..records import parse_timestamp
from ..settings import Settings
from ..state import epoch_of, job_id_of

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger("shipper")

CHUNK = 500  # jobs per round trip to Redis
OPEN_STATES = ("queued", "rate_limited", "deferred", "scheduled", "started", "retrying", "busy")
WAITING = frozenset({"queued", "rate_limited", "deferred", "scheduled", "retrying"})

# RQ's own maintenance runs every 600 s, and gets the first chance to declare a job abandoned.
ABANDONED_AFTER = timedelta(seconds=900)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenJob:
    """A job whose state document is open. `pushed_at` is the push that the state belongs to."""

    job_id: str
    state: str
    queue: str
    function: str | None
    worker: str | None
    context: dict[str, str]
    attempt: int
    pushed_at: datetime
    created_at: datetime | None
    updated_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisState:
    """The job in Redis. `status` is None if its key is gone.

    `execution_id` and `lease_until`: of its entry in StartedJobRegistry, None without one.
    `in_queue`, `in_flight`: it is in its queue, or in the intermediate queue of a worker that took it.
    """

    status: str | None = None
    pushed_at: datetime | None = None
    ended_at: datetime | None = None
    execution_id: str | None = None
    lease_until: datetime | None = None
    in_queue: bool = False
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What the comparison shows.

    `ending`: finished, stopped, canceled, deleted, or the `event.reason` of a dead job. None: logged, not recorded.
    """

    ending: str | None
    why: str


def conclude(job: OpenJob, in_redis: RedisState, now: datetime) -> Finding | None:
    """What became of an open job. None: nothing is wrong, or another process will record it. Pure."""
    if in_redis.status is None:
        return _gone(job, now)
    if in_redis.pushed_at is not None and abs(in_redis.pushed_at - job.pushed_at) > timedelta(milliseconds=2):
        return None  # it was pushed again since, and its records are not indexed yet
    if in_redis.status in ("finished", "stopped", "canceled"):
        return Finding(in_redis.status, "RQ has it as ended, and no record told of it")
    if in_redis.status == "failed":
        return Finding("lost", "RQ has it as failed, and no record told why")
    if in_redis.status == "started":
        return _started(in_redis, now)
    if in_redis.status == "queued" and not (in_redis.in_queue or in_redis.in_flight):
        return Finding("lost", "RQ has it as queued, but it is in no queue")
    if in_redis.in_flight:
        return Finding(None, "a worker took it and did not start it; RQ's maintenance will call it stuck")
    if in_redis.status in _STILL_WAITS:
        return Finding(None, _STILL_WAITS[in_redis.status])
    return None


# Statuses in which a job may wait for any time.
_STILL_WAITS = {
    "deferred": "it still waits for other jobs",
    "ready_to_enqueue": "the jobs that it waited for are done; RQ's maintenance will push it",
    "rate_limited": "it still waits for its rate limit",
}


def _gone(job: OpenJob, now: datetime) -> Finding:
    if job.state in WAITING:
        if job.expires_at is not None and job.expires_at <= now:
            return Finding("expired", "its time to live ran out before a worker took it")
        return Finding("deleted", "its key is gone from Redis, and it had not ended")
    return Finding("lost", "its key is gone from Redis while it ran")


def _started(in_redis: RedisState, now: datetime) -> Finding | None:
    if in_redis.execution_id is None:
        return Finding("lost", "RQ has it as started, but nobody is running it")
    if in_redis.lease_until is not None and now - in_redis.lease_until > ABANDONED_AFTER:
        return Finding("abandoned", "its worker's lease ran out, and no maintenance found it")
    return None


class Reconciler:
    """Compares all open jobs without a record for `grace` with Redis, and calls the observer's hooks for findings."""

    def __init__(
        self, search: Elasticsearch, redis: Redis, settings: Settings, observer: Hooks, grace: timedelta
    ) -> None:
        self._search = search
        self._redis: Any = redis
        self._settings = settings
        self._observer = observer
        self._grace = grace

    def run(self, now: datetime | None = None) -> list[tuple[OpenJob, Finding]]:
        """One pass. Returns the findings. Raises DestinationError and redis.RedisError."""
        now = now or datetime.now(UTC)
        findings = []
        jobs = self._open_jobs(now)
        while chunk := list(islice(jobs, CHUNK)):
            for job, in_redis in zip(chunk, self._read_redis(chunk), strict=True):
                finding = conclude(job, in_redis, now)
                if finding is not None:
                    findings.append((job, finding))
                    self._report(job, in_redis, finding, now)
        return findings

    def _open_jobs(self, now: datetime) -> Iterator[OpenJob]:
        filters: list[dict[str, Any]] = [
            {"terms": {"state": list(OPEN_STATES)}},
            {"terms": {"service.name": list(self._settings.every_service)}},  # other services may use another Redis
            {"range": {"updated_at": {"lte": (now - self._grace).isoformat()}}},
        ]
        for hit in matching(self._search, self._settings, filters, "asc"):
            yield _open_job(hit)

    def _read_redis(self, jobs: list[OpenJob]) -> list[RedisState]:
        """The state of each job in Redis: three commands per job, one round trip for all."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for job in jobs:
                queue = f"{Queue.redis_queue_namespace_prefix}{job.queue}"
                pipeline.hmget(Job.key_for(job.job_id), "status", "enqueued_at", "ended_at")
                pipeline.lpos(queue, job.job_id)
                pipeline.lpos(IntermediateQueue.get_intermediate_queue_key(queue), job.job_id)
            answers = pipeline.execute()
        leases = self._leases({job.queue for job in jobs})
        return [_redis_state(answers[3 * at : 3 * at + 3], leases.get(job.job_id), job) for at, job in enumerate(jobs)]

    def _leases(self, queues: set[str]) -> dict[str, tuple[str, float]]:
        """Job id → (execution id, end of the lease), from StartedJobRegistry, read without cleaning it up."""
        leases = {}
        for queue in queues:
            started = StartedJobRegistry.key_template.format(queue)
            for raw, score in self._redis.zrange(started, 0, -1, withscores=True):
                job_id, _, execution_id = as_text(raw).partition(":")
                leases[job_id] = (execution_id, score)
        return leases

    def _report(self, job: OpenJob, in_redis: RedisState, finding: Finding, now: datetime) -> None:
        log.info("Job %s (%s): %s.", job.job_id, job.function, finding.why, extra={"event.action": "job-reconciled"})
        snapshot = JobSnapshot(
            job_id=job.job_id,
            queue=job.queue,
            function=job.function,
            attempt=job.attempt,
            context=job.context,
            created_at=job.created_at,
            enqueued_at=job.pushed_at,
            ended_at=in_redis.ended_at or now,
        )
        worker = job.worker or ""
        match finding.ending:
            case None:
                return
            case "finished":
                success = Success(execution_id=in_redis.execution_id, worker=worker, concluded=True)
                self._observer.succeeded(snapshot, success)
            case "deleted" | "canceled":
                self._observer.removed(snapshot, finding.ending, concluded=True)
            case ending:
                self._observer.failed(
                    snapshot,
                    Failure(
                        execution_id=in_redis.execution_id,
                        worker=worker,
                        concluded=True,
                        inferred=True,
                        stopped=ending == "stopped",
                        text=f"Nobody told of its end: {finding.why}.",
                        reason=None if ending == "stopped" else ending,
                    ),
                )


def _open_job(hit: dict[str, Any]) -> OpenJob:
    source = hit["_source"]
    context = {"user": source.get("user", {}).get("id"), "customer": source.get("organization", {}).get("id")}
    return OpenJob(
        job_id=job_id_of(hit),
        state=source["state"],
        queue=source.get("queue", ""),
        function=source.get("job_type"),
        worker=source.get("worker"),
        context={name: value for name, value in context.items() if value is not None},
        attempt=source.get("attempt") or 1,
        pushed_at=epoch_of(hit["_version"]),
        created_at=_datetime(source.get("created_at")),
        updated_at=datetime.fromisoformat(source["updated_at"]),
        expires_at=_datetime(source.get("expires_at")),
    )


def _redis_state(answers: list[Any], lease: tuple[str, float] | None, job: OpenJob) -> RedisState:
    (status, enqueued_at, ended_at), in_queue, in_flight = answers
    pushed = _datetime(as_text(enqueued_at) if enqueued_at else None)
    return RedisState(
        status=as_text(status) if status else None,
        pushed_at=pushed if job.state != "deferred" else None,
        ended_at=_datetime(as_text(ended_at) if ended_at else None),
        execution_id=lease[0] if lease else None,
        lease_until=datetime.fromtimestamp(lease[1], UTC) if lease else None,
        in_queue=in_queue is not None,
        in_flight=in_flight is not None,
    )


def _datetime(text: str | None) -> datetime | None:
    return parse_timestamp(text) if text else None
