"""Wraps the start of a job, and the call of its function. In the work-horse, or in the worker if it forks none.

`perform_job` and `Job.prepare_for_execution` are also the fallback for worker classes that call none of RQ's `handle_*`
methods (handle.py).
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

from rq.job import JobStatus

from ... import context
from ...guard import keep_back, never_raise
from .. import ending, sentry, snapshot
from ..descriptors import Wrapper
from ..ending import Claim, ExecutionState
from ..events import Failure, Success, observers
from ..raised import from_exc_info
from . import closing, enqueue

_is_performing: ContextVar[bool] = ContextVar("shipper_is_performing", default=False)


def perform_job(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the job with its enqueuer's context, so that its records and the jobs it enqueues carry it."""
    sentry.attach()  # the application may have imported sentry-sdk since
    state = ending.of_worker(worker)
    execution = None
    try:
        execution = state.of(job.id)
        if execution is None:  # a spawned child, which inherited nothing
            rq_execution = kwargs.get("execution", args[1] if len(args) > 1 else getattr(worker, "execution", None))
            execution = state.begin(job.id, getattr(rq_execution, "id", None), shared=False)
    except Exception as error:
        keep_back(error, "perform")
    before = context.running.set(None)  # prepare_job_execution sets it, once RQ has read the function's name
    performing = _is_performing.set(True)
    escaping: Any = None
    returned = False
    try:
        with enqueuer_context(job):
            returned = original(worker, job, *args, **kwargs)
            return returned
    except BaseException:
        escaping = sys.exc_info()
        raise
    finally:
        _is_performing.reset(performing)
        context.running.reset(before)
        try:
            if execution is not None and not execution.claim.is_written:
                _record_unnoticed_ending(worker, job, execution, escaping, returned=returned)
            if not worker.is_horse:
                state.end(job.id)
        except Exception as error:
            keep_back(error, "failed")


def _record_unnoticed_ending(
    worker: Any, job: Any, execution: ExecutionState, escaping: Any, *, returned: bool
) -> None:
    """Write the closing record of a function that ran without any of RQ's `handle_*` methods recording its ending."""
    returned = returned or execution.claim.state == Claim.RETURNED  # its record was claimed, but not written
    ended = Claim.RETURNED if returned else Claim.RAISED
    # Take over: the parent writes nothing before this process has exited.
    if execution.started is None or not execution.claim.acquire(ended, take_over=True):
        return
    job.ended_at = closing.ended_at(job)
    at_end, execution_id = snapshot.from_job(job), execution.execution_id
    if returned:
        closing.record(execution, at_end, Success(execution_id=execution_id, worker=worker.name, status_saved=False))
    else:
        failure = Failure(
            execution_id=execution_id,
            worker=worker.name,
            retry_in_s=snapshot.retry_in_s(job),
            raised=from_exc_info(snapshot.marks_of(job).raised or escaping),
            text="RQ was not told of this ending.",
            ended_at=job.ended_at,
        )
        closing.record(execution, at_end, failure)
    if execution_id is not None:
        ending.remember(job.connection, execution_id)


def prepare_for_execution(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    """`Job.prepare_for_execution`: the only method called by workers that call `Job.perform` themselves.

    `Job.perform` is not wrapped, as our frames would be in the traceback of every failed job.
    """
    answer = original(job, *args, **kwargs)
    if snapshot.marks_of(job).start_recorded:
        return answer
    with never_raise("started"):
        at_start, worker = snapshot.from_job(job), kwargs.get("worker_name", args[0] if args else None)
        pipeline = kwargs.get("pipeline", args[1] if len(args) > 1 else None)
        enqueue.after_execute(pipeline, lambda _: observers.started(at_start, None, worker or "unknown"))
    return answer


def prepare_job_execution(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    snapshot.marks_of(job).start_recorded = True  # it is recorded below, once RQ has read the function's name
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        # Also if it raised: RQ reads the function's name last, after Redis has the job as started.
        if job.started_at is not None and job._status == JobStatus.STARTED:
            try:
                at_start, execution = snapshot.from_job(job), ending.execution_of(worker, job)
                execution_id = closing.execution_id(worker, job, execution)
                if execution is not None:
                    execution.started = at_start
                if _is_performing.get():  # perform_job resets it; where it is not called, nothing would
                    context.running.set(snapshot.running(at_start, execution_id))
                observers.started(at_start, execution_id, worker.name)
            except Exception as error:
                keep_back(error, "started")


def enqueuer_context(job: Any) -> AbstractContextManager[None]:
    """Binds the log context, actor and request id that the job carries from its enqueuer. Most carry none."""
    if not snapshot.is_carrying(job):
        return _NO_CONTEXT
    carried, actor, request_id = snapshot.context_of(job), snapshot.actor_of(job), snapshot.request_of(job)
    if not carried and actor is None and request_id is None:
        return _NO_CONTEXT
    return _bound(carried, actor, request_id)


_NO_CONTEXT = contextlib.nullcontext()


@contextlib.contextmanager
def _bound(carried: Mapping[str, str], actor: context.Actor | None, request_id: str | None) -> Iterator[None]:
    with context.log_context(**carried), context.acting_as(actor), context.within_request(request_id):
        yield
