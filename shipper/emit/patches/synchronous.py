"""Wraps synchronous queues (`is_async=False`): a job is enqueued, started and ended in one call, without a worker."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from ... import context
from ...guard import never_raise
from .. import snapshot
from ..descriptors import Wrapper
from ..events import Failure, Success, observers
from ..raised import from_exc_info
from . import enqueue, stored
from .perform import enqueuer_context


def run_sync(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """A job in a synchronous queue: enqueued, started and ended in one call, without worker and execution."""
    with never_raise("enqueued"):
        observers.enqueued(snapshot.from_job(job), enqueue.current_cause())
        job.started_at = datetime.now(UTC)
        snapshot.marks_of(job).start_recorded = True
        observers.started(snapshot.from_job(job), None, "sync")
    try:
        return original(queue, job, *args, **kwargs)
    finally:
        with never_raise("failed"):
            job.ended_at = job.ended_at or datetime.now(UTC)
            raised = from_exc_info(snapshot.marks_of(job).raised)
            if raised is None:
                success = Success(
                    execution_id=None,
                    worker="sync",
                    result_type=type(job._result).__qualname__,
                    result_bytes=stored.size_of(job),
                )
                observers.succeeded(snapshot.from_job(job), success)
            else:
                failure = Failure(execution_id=None, worker="sync", raised=raised, is_retried=False)
                observers.failed(snapshot.from_job(job), failure)


def run_job(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The call of the function in a synchronous queue. RQ's caller swallows the exception, so it is kept here."""
    running = None
    with never_raise("perform"):
        running = snapshot.running(snapshot.from_job(job), None)
    before = context.running.set(running)
    try:
        with enqueuer_context(job):
            return original(queue, job, *args, **kwargs)
    except BaseException:
        snapshot.marks_of(job).raised = sys.exc_info()
        raise
    finally:
        context.running.reset(before)
