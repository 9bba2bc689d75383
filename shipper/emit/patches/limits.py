"""Wraps RQ 3's rate limits: a job waits beside its queue until a script pushes it, in whichever process runs that."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import Any

from rq.job import JobStatus
from rq.utils import as_text

from ...guard import never_raise
from .. import snapshot
from ..events import observers
from .enqueue import after_execute, current_cause
from .operate import fetched

Wrapper = Callable[..., Any]

_own: ContextVar[str | None] = ContextVar("shipper_rate_limited_job", default=None)


def enqueue_rate_limited_job(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """A job with a rate limit is enqueued: it waits, or is pushed at once, which `promote` tells."""
    with never_raise("carry"):
        snapshot.carry_rate_limit(job)
    before = _own.set(job.id)
    try:
        answer = original(queue, job, *args, **kwargs)
    finally:
        _own.reset(before)
    with never_raise("rate_limited"):
        waiting, pipeline = snapshot.from_job(job), kwargs.get("pipeline", args[0] if args else None)
        if pipeline is not None:
            after_execute(pipeline, lambda _: _tell_waiting(job, waiting))
        elif job._status == JobStatus.RATE_LIMITED:
            observers.rate_limited(waiting)
    return answer


def _tell_waiting(job: Any, waiting: snapshot.JobSnapshot) -> None:
    """After a pipeline, which may have pushed the job at once: Redis knows."""
    if as_text(job.connection.hget(job.key, "status") or b"") == JobStatus.RATE_LIMITED:
        observers.rate_limited(waiting)


def promote(original: Wrapper, registry: Any, *args: Any, **kwargs: Any) -> Any:
    """RQ's scripts push the jobs that may run now, and answer with their ids."""
    pipeline, own, cause = kwargs.get("pipeline"), _own.get(), current_cause()
    answer = original(registry, *args, **kwargs)
    with never_raise("enqueued"):
        if pipeline is None:
            _tell_pushed(registry.connection, answer, own, cause)
        else:
            at = len(pipeline) - 1
            after_execute(pipeline, lambda answers: _tell_pushed(registry.connection, answers[at], own, cause))
    return answer


def _tell_pushed(connection: Any, ids: Iterable[Any], own: str | None, cause: str) -> None:
    for raw in ids:
        job_id = as_text(raw)
        job = fetched(connection, job_id)
        if job is not None:
            observers.enqueued(snapshot.from_job(job), cause if job_id == own else "rate_limit")
