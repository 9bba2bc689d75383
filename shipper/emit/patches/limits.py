"""Wraps RQ 3's rate limits: a job waits outside of its queue until a Redis script pushes it, run by any process."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

from rq.job import JobStatus
from rq.utils import as_text

from ...guard import never_raise
from .. import snapshot
from ..descriptors import Wrapper
from ..events import observers
from .enqueue import after_execute, current_cause
from .operate import fetch

_enqueued_id: ContextVar[str | None] = ContextVar("shipper_rate_limited_job", default=None)


def enqueue_rate_limited_job(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """A job with a rate limit is enqueued: it waits, or is pushed at once, which `promote` reports."""
    with never_raise("carry"):
        snapshot.carry_rate_limit(job)
    before = _enqueued_id.set(job.id)
    try:
        answer = original(queue, job, *args, **kwargs)
    finally:
        _enqueued_id.reset(before)
    with never_raise("rate_limited"):
        waiting, pipeline = snapshot.from_job(job), kwargs.get("pipeline", args[0] if args else None)
        if pipeline is not None:
            after_execute(pipeline, lambda _: _report_if_waiting(job, waiting))
        elif job._status == JobStatus.RATE_LIMITED:
            observers.rate_limited(waiting)
    return answer


def _report_if_waiting(job: Any, waiting: snapshot.JobSnapshot) -> None:
    """Call the hook if the job waits, according to Redis: the pipeline may also have pushed it."""
    if as_text(job.connection.hget(job.key, "status") or b"") == JobStatus.RATE_LIMITED:
        observers.rate_limited(waiting)


def promote(original: Wrapper, registry: Any, *args: Any, **kwargs: Any) -> Any:
    """RQ's scripts push the jobs that may run now, and return their ids."""
    pipeline, enqueued_id, cause = kwargs.get("pipeline"), _enqueued_id.get(), current_cause()
    answer = original(registry, *args, **kwargs)
    with never_raise("enqueued"):
        if pipeline is None:
            _report_pushed(registry.connection, answer, enqueued_id, cause)
        else:
            at = len(pipeline) - 1
            after_execute(
                pipeline, lambda results: _report_pushed(registry.connection, results[at], enqueued_id, cause)
            )
    return answer


def _report_pushed(connection: Any, ids: Iterable[Any], enqueued_id: str | None, cause: str) -> None:
    """Call the hook for each pushed job. Only the one that is just being enqueued has the caller's `cause`."""
    for raw in ids:
        job_id = as_text(raw)
        job = fetch(connection, job_id)
        if job is not None:
            observers.enqueued(snapshot.from_job(job), cause if job_id == enqueued_id else "rate_limit")
