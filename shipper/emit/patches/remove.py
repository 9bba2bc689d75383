"""Wraps RQ's removal of jobs: cancelling, deleting, emptying a queue, declaring executions abandoned."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from rq.job import Job, JobStatus
from rq.utils import as_text, utcformat

from ...guard import never_raise
from .. import ending, snapshot
from ..descriptors import Wrapper
from ..events import ExceptionInfo, Failure, Operation, observers
from .enqueue import after_execute

# The statuses of a job that has not ended. RQ 3 has two more than 2.6.
_OPEN = frozenset(
    getattr(JobStatus, name)
    for name in ("CREATED", "QUEUED", "STARTED", "DEFERRED", "SCHEDULED", "RATE_LIMITED", "READY_TO_ENQUEUE")
    if hasattr(JobStatus, name)
)
_ABANDONED = frozenset({JobStatus.STARTED, JobStatus.QUEUED})  # queued: its worker was killed before the start
# The same on every RQ: nobody raised it, and where RQ has a traceback (RQ 2) it shows RQ's own maintenance.
_ABANDONED_ERROR = ExceptionInfo("rq.exceptions.AbandonedJobError", "its worker was not heard of any more", "")
CHUNK = 1000  # jobs of an emptied queue that are read in one request

# RQ itself deletes jobs that keep no result. That is housekeeping after an ending, not an ending.
_housekeeping: ContextVar[bool] = ContextVar("shipper_housekeeping", default=False)


def is_housekeeping() -> bool:
    """Whether RQ itself is deleting a job that has ended."""
    return _housekeeping.get()


def cancel(original: Wrapper, job: Any, pipeline: Any = None, *args: Any, **kwargs: Any) -> Any:
    answer = original(job, pipeline, *args, **kwargs)
    with never_raise("removed"):
        _report_removed(job, "canceled", pipeline)
    return answer


def delete(original: Wrapper, job: Any, pipeline: Any = None, *args: Any, **kwargs: Any) -> Any:
    answer = original(job, pipeline, *args, **kwargs)
    with never_raise("removed"):
        if not _housekeeping.get() and job._status in _OPEN:
            _report_removed(job, "deleted", pipeline)
    return answer


def cleanup(original: Wrapper, job: Any, ttl: Any = None, *args: Any, **kwargs: Any) -> Any:
    if ttl != 0:
        return original(job, ttl, *args, **kwargs)  # it will expire in Redis
    before = _housekeeping.set(True)
    try:
        return original(job, ttl, *args, **kwargs)
    finally:
        _housekeeping.reset(before)


def empty(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
    """RQ empties a queue by a script. The jobs are read before; those that are gone afterwards were deleted.

    Each of them gets its ending, and an audit record with the actor, as if it had been deleted by itself.
    """
    jobs: list[Job] = []
    with never_raise("removed"):
        jobs = list(_queued_jobs(queue))
    answer = original(queue, *args, **kwargs)
    with never_raise("removed"):
        for chunk in _chunks(jobs):
            with queue.connection.pipeline(transaction=False) as pipeline:
                for job in chunk:
                    pipeline.exists(job.key)
                for job, exists in zip(chunk, pipeline.execute(), strict=True):
                    if not exists:
                        removed = snapshot.from_job(job)
                        observers.removed(removed, "deleted")
                        observers.operated(_emptied(removed, queue.name))
    return answer


def _emptied(job: snapshot.JobSnapshot, queue: str) -> Operation:
    return Operation(
        action="job-deleted",
        type="deletion",
        resource=("job", job.job_id, job.function),
        job=job,
        detail=f"the queue {queue} was emptied",
    )


def clean_started(original: Wrapper, registry: Any, timestamp: Any = None, *args: Any, **kwargs: Any) -> Any:
    """RQ declares executions abandoned whose lease ran out.

    RQ's own method returns no execution ids, so the registry is read before.
    """
    expired: list[tuple[Job, str, float, snapshot.JobSnapshot, JobStatus, float | None]] = []
    now = time.time()
    with never_raise("failed"):
        for job, execution_id, score in _expired(registry, now if timestamp is None else timestamp):
            expired.append((job, execution_id, score, snapshot.from_job(job), job._status, snapshot.retry_in_s(job)))
    answer = original(registry, timestamp, *args, **kwargs)
    with never_raise("failed"):
        for job, execution_id, score, before, status, retry in expired:
            if status not in _ABANDONED or ending.is_remembered(job.connection, execution_id):
                continue  # its ending is recorded; RQ 2.12 declares it abandoned nevertheless (rq/rq#2424)
            if status == JobStatus.QUEUED and not _has_changed(job, before):
                continue  # RQ 3 does not touch it
            failure = Failure(
                execution_id=execution_id,
                worker=job.worker_name or "",
                retry_in_s=retry,
                raised=_ABANDONED_ERROR,
                reason="abandoned",
                inferred=True,
                # The same in every process that finds it, so that the records of two become one document.
                ended_at=datetime.fromtimestamp(min(score, now), UTC),
            )
            observers.failed(before, failure)
    return answer


def _has_changed(job: Job, before: snapshot.JobSnapshot) -> bool:
    """Whether RQ has failed or pushed again a job that was queued."""
    status, pushed = job.connection.hmget(job.key, "status", "enqueued_at")
    if status is None or pushed is None or as_text(status) != JobStatus.QUEUED:
        return True
    return before.enqueued_at is not None and as_text(pushed) != utcformat(before.enqueued_at)


def _report_removed(job: Any, how: str, pipeline: Any) -> None:
    removed = snapshot.from_job(job)
    if pipeline is None:
        observers.removed(removed, how)
    else:
        after_execute(pipeline, lambda _: observers.removed(removed, how))


def _queued_jobs(queue: Any) -> Iterator[Job]:
    ids = [as_text(raw) for raw in queue.connection.lrange(queue.key, 0, -1)]
    for chunk in _chunks(ids):
        jobs = [queue.job_class(job_id, connection=queue.connection, serializer=queue.serializer) for job_id in chunk]
        with queue.connection.pipeline(transaction=False) as pipeline:
            for job in jobs:
                read_hash(pipeline, job)
            hashes = pipeline.execute()
        for job, raw in zip(jobs, hashes, strict=True):
            if raw:
                restore_unpickled(job, raw)
                yield job


def _expired(registry: Any, until: float) -> Iterator[tuple[Job, str, float]]:
    """(job, execution id, end of its lease as a Unix time) of the expired executions whose job exists."""
    members = registry.connection.zrangebyscore(registry.key, 0, until, withscores=True)
    for raw, score in members:
        job_id, _, execution_id = as_text(raw).partition(":")
        for job in registry.job_class.fetch_many([job_id], registry.connection, registry.serializer):
            if job is not None:
                yield job, execution_id, score


def restore_unpickled(job: Job, raw: dict[bytes, bytes]) -> None:
    """Restore a job from its hash without what RQ would unpickle: a waiting job's meta, an old job's result."""
    job.restore({name: value for name, value in raw.items() if name not in _PICKLED})


_PICKLED = (b"meta", b"result")


def read_hash(connection: Any, job: Job) -> Any:
    """Send HGETALL for a job's hash. The answer is bytes, as RQ expects them, even with `decode_responses=True`."""
    return connection.execute_command("HGETALL", job.key, NEVER_DECODE=True)


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk
