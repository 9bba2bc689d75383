"""Wraps what takes jobs away: cancelling, deleting, emptying a queue, declaring abandoned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from rq.job import Job, JobStatus
from rq.utils import as_text, utcformat

from ...guard import never_raise
from .. import ending, snapshot
from ..events import ExceptionInfo, Failure, observers
from .enqueue import after_execute

Wrapper = Callable[..., Any]

# Of a job that has not ended. RQ 3 has two more than 2.6.
_OPEN = frozenset(
    getattr(JobStatus, name)
    for name in (
        "CREATED", "QUEUED", "STARTED", "DEFERRED", "SCHEDULED", "RATE_LIMITED", "READY_TO_ENQUEUE"
    )
    if hasattr(JobStatus, name)
)  # fmt: skip
_ABANDONED = frozenset({JobStatus.STARTED, JobStatus.QUEUED})  # queued: its worker was killed before it started it
# What RQ gives to callbacks and handlers, and nobody raised (RQ 3), or RQ itself just then: its traceback says nothing.
_NOT_HEARD_OF = ExceptionInfo("rq.exceptions.AbandonedJobError", "its worker was not heard of any more", "")
CHUNK = 1000  # jobs of an emptied queue that are read at once

# RQ itself deletes what has no result to keep: that is housekeeping after an ending, not an ending.
_housekeeping: ContextVar[bool] = ContextVar("shipper_housekeeping", default=False)


def is_housekeeping() -> bool:
    """Whether RQ is tidying up by itself."""
    return _housekeeping.get()


def cancel(original: Wrapper, job: Any, pipeline: Any = None, *args: Any, **kwargs: Any) -> Any:
    answer = original(job, pipeline, *args, **kwargs)
    with never_raise("removed"):
        _tell_removed(job, "canceled", pipeline)
    return answer


def delete(original: Wrapper, job: Any, pipeline: Any = None, *args: Any, **kwargs: Any) -> Any:
    answer = original(job, pipeline, *args, **kwargs)
    with never_raise("removed"):
        if not _housekeeping.get() and job._status in _OPEN:
            _tell_removed(job, "deleted", pipeline)
    return answer


def cleanup(original: Wrapper, job: Any, ttl: Any = None, *args: Any, **kwargs: Any) -> Any:
    if ttl != 0:
        return original(job, ttl, *args, **kwargs)  # it expires, and is not deleted here
    before = _housekeeping.set(True)
    try:
        return original(job, ttl, *args, **kwargs)
    finally:
        _housekeeping.reset(before)


def empty(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
    """RQ empties a queue by a script. What was in it is read before; what is gone after was deleted."""
    jobs: list[Job] = []
    with never_raise("removed"):
        jobs = list(_waiting(queue))
    answer = original(queue, *args, **kwargs)
    with never_raise("removed"):
        for chunk in _chunks(jobs):
            with queue.connection.pipeline(transaction=False) as pipeline:
                for job in chunk:
                    pipeline.exists(job.key)
                for job, there in zip(chunk, pipeline.execute(), strict=True):
                    if not there:
                        observers.removed(snapshot.from_job(job), "deleted")
    return answer


def clean_started(original: Wrapper, registry: Any, timestamp: Any = None, *args: Any, **kwargs: Any) -> Any:
    """RQ declares executions abandoned whose lease ran out. Its own list has lost their ids by then: read it raw."""
    found: list[tuple[Job, str, float, snapshot.JobSnapshot, JobStatus, float | None]] = []
    looked = time.time()
    with never_raise("failed"):
        for job, execution_id, score in _expired(registry, looked if timestamp is None else timestamp):
            found.append((job, execution_id, score, snapshot.from_job(job), job._status, snapshot.retry_in_s(job)))
    answer = original(registry, timestamp, *args, **kwargs)
    with never_raise("failed"):
        for job, execution_id, score, known, status, retry in found:
            if status not in _ABANDONED or ending.is_remembered(job.connection, execution_id):
                continue  # it ended, and that was told; RQ 2.12 declares it abandoned all the same (rq/rq#2424)
            if status == JobStatus.QUEUED and not _has_acted(job, known):
                continue  # RQ 3 leaves it alone
            failure = Failure(
                execution_id=execution_id,
                worker=job.worker_name or "",
                retry_in_s=retry,
                raised=_NOT_HEARD_OF,
                reason="abandoned",
                inferred=True,
                # The same for whoever finds it, so that two who do make one document.
                ended_at=datetime.fromtimestamp(min(score, looked), UTC),
            )
            observers.failed(known, failure)
    return answer


def _has_acted(job: Job, known: snapshot.JobSnapshot) -> bool:
    """Whether RQ has failed or pushed again a job that was queued: its hash is not as it was."""
    status, pushed = job.connection.hmget(job.key, "status", "enqueued_at")
    if status is None or pushed is None or as_text(status) != JobStatus.QUEUED:
        return True
    return known.enqueued_at is not None and as_text(pushed) != utcformat(known.enqueued_at)


def _tell_removed(job: Any, how: str, pipeline: Any) -> None:
    gone = snapshot.from_job(job)
    if pipeline is None:
        observers.removed(gone, how)
    else:
        after_execute(pipeline, lambda _: observers.removed(gone, how))


def _waiting(queue: Any) -> Iterator[Job]:
    ids = [as_text(raw) for raw in queue.connection.lrange(queue.key, 0, -1)]
    for chunk in _chunks(ids):
        jobs = [queue.job_class(job_id, connection=queue.connection, serializer=queue.serializer) for job_id in chunk]
        with queue.connection.pipeline(transaction=False) as pipeline:
            for job in jobs:
                hash_of(pipeline, job)
            hashes = pipeline.execute()
        for job, raw in zip(jobs, hashes, strict=True):
            if raw:
                job.restore(raw)
                yield job


def _expired(registry: Any, until: float) -> Iterator[tuple[Job, str, float]]:
    """(job, execution id, when the lease ran out) of what the cleanup will find. Jobs that are gone are left out."""
    members = registry.connection.zrangebyscore(registry.key, 0, until, withscores=True)
    for raw, score in members:
        job_id, _, execution_id = as_text(raw).partition(":")
        for job in registry.job_class.fetch_many([job_id], registry.connection, registry.serializer):
            if job is not None:
                yield job, execution_id, score


def hash_of(connection: Any, job: Job) -> Any:
    """A job's hash as bytes, which RQ reads it from: also where the connection's `decode_responses` is on."""
    return connection.execute_command("HGETALL", job.key, NEVER_DECODE=True)


def _chunks(items: list[Any]) -> Iterator[list[Any]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk
