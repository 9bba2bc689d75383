"""Wraps RQ's worker methods. Writes exactly one closing record per execution.

The work-horse usually writes it. Its parent does if the work-horse was killed or exited before; ending.py has the claim
that makes it one record. Most endings are seen in RQ's `handle_*` methods. The wrappers of `execute_job`, `perform_job`
and `Job.prepare_for_execution` are the fallback for worker classes that override those without calling RQ's.
"""

from __future__ import annotations

import contextlib
import os
import sys
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from rq.exceptions import InvalidJobOperation
from rq.job import JobStatus
from rq.results import Result

from ... import context
from ...guard import never_raise
from .. import ending, sentry, snapshot
from ..descriptors import as_function, is_ours, mark
from ..ending import Claim, ExecutionState
from ..events import ExitStatus, Failure, Success, observers
from ..raised import from_exc_info, from_text
from ..snapshot import JobSnapshot
from . import enqueue

Wrapper = Callable[..., Any]

_UNKNOWN = ExitStatus(None, None)
_is_performing: ContextVar[bool] = ContextVar("shipper_is_performing", default=False)


def bootstrap(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(worker, *args, **kwargs)
    with never_raise("bootstrap"):
        _wrap_override(type(worker))
    observers.worker_started(worker)
    return answer


def _wrap_override(kind: type) -> None:
    """Wrap the `execute_job` that a worker class defines itself, as it may not call RQ's."""
    for owner in kind.__mro__:
        override = owner.__dict__.get("execute_job")
        if override is not None:
            if not is_ours(override):
                owner.execute_job = _wrap(override)  # type: ignore[attr-defined]
            return


def _wrap(override: Any) -> Wrapper:
    call = as_function(override)

    @wraps(call)
    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        return execute_job(call, self, *args, **kwargs)

    return mark(execute)


# --- the parent -----------------------------------------------------------------------------------------


def execute_job(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """A whole execution, in the worker's own process. If an override calls RQ's method, only the outer call counts."""
    state = ending.of_worker(worker)
    if job.id in state.executing:
        return original(worker, job, *args, **kwargs)
    with never_raise("execute"):
        state.executing.add(job.id)
        state.begin(job.id, None, shared=ending.is_shared(worker))
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        with never_raise("failed"):
            state.executing.discard(job.id)
            _conclude(worker, job)


def _conclude(worker: Any, job: Any) -> None:
    """End the execution if it had a work-horse, which is gone by now.

    Without a work-horse `perform_job` ends it, possibly in another thread.
    """
    state = ending.of_worker(worker)
    execution = state.of(job.id)
    if execution is not None and (
        execution.exit_status is not None or (execution.horse_pid and not _is_alive(execution.horse_pid))
    ):
        _record_missing_ending(worker, job, execution)
        observers.work_horse_exited(worker, execution)
        state.end(job.id)


def prepare_execution(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = original(worker, job, *args, **kwargs)
    with never_raise("prepare"):
        state = ending.of_worker(worker)
        ours = state.of(job.id)
        if ours is None or ours.execution_id is not None:
            ours = state.begin(job.id, None, shared=ending.is_shared(worker))
        ours.execution_id = execution.id
    return execution


def wait_for_horse(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(worker, *args, **kwargs)
    with never_raise("wait"):
        pid, status, rusage = answer
        if pid and (execution := ending.of_worker(worker).latest) is not None:
            execution.exit_status = ExitStatus(status, getattr(rusage, "ru_maxrss", None))
    return answer


def handle_work_horse_killed(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    with never_raise("killed"):
        # RQ passes no status for a work-horse that it had to kill itself, long past the job's timeout.
        status = kwargs.get("ret_val", args[1] if len(args) > 1 else 0)
        if (execution := ending.of_worker(worker).of(job.id)) is not None:
            execution.overdue = status is None
    return original(worker, job, *args, **kwargs)


def monitor_work_horse(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = None
    with never_raise("monitor"):
        execution = ending.of_worker(worker).of(job.id)
        if execution is not None:
            execution.horse_pid = worker.horse_pid
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        with never_raise("failed"):
            if execution is not None and not _is_alive(execution.horse_pid):
                _record_missing_ending(worker, job, execution)


def handle_stop_job_command(original: Wrapper, worker: Any, payload: Any, *args: Any, **kwargs: Any) -> Any:
    """Remember the stopped job: the worker may clear its own note before the work-horse is gone."""
    with never_raise("stop"):
        job_id = payload.get("job_id")
        state = ending.of_worker(worker)
        if state.of(job_id) is not None:
            state.stopped_job_id = job_id
    return original(worker, payload, *args, **kwargs)


def request_stop_execution(original: Wrapper, worker: Any, execution_id: str, *args: Any, **kwargs: Any) -> Any:
    """Remember the job of a stopped execution (RQ 3)."""
    with never_raise("stop"):
        execution = worker.executions.get(execution_id)
        if execution is not None:
            ending.of_worker(worker).stopped_job_id = execution.job_id
    return original(worker, execution_id, *args, **kwargs)


def _is_stopped(worker: Any, job: Any) -> bool:
    return job.id in (worker._stopped_job_id, ending.of_worker(worker).stopped_job_id)


def _record_missing_ending(worker: Any, job: Any, execution: ExecutionState) -> None:
    """Write the closing record after the work-horse is gone, unless it or its parent has written one."""
    claim = execution.claim
    if execution.execution_id is None or claim.is_written:
        return
    status, claimed = _status(job), claim.state
    if not execution.shared and status != JobStatus.STARTED and _exited_normally(execution):
        return  # the spawned child wrote the record; it has no shared memory to claim it in
    execution.ended_silently = True
    if status == JobStatus.FINISHED or claimed == Claim.RETURNED:
        if claim.acquire(Claim.RETURNED, take_over=True):
            _record_missing_success(worker, job, execution, status)
        return
    if not claim.acquire(Claim.RAISED, take_over=True):
        return
    at_end, failure = _missing_failure(worker, job, execution, status)
    _record(execution, at_end, failure)
    if status == JobStatus.STARTED:
        ending.remember(job.connection, execution.execution_id)  # RQ will find it later and declare it abandoned


def _record_missing_success(worker: Any, job: Any, execution: ExecutionState, status: JobStatus | None) -> None:
    """The function returned; the work-horse was killed after saving the status, or shortly before."""
    is_saved = status != JobStatus.STARTED
    if status is None:
        job.ended_at = datetime.now(UTC)  # the job keeps no result, so RQ has deleted it
    elif is_saved:
        job.refresh()
    success = Success(execution_id=execution.execution_id, worker=worker.name, status_saved=is_saved)
    _record(execution, snapshot.from_job(job), success)
    if not is_saved and execution.execution_id is not None:
        ending.remember(job.connection, execution.execution_id)


def _missing_failure(
    worker: Any, job: Any, execution: ExecutionState, status: JobStatus | None
) -> tuple[JobSnapshot, Failure]:
    """The job and the failure of an execution that did not succeed and whose work-horse has exited."""
    stopped = _is_stopped(worker, job)
    raised = from_exc_info(sys.exc_info(), "callback") if stopped else None
    if status == JobStatus.FAILED:  # the work-horse exited after saving the status
        raised = from_text(_stored_traceback(job))
        job.refresh()
    else:
        job.ended_at = datetime.now(UTC)
    failure = Failure(
        execution_id=execution.execution_id,
        worker=worker.name,
        retry_in_s=None if stopped or status == JobStatus.FAILED else snapshot.retry_in_s(job),
        stopped=stopped,
        text="The work-horse ended without telling RQ.",
        raised=raised,
        killed=None if status == JobStatus.FAILED and raised is not None else execution.exit_status or _UNKNOWN,
    )
    return snapshot.from_job(job), failure


def _stored_traceback(job: Any) -> str:
    """The traceback that RQ stored of the latest failure. Read by plain commands: RQ's own would unpickle a result."""
    with never_raise("failed"):
        key = Result.get_key(job.id)  # type: ignore[no-untyped-call]
        for _, stored in job.connection.xrevrange(key, count=1):
            if compressed := stored.get(b"exc_string"):
                return zlib.decompress(b64decode(compressed)).decode()
    return ""


def _exited_normally(execution: ExecutionState) -> bool:
    return execution.exit_status is not None and execution.exit_status.status == os.EX_OK


def _status(job: Any) -> JobStatus | None:
    """The job's status in Redis. None if the job is gone."""
    with contextlib.suppress(InvalidJobOperation):
        return job.get_status()  # type: ignore[no-any-return]
    return None


def _is_alive(pid: int) -> bool:
    """Whether a child process is running. Reaps it if it has exited."""
    try:
        return pid > 0 and os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


# --- the work-horse -------------------------------------------------------------------------------------


def perform_job(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """Run the job with its enqueuer's context, so that its records and the jobs it enqueues carry it."""
    sentry.attach()  # the application may have imported sentry-sdk since
    state = ending.of_worker(worker)
    execution = None
    with never_raise("perform"):
        execution = state.of(job.id)
        if execution is None:  # a spawned child, which inherited nothing
            rq_execution = kwargs.get("execution", args[1] if len(args) > 1 else getattr(worker, "execution", None))
            execution = state.begin(job.id, getattr(rq_execution, "id", None), shared=False)
    before = context.running.set(None)  # prepare_job_execution sets it, once RQ has read the function's name
    performing = _is_performing.set(True)
    escaping: Any = None
    returned = False
    try:
        with _enqueuer_context(job):
            returned = original(worker, job, *args, **kwargs)
            return returned
    except BaseException:
        escaping = sys.exc_info()
        raise
    finally:
        _is_performing.reset(performing)
        context.running.reset(before)
        with never_raise("failed"):
            if execution is not None and not execution.claim.is_written:
                _record_unnoticed_ending(worker, job, execution, escaping, returned=returned)
            if not worker.is_horse:
                state.end(job.id)


def _record_unnoticed_ending(
    worker: Any, job: Any, execution: ExecutionState, escaping: Any, *, returned: bool
) -> None:
    """Write the closing record of a function that ran without any of RQ's `handle_*` methods recording its ending."""
    returned = returned or execution.claim.state == Claim.RETURNED  # its record was claimed, but not written
    ended = Claim.RETURNED if returned else Claim.RAISED
    # Take over: the parent writes nothing before this process has exited.
    if execution.started is None or not execution.claim.acquire(ended, take_over=True):
        return
    job.ended_at = _ended_at(job)
    at_end, execution_id = snapshot.from_job(job), execution.execution_id
    if returned:
        _record(execution, at_end, Success(execution_id=execution_id, worker=worker.name, status_saved=False))
    else:
        failure = Failure(
            execution_id=execution_id,
            worker=worker.name,
            retry_in_s=snapshot.retry_in_s(job),
            raised=from_exc_info(snapshot.marks_of(job).raised or escaping),
            text="RQ was not told of this ending.",
            ended_at=job.ended_at,
        )
        _record(execution, at_end, failure)
    if execution_id is not None:
        ending.remember(job.connection, execution_id)


def prepare_for_execution(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    """`Job.prepare_for_execution`: the only method called by workers that call `Job.perform` themselves.

    `Job.perform` is not wrapped, as our frames would be in the traceback of every failed job.
    """
    answer = original(job, *args, **kwargs)
    with never_raise("started"):
        if not snapshot.marks_of(job).start_recorded:
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
            with never_raise("started"):
                execution_id, at_start = _execution_id(worker, job), snapshot.from_job(job)
                execution = ending.of_worker(worker).of(job.id)
                if execution is not None:
                    execution.started = at_start
                if _is_performing.get():  # perform_job resets it; where it is not called, nothing would
                    context.running.set(snapshot.running(at_start, execution_id))
                observers.started(at_start, execution_id, worker.name)


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
    at_end, execution_id = snapshot.from_job(job), _execution_id(worker, job)
    execution = ending.of_worker(worker).of(job.id)
    if raised[0] is None:
        if _claim(execution, Claim.RETURNED):
            _record(execution, at_end, Success(execution_id=execution_id, worker=worker.name, status_saved=False))
        return
    if not _claim(execution, Claim.RAISED):
        return
    failure = Failure(
        execution_id=execution_id,
        worker=worker.name,
        retry_in_s=snapshot.retry_in_s(job),
        raised=from_exc_info(raised),
        text=f"Redis could not be told: {error}",
        ended_at=job.ended_at,
    )
    _record(execution, at_end, failure)


def handle_job_success(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = ending.of_worker(worker).of(job.id)
    execution_id = _execution_id(worker, job, kwargs.get("execution"))
    late = _is_late(execution, job)  # before RQ removes the execution
    saved = False
    try:
        answer = original(worker, job, *args, **kwargs)
        saved = True
        return answer
    finally:
        # If Redis fails, RQ continues with its failure path. The function did return, so that is what is recorded.
        with never_raise("succeeded"):
            if _claim(execution, Claim.RETURNED):
                success = Success(
                    execution_id=execution_id,
                    worker=worker.name,
                    late=late,
                    status_saved=saved,
                    result_type=type(job._result).__qualname__,
                    result_bytes=_stored_results.pop(job.id, None),
                )
                started = execution.started if execution is not None else None
                _record(execution, snapshot.at_ending(job, started), success)


def handle_job_retry(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The function returned a Retry, which RQ handles as a failure without an exception."""
    before, marks = None, snapshot.marks_of(job)
    execution = ending.of_worker(worker).of(job.id)
    with never_raise("failed"):
        before = snapshot.from_job(job)
        execution_id = _execution_id(worker, job, kwargs.get("execution"))
        late = _is_late(execution, job)
        marks.asked_for_retry = True  # RQ before 2.12 calls handle_job_failure at the retry limit
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        marks.asked_for_retry = False
        with never_raise("failed"):
            if before is not None and _claim(execution, Claim.RAISED):
                spent = job._status == JobStatus.FAILED
                failure = Failure(
                    execution_id=execution_id,
                    worker=worker.name,
                    late=late,
                    retry_in_s=None if spent else 0.0,
                    text="The function returned a Retry.",
                    reason="retry_limit" if spent else None,
                )
                _record(execution, before, failure)


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
    execution = ending.of_worker(worker).of(job.id)
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
        if _claim(execution, Claim.RAISED):
            _record(execution, before, failure)
    elif _claim(execution, Claim.RETURNED):  # the function returned, though RQ handles the exit as a failure
        success = Success(execution_id=failure.execution_id, worker=worker.name, late=failure.late, status_saved=False)
        _record(execution, before._replace(ended_at=failure.ended_at), success)


def execute_stopped_callback(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    """Since RQ 3 a job is stopped even if its callback raises. The record has both."""
    try:
        return original(job, *args, **kwargs)
    except Exception:
        snapshot.marks_of(job).callback_raised = sys.exc_info()
        raise


def _failure(worker: Any, job: Any, text: str, rq_execution: Any) -> Failure:
    execution, marks = ending.of_worker(worker).of(job.id), snapshot.marks_of(job)
    stopped = _is_stopped(worker, job)
    execution_id = _execution_id(worker, job, rq_execution)
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
        late=_is_late(execution, job),
        retry_in_s=None if stopped else snapshot.retry_in_s(job),
        stopped=stopped,
        text=text,
        raised=raised,
        killed=execution.exit_status if execution is not None and raised is None else None,
        reason=reason,
        ended_at=_ended_at(job),
    )


def _ended_at(job: Any) -> datetime:
    """When the execution ended: RQ's time, unless that is the end of an earlier attempt."""
    ended: datetime | None = job.ended_at
    if ended is None or (job.started_at is not None and ended < job.started_at):
        return datetime.now(UTC)
    return ended


_stored_results: dict[str, int] = {}  # job id → bytes, from RQ's storing of the result to our record
_MAX_RESULTS = 1000  # more than run at once in one process; bounds the memory


def serialize_result(original: Wrapper, result: Any, *args: Any, **kwargs: Any) -> Any:
    """Measure the result where RQ pickles it, so that it is not pickled twice."""
    stored = original(result, *args, **kwargs)
    with never_raise("result"):
        text = stored.get("return_value")
        if text:
            if len(_stored_results) >= _MAX_RESULTS:
                _stored_results.clear()
            _stored_results[result.job_id] = len(text) // 4 * 3 - text.count("=")  # RQ stores it as base64
    return stored


# --- the synchronous queue ------------------------------------------------------------------------------


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
                    result_bytes=_stored_results.pop(job.id, None),
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
        with _enqueuer_context(job):
            return original(queue, job, *args, **kwargs)
    except BaseException:
        snapshot.marks_of(job).raised = sys.exc_info()
        raise
    finally:
        context.running.reset(before)


# --- shared helpers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _enqueuer_context(job: Any) -> Iterator[None]:
    """Bind the log context, actor and request id that the job carries from its enqueuer."""
    carried, actor, request_id = snapshot.context_of(job), snapshot.actor_of(job), snapshot.request_of(job)
    if not carried and actor is None and request_id is None:
        yield
        return
    with context.log_context(**carried), context.acting_as(actor), context.within_request(request_id):
        yield


def _claim(execution: ExecutionState | None, ended: Claim) -> bool:
    """Whether this process has to write the closing record. None: not an execution of this worker."""
    return execution is None or execution.claim.acquire(ended, take_over=execution.horse_has_exited)


def _record(execution: ExecutionState | None, job: JobSnapshot, ended: Success | Failure) -> None:
    """Report how an execution ended, then mark its closing record as written."""
    if isinstance(ended, Success):
        observers.succeeded(job, ended)
    else:
        observers.failed(job, ended)
    if execution is not None:
        execution.claim.mark_written()


def _is_late(execution: ExecutionState | None, job: Any) -> bool:
    if execution is not None and execution.may_have_lost_its_lease():
        with never_raise("late"):
            return execution.lost_its_lease(job)
    return False  # also if Redis did not answer


def _execution_id(worker: Any, job: Any, rq_execution: Any = None) -> str | None:
    """The execution's id: the one RQ passes (RQ 3), else the one kept for the worker. None for stuck jobs."""
    if rq_execution is not None:
        return str(rq_execution.id)
    ours = ending.of_worker(worker).of(job.id)
    if ours is not None:
        return ours.execution_id
    execution = getattr(worker, "execution", None)
    return execution.id if execution is not None and execution.job_id == job.id else None
