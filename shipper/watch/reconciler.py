"""Jobs whose end nobody could tell: the states that Elasticsearch has as open, held against what Redis has.

A job can vanish without any process noticing: its time to live runs out in the queue, somebody deletes its key
by hand, a worker and its machine go down between two commands. The reconciler looks, after a grace time, and
writes an inferred record: with an id of its own, so that it never silences a witness, and of a rank that any
witness outranks. It reads hashes, lists and sorted sets by plain commands: it never unpickles a payload, never
changes a queue or a job, and never calls what cleans up by counting.
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

CHUNK = 500  # jobs that Redis is asked about at once
OPEN_STATES = ("queued", "rate_limited", "deferred", "scheduled", "started", "retrying", "busy")
WAITING = frozenset({"queued", "rate_limited", "deferred", "scheduled", "retrying"})

# RQ runs its own maintenance every 600 s; what is left to it is not ours to conclude before.
ABANDONED_AFTER = timedelta(seconds=900)


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A job that Elasticsearch has as open. `pushed_at` is of the push that its state belongs to."""

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
class Seen:
    """What Redis has of it. `pushed_at` is None where the key is gone; `lease_until` where nobody runs it."""

    status: str | None = None
    pushed_at: datetime | None = None
    ended_at: datetime | None = None
    execution_id: str | None = None
    lease_until: datetime | None = None
    in_queue: bool = False
    in_flight: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """What follows. `ending` is finished, stopped, canceled, deleted, or the reason of a death; None: only a word."""

    ending: str | None
    why: str


def conclude(job: Open, seen: Seen, now: datetime) -> Finding | None:
    """What became of an open job. None: it is as it should be, or somebody else will tell. Pure."""
    if seen.status is None:
        return _gone(job, now)
    if seen.pushed_at is not None and abs(seen.pushed_at - job.pushed_at) > timedelta(milliseconds=2):
        return None  # it was pushed again since; its records are on their way
    if seen.status in ("finished", "stopped", "canceled"):
        return Finding(seen.status, "RQ has it as ended, and no record told of it")
    if seen.status == "failed":
        return Finding("lost", "RQ has it as failed, and no record told why")
    if seen.status == "started":
        return _started(seen, now)
    if seen.status == "queued" and not (seen.in_queue or seen.in_flight):
        return Finding("lost", "RQ has it as queued, but it is in no queue")
    if seen.in_flight:
        return Finding(None, "a worker took it and did not start it; RQ's maintenance will call it stuck")
    if seen.status in _STILL_WAITS:
        return Finding(None, _STILL_WAITS[seen.status])
    return None


# RQ has it so, and nothing is wrong with it.
_STILL_WAITS = {
    "deferred": "it still waits for other jobs",
    "ready_to_enqueue": "the jobs that it waited for are done; RQ's maintenance will push it",
    "rate_limited": "it still waits for its rate limit",
}


def _gone(job: Open, now: datetime) -> Finding:
    if job.state in WAITING:
        if job.expires_at is not None and job.expires_at <= now:
            return Finding("expired", "its time to live ran out before a worker took it")
        return Finding("deleted", "its key is gone from Redis, and it had not ended")
    return Finding("lost", "its key is gone from Redis while it ran")


def _started(seen: Seen, now: datetime) -> Finding | None:
    if seen.execution_id is None:
        return Finding("lost", "RQ has it as started, but nobody is running it")
    if seen.lease_until is not None and now - seen.lease_until > ABANDONED_AFTER:
        return Finding("abandoned", "its worker's lease ran out, and no maintenance found it")
    return None


class Reconciler:
    """Looks at everything open that nobody has told of for `grace`, and tells `observer` what follows."""

    def __init__(
        self, search: Elasticsearch, redis: Redis, settings: Settings, observer: Hooks, grace: timedelta
    ) -> None:
        self._search = search
        self._redis: Any = redis
        self._settings = settings
        self._observer = observer
        self._grace = grace

    def run(self, now: datetime | None = None) -> list[tuple[Open, Finding]]:
        """One pass; returns what was found. Raises DestinationError and redis.RedisError."""
        now = now or datetime.now(UTC)
        found = []
        jobs = self._open(now)
        while chunk := list(islice(jobs, CHUNK)):
            for job, seen in zip(chunk, self._look(chunk), strict=True):
                finding = conclude(job, seen, now)
                if finding is not None:
                    found.append((job, finding))
                    self._tell(job, seen, finding, now)
        return found

    def _open(self, now: datetime) -> Iterator[Open]:
        filters: list[dict[str, Any]] = [
            {"terms": {"state": list(OPEN_STATES)}},
            {"terms": {"service.name": list(self._settings.every_service)}},  # others' jobs may be on another Redis
            {"range": {"updated_at": {"lte": (now - self._grace).isoformat()}}},
        ]
        for hit in matching(self._search, self._settings, filters, "asc"):
            yield _open_job(hit)

    def _look(self, jobs: list[Open]) -> list[Seen]:
        """What Redis has of each, in three commands a job and one round trip for all."""
        with self._redis.pipeline(transaction=False) as pipeline:
            for job in jobs:
                queue = f"{Queue.redis_queue_namespace_prefix}{job.queue}"
                pipeline.hmget(Job.key_for(job.job_id), "status", "enqueued_at", "ended_at")
                pipeline.lpos(queue, job.job_id)
                pipeline.lpos(IntermediateQueue.get_intermediate_queue_key(queue), job.job_id)
            answers = pipeline.execute()
        leases = self._leases({job.queue for job in jobs})
        return [_seen(answers[3 * at : 3 * at + 3], leases.get(job.job_id), job) for at, job in enumerate(jobs)]

    def _leases(self, queues: set[str]) -> dict[str, tuple[str, float]]:
        """(execution id, until when) of every job that is in a registry of started jobs, read without cleaning it."""
        leases = {}
        for queue in queues:
            started = StartedJobRegistry.key_template.format(queue)
            for raw, score in self._redis.zrange(started, 0, -1, withscores=True):
                job_id, _, execution_id = as_text(raw).partition(":")
                leases[job_id] = (execution_id, score)
        return leases

    def _tell(self, job: Open, seen: Seen, finding: Finding, now: datetime) -> None:
        log.info("Job %s (%s): %s.", job.job_id, job.function, finding.why, extra={"event.action": "job-reconciled"})
        facts = JobSnapshot(
            job_id=job.job_id, queue=job.queue, function=job.function, attempt=job.attempt, context=job.context,
            created_at=job.created_at, enqueued_at=job.pushed_at, ended_at=seen.ended_at or now,
        )  # fmt: skip
        worker = job.worker or ""
        match finding.ending:
            case None:
                return
            case "finished":
                self._observer.succeeded(facts, Success(execution_id=seen.execution_id, worker=worker, concluded=True))
            case "deleted" | "canceled":
                self._observer.removed(facts, finding.ending, concluded=True)
            case ending:
                self._observer.failed(facts, Failure(
                    execution_id=seen.execution_id, worker=worker, concluded=True, inferred=True,
                    stopped=ending == "stopped", text=f"Nobody told of its end: {finding.why}.",
                    reason=None if ending == "stopped" else ending,
                ))  # fmt: skip


def _open_job(hit: dict[str, Any]) -> Open:
    source = hit["_source"]
    context = {"user": source.get("user", {}).get("id"), "customer": source.get("organization", {}).get("id")}
    return Open(
        job_id=job_id_of(hit),
        state=source["state"],
        queue=source.get("queue", ""),
        function=source.get("job_type"),
        worker=source.get("worker"),
        context={name: value for name, value in context.items() if value is not None},
        attempt=source.get("attempt") or 1,
        pushed_at=epoch_of(hit["_version"]),
        created_at=_moment(source.get("created_at")),
        updated_at=datetime.fromisoformat(source["updated_at"]),
        expires_at=_moment(source.get("expires_at")),
    )


def _seen(answers: list[Any], lease: tuple[str, float] | None, job: Open) -> Seen:
    (status, enqueued_at, ended_at), in_queue, in_flight = answers
    pushed = _moment(as_text(enqueued_at) if enqueued_at else None)
    return Seen(
        status=as_text(status) if status else None,
        pushed_at=pushed if job.state != "deferred" else None,
        ended_at=_moment(as_text(ended_at) if ended_at else None),
        execution_id=lease[0] if lease else None,
        lease_until=datetime.fromtimestamp(lease[1], UTC) if lease else None,
        in_queue=in_queue is not None,
        in_flight=in_flight is not None,
    )


def _moment(text: str | None) -> datetime | None:
    return parse_timestamp(text) if text else None
