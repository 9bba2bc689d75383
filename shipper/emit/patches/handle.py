"""Wraps RQ's `handle_*` methods, in which most endings are seen.

They are called in the work-horse, or in its parent if it was killed.
"""

from __future__ import annotations

import sys
from typing import Any

from rq.job import JobStatus

from ...guard import keep_back, never_raise
from .. import ending, snapshot
from ..descriptors import Wrapper
from ..ending import Claim, ExecutionState
from ..events import Failure, Success
from ..raised import from_exc_info
from ..snapshot import JobSnapshot
from . import closing, stored


def handle_exception(original: Wrapper, worker: Any, job: Any, *exc_info: Any) -> Any:
    snapshot.marks_of(job).raised = exc_info
    return original(worker, job, *exc_info)


def handle_execution_ended(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """RQ's first write to Redis after the function. If it fails, the work-horse crashes: record the ending before."""
    raised = sys.exc_info()  # the job's exception, which RQ is handling; empty if the function returned
    try:
        return original(worker, job, *args, **kwargs)
    except Exception as error:
        with never_raise("ended"):
            _record_before_crash(worker, job, raised, error)
        raise


def _record_before_crash(worker: Any, job: Any, raised: Any, error: Exception) -> None:
    at_end, execution = snapshot.from_job(job), ending.execution_of(worker, job)
    execution_id = closing.execution_id(worker, job, execution)
    if raised[0] is None:
        if closing.claim(execution, Claim.RETURNED):
            closing.record(
                execution, at_end, Success(execution_id=execution_id, worker=worker.name, status_saved=False)
            )
        return
    if not closing.claim(execution, Claim.RAISED):
        return
    failure = Failure(
        execution_id=execution_id,
        worker=worker.name,
        retry_in_s=snapshot.retry_in_s(job),
        raised=from_exc_info(raised),
        text=f"Redis could not be told: {error}",
        ended_at=job.ended_at,
    )
    closing.record(execution, at_end, failure)


def handle_job_success(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = ending.execution_of(worker, job)
    execution_id = closing.execution_id(worker, job, execution, kwargs.get("execution"))
    late = closing.is_late(execution, job)  # before RQ removes the execution
    saved = False
    try:
        answer = original(worker, job, *args, **kwargs)
        saved = True
        return answer
    finally:
        # If Redis fails, RQ continues with its failure path. The function did return, so that is what is recorded.
        try:
            if closing.claim(execution, Claim.RETURNED):
                success = Success(
                    execution_id=execution_id,
                    worker=worker.name,
                    late=late,
                    status_saved=saved,
                    result_type=type(job._result).__qualname__,
                    result_bytes=stored.size_of(job),
                )
                started = execution.started if execution is not None else None
                closing.record(execution, snapshot.at_ending(job, started), success)
        except Exception as error:
            keep_back(error, "succeeded")


def handle_job_retry(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The function returned a Retry, which RQ handles as a failure without an exception."""
    before, marks = None, snapshot.marks_of(job)
    execution = ending.execution_of(worker, job)
    with never_raise("failed"):
        before = snapshot.from_job(job)
        execution_id = closing.execution_id(worker, job, execution, kwargs.get("execution"))
        late = closing.is_late(execution, job)
        marks.asked_for_retry = True  # RQ before 2.12 calls handle_job_failure at the retry limit
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        marks.asked_for_retry = False
        with never_raise("failed"):
            if before is not None and closing.claim(execution, Claim.RAISED):
                spent = job._status == JobStatus.FAILED
                failure = Failure(
                    execution_id=execution_id,
                    worker=worker.name,
                    late=late,
                    retry_in_s=None if spent else 0.0,
                    text="The function returned a Retry.",
                    reason="retry_limit" if spent else None,
                )
                closing.record(execution, before, failure)


def handle_job_failure(
    original: Wrapper,
    worker: Any,
    job: Any,
    queue: Any,
    started_job_registry: Any = None,
    exc_string: str = "",
    **kwargs: Any,
) -> Any:
    before = failure = None
    execution = ending.execution_of(worker, job)
    with never_raise("failed"):  # before RQ acts: it decrements retries_left and removes the execution
        before, failure = snapshot.from_job(job), _failure(worker, job, exc_string, kwargs.get("execution"))
    try:
        return original(worker, job, queue, started_job_registry=started_job_registry, exc_string=exc_string, **kwargs)
    finally:
        with never_raise("failed"):
            if before is not None and failure is not None:
                _record_failure(worker, execution, before, failure)


def _record_failure(worker: Any, execution: ExecutionState | None, before: JobSnapshot, failure: Failure) -> None:
    if execution is None or execution.claim.state != Claim.RETURNED or not execution.horse_has_exited:
        if closing.claim(execution, Claim.RAISED):
            closing.record(execution, before, failure)
    elif closing.claim(execution, Claim.RETURNED):  # the function returned, though RQ handles the exit as a failure
        success = Success(execution_id=failure.execution_id, worker=worker.name, late=failure.late, status_saved=False)
        closing.record(execution, before._replace(ended_at=failure.ended_at), success)


def execute_stopped_callback(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    """Since RQ 3 a job is stopped even if its callback raises. The record has both."""
    try:
        return original(job, *args, **kwargs)
    except Exception:
        snapshot.marks_of(job).callback_raised = sys.exc_info()
        raise


def _failure(worker: Any, job: Any, text: str, rq_execution: Any) -> Failure:
    execution, marks = ending.execution_of(worker, job), snapshot.marks_of(job)
    stopped = closing.is_stopped(worker, job)
    execution_id = closing.execution_id(worker, job, execution, rq_execution)
    gone = execution is not None and execution.exit_status is not None
    raised = from_exc_info(marks.raised)
    if raised is None and not gone:
        raised = from_exc_info(sys.exc_info())  # a worker class may skip handle_exception
    if raised is None:
        raised = from_exc_info(marks.callback_raised, "callback")
    marks.raised = marks.callback_raised = None
    reason = None
    if execution is not None and execution.overdue:
        reason = "timeout"
    elif marks.asked_for_retry:
        reason = "retry_limit"
    elif execution_id is None and raised is None:
        reason = "abandoned"  # taken from the queue and never started; RQ calls that stuck
    return Failure(
        execution_id=execution_id,
        worker=worker.name,
        late=closing.is_late(execution, job),
        retry_in_s=None if stopped else snapshot.retry_in_s(job),
        stopped=stopped,
        text=text,
        raised=raised,
        killed=execution.exit_status if execution is not None and raised is None else None,
        reason=reason,
        ended_at=closing.ended_at(job),
    )
