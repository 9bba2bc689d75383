"""Wraps what RQ's workers execute with: exactly one closing record for each execution.

The work-horse writes it in most cases. Its parent does when the work-horse was killed or left without a word; ending.py
says how they agree. RQ's own methods are the usual places; `execute_job`, `perform_job` and `Job.perform` are the net
below them, for workers whose class overrides one of those without calling RQ's.
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
        _cover(type(worker))
    observers.worker_started(worker)
    return answer


def _cover(kind: type) -> None:
    """Wrap the `execute_job` that a worker's class brings itself: it may never call RQ's."""
    for owner in kind.__mro__:
        own = owner.__dict__.get("execute_job")
        if own is not None:
            if not is_ours(own):
                owner.execute_job = _covered(own)  # type: ignore[attr-defined]
            return


def _covered(own: Any) -> Wrapper:
    call = as_function(own)

    @wraps(call)
    def execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        return execute_job(call, self, *args, **kwargs)

    return mark(execute)


# --- the parent -----------------------------------------------------------------------------------------


def execute_job(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """All of an execution, in the worker's own process. An override may call RQ's own: the outer one counts."""
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
    """The work-horse is gone. Without one, `perform_job` ends the execution, perhaps in a thread of its own."""
    state = ending.of_worker(worker)
    execution = state.of(job.id)
    if execution is not None and (
        execution.exit_status is not None or (execution.horse_pid and not _is_alive(execution.horse_pid))
    ):
        _record_missing_ending(worker, job, execution)
        state.end(job.id)


def prepare_execution(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = original(worker, job, *args, **kwargs)
    with never_raise("prepare"):
        state = ending.of_worker(worker)
        known = state.of(job.id)
        if known is None or known.execution_id is not None:
            known = state.begin(job.id, None, shared=ending.is_shared(worker))
        known.execution_id = execution.id
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
    """Since a worker may forget the stop before its work-horse is gone, we remember it ourselves."""
    with never_raise("stop"):
        job_id = payload.get("job_id")
        state = ending.of_worker(worker)
        if state.of(job_id) is not None:
            state.stopped_job_id = job_id
    return original(worker, payload, *args, **kwargs)


def request_stop_execution(original: Wrapper, worker: Any, execution_id: str, *args: Any, **kwargs: Any) -> Any:
    """The same of one execution (RQ 3)."""
    with never_raise("stop"):
        execution = worker.executions.get(execution_id)
        if execution is not None:
            ending.of_worker(worker).stopped_job_id = execution.job_id
    return original(worker, execution_id, *args, **kwargs)


def _is_stopped(worker: Any, job: Any) -> bool:
    return job.id in (worker._stopped_job_id, ending.of_worker(worker).stopped_job_id)


def _record_missing_ending(worker: Any, job: Any, execution: ExecutionState) -> None:
    """The work-horse is gone. If neither it nor its parent recorded how, do it now."""
    claim = execution.claim
    if execution.execution_id is None or claim.is_written:
        return
    status, left = _status(job), claim.state
    if not execution.shared and status != JobStatus.STARTED and _exited_well(execution):
        return  # the spawned child recorded it; it has no way to say so
    if status == JobStatus.FINISHED or left == Claim.RETURNED:
        if claim.acquire(Claim.RETURNED, from_the_dead=True):
            _record_lost_success(worker, job, execution, status)
        return
    if not claim.acquire(Claim.RAISED, from_the_dead=True):
        return
    known, failure = _lost_failure(worker, job, execution, status)
    _write(execution, known, failure)
    if status == JobStatus.STARTED:
        ending.remember(job.connection, execution.execution_id)  # RQ will come across it and declare it abandoned


def _record_lost_success(worker: Any, job: Any, execution: ExecutionState, status: JobStatus | None) -> None:
    """The function returned. The work-horse went after Redis knew, or as it was about to say so."""
    is_saved = status != JobStatus.STARTED
    if status is None:
        job.ended_at = datetime.now(UTC)  # no result was to be kept: RQ has deleted the job
    elif is_saved:
        job.refresh()
    success = Success(execution_id=execution.execution_id, worker=worker.name, status_saved=is_saved)
    _write(execution, snapshot.from_job(job), success)
    if not is_saved and execution.execution_id is not None:
        ending.remember(job.connection, execution.execution_id)


def _lost_failure(
    worker: Any, job: Any, execution: ExecutionState, status: JobStatus | None
) -> tuple[JobSnapshot, Failure]:
    """What is known of an execution that did not succeed, and whose work-horse is gone."""
    stopped = _is_stopped(worker, job)
    raised = from_exc_info(sys.exc_info(), "callback") if stopped else None
    if status == JobStatus.FAILED:  # its work-horse went after Redis knew
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
    """What RQ has stored of the latest failure; read by plain commands, as a result beside it is a pickle."""
    with never_raise("failed"):
        key = Result.get_key(job.id)  # type: ignore[no-untyped-call]
        for _, stored in job.connection.xrevrange(key, count=1):
            if compressed := stored.get(b"exc_string"):
                return zlib.decompress(b64decode(compressed)).decode()
    return ""


def _exited_well(execution: ExecutionState) -> bool:
    return execution.exit_status is not None and execution.exit_status.status == os.EX_OK


def _status(job: Any) -> JobStatus | None:
    """The job's status in Redis; None if it is gone or cannot be asked for."""
    with contextlib.suppress(InvalidJobOperation):
        return job.get_status()  # type: ignore[no-any-return]
    return None


def _is_alive(pid: int) -> bool:
    """Whether a child is still running. One that nobody has waited for yet counts as gone."""
    try:
        return pid > 0 and os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


# --- the work-horse -------------------------------------------------------------------------------------


def perform_job(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The job runs for whom it was enqueued: its records say so, and the jobs that it enqueues do."""
    sentry.attach()  # the application may have loaded it since
    state = ending.of_worker(worker)
    execution = None
    with never_raise("perform"):
        execution = state.of(job.id)
        if execution is None:  # a spawned child, which inherited nothing
            of_rq = kwargs.get("execution", args[1] if len(args) > 1 else getattr(worker, "execution", None))
            execution = state.begin(job.id, getattr(of_rq, "id", None), shared=False)
    before = context.running.set(None)  # prepare_job_execution fills it in, when RQ has read the function's name
    performing = _is_performing.set(True)
    escaping: Any = None
    went_well = False
    try:
        with _for_whom(job):
            went_well = original(worker, job, *args, **kwargs)
            return went_well
    except BaseException:
        escaping = sys.exc_info()
        raise
    finally:
        _is_performing.reset(performing)
        context.running.reset(before)
        with never_raise("failed"):
            if execution is not None and not execution.claim.is_written:
                _record_unnoticed_ending(worker, job, execution, escaping, went_well=went_well)
            if not worker.is_horse:
                state.end(job.id)


def _record_unnoticed_ending(
    worker: Any, job: Any, execution: ExecutionState, escaping: Any, *, went_well: bool
) -> None:
    """The function was run, and none of RQ's methods that handle an ending was called, or came to an end."""
    went_well = went_well or execution.claim.state == Claim.RETURNED  # it was about to say so, and was interrupted
    # Nobody else writes: the parent waits until this process is gone.
    ended = Claim.RETURNED if went_well else Claim.RAISED
    if execution.started is None or not execution.claim.acquire(ended, from_the_dead=True):
        return
    job.ended_at = _ended_at(job)
    known, execution_id = snapshot.from_job(job), execution.execution_id
    if went_well:
        _write(execution, known, Success(execution_id=execution_id, worker=worker.name, status_saved=False))
    else:
        failure = Failure(
            execution_id=execution_id, worker=worker.name, retry_in_s=snapshot.retry_in_s(job),
            raised=from_exc_info(snapshot.marks_of(job).raised or escaping),
            text="RQ was not told of this ending.", ended_at=job.ended_at,
        )  # fmt: skip
        _write(execution, known, failure)
    if execution_id is not None:
        ending.remember(job.connection, execution_id)


def prepare_for_execution(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    """`Job.prepare_for_execution`: all that a worker calls which goes on to `Job.perform` by itself.

    `Job.perform` is not wrapped: our frames would stand in the traceback of every job that fails.
    """
    answer = original(job, *args, **kwargs)
    with never_raise("started"):
        if not snapshot.marks_of(job).start_recorded:
            known, worker = snapshot.from_job(job), kwargs.get("worker_name", args[0] if args else None)
            pipeline = kwargs.get("pipeline", args[1] if len(args) > 1 else None)
            enqueue.after_execute(pipeline, lambda _: observers.started(known, None, worker or "unknown"))
    return answer


def prepare_job_execution(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    snapshot.marks_of(job).start_recorded = True  # below, when RQ has read the function's name, too
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        # Also when it raised: RQ reads the function's name last, after Redis has the job as started.
        if job.started_at is not None and job._status == JobStatus.STARTED:
            with never_raise("started"):
                execution_id, known = _execution_id(worker, job), snapshot.from_job(job)
                execution = ending.of_worker(worker).of(job.id)
                if execution is not None:
                    execution.started = known
                if _is_performing.get():  # which takes it back; a worker that goes ways of its own would keep it
                    context.running.set(snapshot.running(known, execution_id))
                observers.started(known, execution_id, worker.name)


def handle_exception(original: Wrapper, worker: Any, job: Any, *exc_info: Any) -> Any:
    snapshot.marks_of(job).raised = exc_info
    return original(worker, job, *exc_info)


def handle_execution_ended(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The first thing that RQ tells Redis after the function. If it cannot, the work-horse goes down with the news."""
    raised = sys.exc_info()  # the job's own exception, which RQ is handling; nothing if the function returned
    try:
        return original(worker, job, *args, **kwargs)
    except Exception as error:
        with never_raise("ended"):
            _record_before_going_down(worker, job, raised, error)
        raise


def _record_before_going_down(worker: Any, job: Any, raised: Any, error: Exception) -> None:
    known, execution_id = snapshot.from_job(job), _execution_id(worker, job)
    execution = ending.of_worker(worker).of(job.id)
    if raised[0] is None:
        if _claim(execution, Claim.RETURNED):
            _write(execution, known, Success(execution_id=execution_id, worker=worker.name, status_saved=False))
        return
    if not _claim(execution, Claim.RAISED):
        return
    failure = Failure(
        execution_id=execution_id, worker=worker.name, retry_in_s=snapshot.retry_in_s(job),
        raised=from_exc_info(raised), text=f"Redis could not be told: {error}", ended_at=job.ended_at,
    )  # fmt: skip
    _write(execution, known, failure)


def handle_job_success(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = ending.of_worker(worker).of(job.id)
    execution_id = _execution_id(worker, job, kwargs.get("execution"))
    late = _is_late(execution, job)  # RQ forgets it on the way
    saved = False
    try:
        answer = original(worker, job, *args, **kwargs)
        saved = True
        return answer
    finally:
        # If Redis could not be told, RQ goes on to its failure path; the work was done all the same.
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
                _write(execution, snapshot.at_ending(job, started), success)


def handle_job_retry(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The function returned a Retry: RQ calls that a failure without an exception."""
    before, marks = None, snapshot.marks_of(job)
    execution = ending.of_worker(worker).of(job.id)
    with never_raise("failed"):
        before = snapshot.from_job(job)
        execution_id = _execution_id(worker, job, kwargs.get("execution"))
        late = _is_late(execution, job)
        marks.asked_for_retry = True  # RQ before 2.12 goes on to handle_job_failure at the limit
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
                _write(execution, before, failure)


def handle_job_failure(
    original: Wrapper, worker: Any, job: Any, queue: Any, started_job_registry: Any = None, exc_string: str = "",
    **kwargs: Any,
) -> Any:  # fmt: skip
    before = failure = None
    execution = ending.of_worker(worker).of(job.id)
    with never_raise("failed"):  # all of it before RQ acts: it counts the retry down and forgets the rest
        before, failure = snapshot.from_job(job), _failure(worker, job, exc_string, kwargs.get("execution"))
    try:
        return original(worker, job, queue, started_job_registry=started_job_registry, exc_string=exc_string, **kwargs)
    finally:
        with never_raise("failed"):
            if before is not None and failure is not None:
                _record_failure(worker, execution, before, failure)


def _record_failure(worker: Any, execution: ExecutionState | None, before: JobSnapshot, failure: Failure) -> None:
    if execution is None or execution.claim.state != Claim.RETURNED or not execution.has_lost_its_horse:
        if _claim(execution, Claim.RAISED):
            _write(execution, before, failure)
    elif _claim(execution, Claim.RETURNED):  # its function returned, whatever RQ takes its work-horse's end for
        success = Success(execution_id=failure.execution_id, worker=worker.name, late=failure.late, status_saved=False)
        _write(execution, before._replace(ended_at=failure.ended_at), success)


def execute_stopped_callback(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    """Since RQ 3 a job is stopped as it should be, though this raises: the record tells both."""
    try:
        return original(job, *args, **kwargs)
    except Exception:
        snapshot.marks_of(job).callback_raised = sys.exc_info()
        raise


def _failure(worker: Any, job: Any, text: str, of_rq: Any) -> Failure:
    execution, marks = ending.of_worker(worker).of(job.id), snapshot.marks_of(job)
    stopped = _is_stopped(worker, job)
    execution_id = _execution_id(worker, job, of_rq)
    gone = execution is not None and execution.exit_status is not None
    raised = from_exc_info(marks.raised)
    if raised is None and not gone:
        raised = from_exc_info(sys.exc_info())  # a class of its own may have passed over handle_exception
    if raised is None:
        raised = from_exc_info(marks.callback_raised, "callback")
    marks.raised = marks.callback_raised = None
    reason = None
    if execution is not None and execution.overdue:
        reason = "timeout"
    elif marks.asked_for_retry:
        reason = "retry_limit"
    elif execution_id is None and raised is None:
        reason = "abandoned"  # taken from the queue, and never started: RQ calls it stuck
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
    """When the execution ended: as RQ says, unless that is still the end of an earlier attempt."""
    ended: datetime | None = job.ended_at
    if ended is None or (job.started_at is not None and ended < job.started_at):
        return datetime.now(UTC)
    return ended


_stored_results: dict[str, int] = {}  # by job, from RQ's writing of the result to our record of it
_RESULTS_AT_MOST = 1000  # of jobs that run at once in one process; nothing may pile up


def serialize_result(original: Wrapper, result: Any, *args: Any, **kwargs: Any) -> Any:
    """RQ pickles the result to store it: measured there, it need not be pickled again."""
    stored = original(result, *args, **kwargs)
    with never_raise("result"):
        text = stored.get("return_value")
        if text:
            if len(_stored_results) >= _RESULTS_AT_MOST:
                _stored_results.clear()
            _stored_results[result.job_id] = len(text) // 4 * 3 - text.count("=")  # RQ stores it as base64
    return stored


# --- the synchronous queue ------------------------------------------------------------------------------


def run_sync(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """No worker, no execution: enqueued, started and ended in one call."""
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
    """What the synchronous queue calls the function by; its caller swallows the exception."""
    running = None
    with never_raise("perform"):
        running = snapshot.running(snapshot.from_job(job), None)
    before = context.running.set(running)
    try:
        with _for_whom(job):
            return original(queue, job, *args, **kwargs)
    except BaseException:
        snapshot.marks_of(job).raised = sys.exc_info()
        raise
    finally:
        context.running.reset(before)


# --- what they share ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _for_whom(job: Any) -> Iterator[None]:
    """In the block everything is for whom the job was enqueued: its context, its actor, its request."""
    carried, who, asked_in = snapshot.context_of(job), snapshot.actor_of(job), snapshot.request_of(job)
    if not carried and who is None and asked_in is None:
        yield
        return
    with context.log_context(**carried), context.acting_as(who), context.within_request(asked_in):
        yield


def _claim(execution: ExecutionState | None, ended: Claim) -> bool:
    """Whether it is ours to record how an execution ended. None: an ending outside of any of this worker's."""
    return execution is None or execution.claim.acquire(ended, from_the_dead=execution.has_lost_its_horse)


def _write(execution: ExecutionState | None, known: JobSnapshot, ended: Success | Failure) -> None:
    """Tell how an execution ended, and then that it was told."""
    if isinstance(ended, Success):
        observers.succeeded(known, ended)
    else:
        observers.failed(known, ended)
    if execution is not None:
        execution.claim.written()


def _is_late(execution: ExecutionState | None, job: Any) -> bool:
    if execution is not None and execution.may_have_lost_its_lease():
        with never_raise("late"):
            return execution.lost_its_lease(job)
    return False  # or Redis could not be asked


def _execution_id(worker: Any, job: Any, of_rq: Any = None) -> str | None:
    """The execution's id: as RQ passes it (RQ 3), else as the worker knows it of this job. None for stuck jobs."""
    if of_rq is not None:
        return str(of_rq.id)
    known = ending.of_worker(worker).of(job.id)
    if known is not None:
        return known.execution_id
    execution = getattr(worker, "execution", None)
    return execution.id if execution is not None and execution.job_id == job.id else None
