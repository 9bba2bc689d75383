"""Wrappers around what executes: every execution's one true ending, told by whoever is left to tell it.

The work-horse tells in most cases. Its parent tells when the work-horse was killed, left without a word, or
went down with it; see ending.py for how they agree.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from rq.exceptions import InvalidJobOperation
from rq.job import JobStatus

from .. import context
from . import ending, enqueuing, snapshot
from .events import ExceptionInfo, ExitStatus, Failure, Success, never_raise, observers

Wrapper = Callable[..., Any]

_UNKNOWN = ExitStatus(None, None)


def bootstrap(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(worker, *args, **kwargs)
    observers.tell("worker_started", worker)
    return answer


# --- the parent -----------------------------------------------------------------------------------------


def prepare_execution(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = original(worker, job, *args, **kwargs)
    with never_raise("prepare"):
        ending.of_worker(worker).begin(job.id, execution.id, shared=ending.is_shared(worker))
    return execution


def wait_for_horse(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(worker, *args, **kwargs)
    with never_raise("wait"):
        _, status, rusage = answer
        worker.__dict__["_shipper_killed"] = ExitStatus(status, getattr(rusage, "ru_maxrss", None))
    return answer


def handle_work_horse_killed(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    # RQ passes no status for a work-horse that it had to kill itself, long past the job's timeout.
    worker.__dict__["_shipper_overdue"] = args[1:2] == (None,)
    return original(worker, job, *args, **kwargs)


def monitor_work_horse(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    pid = worker.horse_pid
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        with never_raise("failed"):
            if not _is_alive(pid):
                _tell_what_nobody_told(worker, job)
                ending.of_worker(worker).end()
        for mark in ("_shipper_killed", "_shipper_overdue"):
            worker.__dict__.pop(mark, None)


def _tell_what_nobody_told(worker: Any, job: Any) -> None:
    """The work-horse is gone. If neither it nor its parent said how, say it now."""
    seen = ending.of_worker(worker)
    if seen.execution_id is None or seen.taken:
        return
    status = _status(job)
    if not seen.shared and status != JobStatus.STARTED:
        return  # the spawned child told; it has no way to say so
    if not seen.acquire():
        return
    if status == JobStatus.FINISHED:  # killed after Redis knew and before the record was written
        job.refresh()
        observers.tell("succeeded", snapshot.from_job(job), Success(execution_id=seen.execution_id, worker=worker.name))
        return
    job.ended_at = datetime.now(UTC)
    stopped = worker._stopped_job_id == job.id
    raised = _as_raised(sys.exc_info(), "callback") if stopped else None
    failure = Failure(
        execution_id=seen.execution_id,
        worker=worker.name,
        retry_in_s=snapshot.retry_in_s(job) if not stopped else None,
        stopped=stopped,
        text="The work-horse ended without telling RQ.",
        raised=raised,
        killed=worker.__dict__.get("_shipper_killed", _UNKNOWN),
    )
    observers.tell("failed", snapshot.from_job(job), failure)
    if status == JobStatus.STARTED:
        ending.remember(job.connection, seen.execution_id)  # RQ will come across it and declare it abandoned


def _status(job: Any) -> JobStatus | None:
    """The job's status in Redis; None if it is gone or cannot be asked for."""
    with contextlib.suppress(InvalidJobOperation):
        return job.get_status()  # type: ignore[no-any-return]
    return None


def _is_alive(pid: int) -> bool:
    """Whether a child is still running. One that nobody has waited for yet counts as gone."""
    try:
        return os.waitpid(pid, os.WNOHANG) == (0, 0)
    except ChildProcessError:
        return False


# --- the work-horse -------------------------------------------------------------------------------------


def perform_job(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The job runs for whom it was enqueued: its records say so, and the jobs that it enqueues do."""
    seen = ending.of_worker(worker)
    if seen.job_id is None:  # a spawned child, which inherited nothing
        with never_raise("perform"):
            execution = getattr(worker, "execution", None)
            if execution is not None:
                seen.begin(job.id, execution.id, shared=False)
    before = context.running.set(None)  # prepare_job_execution fills it in, when RQ has read the function's name
    try:
        with _for_whom(job):
            return original(worker, job, *args, **kwargs)
    finally:
        context.running.reset(before)
        if not worker.is_horse:
            seen.end()


def prepare_job_execution(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        # Also when it raised: RQ reads the function's name last, after Redis has the job as started.
        if job.started_at is not None and job._status == JobStatus.STARTED:
            with never_raise("started"):
                execution_id, known = _execution_id(worker, job), snapshot.from_job(job)
                ending.of_worker(worker).started = known
                context.running.set(snapshot.running(known, execution_id))
                observers.tell("started", known, execution_id, worker.name)


def handle_exception(original: Wrapper, worker: Any, job: Any, *exc_info: Any) -> Any:
    job.__dict__["_shipper_raised"] = exc_info
    return original(worker, job, *exc_info)


def handle_execution_ended(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The first thing that RQ tells Redis after the function. If it cannot, the work-horse goes down with the news."""
    raised = sys.exc_info()  # the job's own exception, which RQ is handling; nothing if the function returned
    try:
        return original(worker, job, *args, **kwargs)
    except Exception as error:
        with never_raise("ended"):
            _tell_before_going_down(worker, job, raised, error)
        raise


def _tell_before_going_down(worker: Any, job: Any, raised: Any, error: Exception) -> None:
    known, execution_id = snapshot.from_job(job), _execution_id(worker, job)
    if not _claim(worker, job):
        return
    if raised[0] is None:
        success = Success(execution_id=execution_id, worker=worker.name, status_saved=False)
        observers.tell("succeeded", known, success)
        return
    failure = Failure(
        execution_id=execution_id, worker=worker.name, retry_in_s=snapshot.retry_in_s(job), raised=_as_raised(raised),
        text=f"Redis could not be told: {error}", ended_at=job.ended_at,
    )  # fmt: skip
    observers.tell("failed", known, failure)


def handle_job_success(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    seen = ending.of_worker(worker)
    execution_id, late = _execution_id(worker, job), _is_late(worker, job)  # RQ forgets it on the way
    saved = False
    try:
        answer = original(worker, job, *args, **kwargs)
        saved = True
        return answer
    finally:
        # If Redis could not be told, RQ goes on to its failure path; the work was done all the same.
        with never_raise("succeeded"):
            if _claim(worker, job):
                success = Success(
                    execution_id=execution_id,
                    worker=worker.name,
                    late=late,
                    status_saved=saved,
                    result_type=type(job._result).__qualname__,
                    result_bytes=_stored_results.pop(job.id, None),
                )
                observers.tell("succeeded", snapshot.at_ending(job, seen.started), success)


def handle_job_retry(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The function returned a Retry: RQ calls that a failure without an exception."""
    before = None
    with never_raise("failed"):
        before, execution_id, late = snapshot.from_job(job), _execution_id(worker, job), _is_late(worker, job)
        job.__dict__["_shipper_asked_for_retry"] = True  # RQ before 2.12 goes on to handle_job_failure at the limit
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        job.__dict__.pop("_shipper_asked_for_retry", None)
        with never_raise("failed"):
            if before is not None and _claim(worker, job):
                spent = job._status == JobStatus.FAILED
                failure = Failure(
                    execution_id=execution_id,
                    worker=worker.name,
                    late=late,
                    retry_in_s=None if spent else 0.0,
                    text="The function returned a Retry.",
                    reason="retry_limit" if spent else None,
                )
                observers.tell("failed", before, failure)


def handle_job_failure(
    original: Wrapper, worker: Any, job: Any, queue: Any, started_job_registry: Any = None, exc_string: str = "",
    **kwargs: Any,
) -> Any:  # fmt: skip
    before = failure = None
    with never_raise("failed"):  # all of it before RQ acts: it counts the retry down and forgets the rest
        before, failure = snapshot.from_job(job), _failure(worker, job, exc_string)
    try:
        return original(worker, job, queue, started_job_registry=started_job_registry, exc_string=exc_string, **kwargs)
    finally:
        with never_raise("failed"):
            if failure is not None and _claim(worker, job):
                observers.tell("failed", before, failure)


def execute_stopped_callback(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    """Since RQ 3 a job is stopped as it should be, though this raises: the record tells both."""
    try:
        return original(job, *args, **kwargs)
    except Exception:
        job.__dict__["_shipper_callback_raised"] = sys.exc_info()
        raise


def _failure(worker: Any, job: Any, text: str) -> Failure:
    stopped = worker._stopped_job_id == job.id
    execution_id = _execution_id(worker, job)
    raised = _as_raised(job.__dict__.pop("_shipper_raised", None))
    if raised is None:
        raised = _as_raised(job.__dict__.pop("_shipper_callback_raised", None), "callback")
    killed = worker.__dict__.get("_shipper_killed") if raised is None and execution_id else None
    reason = None
    if worker.__dict__.get("_shipper_overdue"):
        reason = "timeout"
    elif job.__dict__.get("_shipper_asked_for_retry"):
        reason = "retry_limit"
    elif execution_id is None and raised is None:
        reason = "abandoned"  # taken from the queue, and never started: RQ calls it stuck
    return Failure(
        execution_id=execution_id,
        worker=worker.name,
        late=_is_late(worker, job),
        retry_in_s=None if stopped else snapshot.retry_in_s(job),
        stopped=stopped,
        text=text,
        raised=raised,
        killed=killed,
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


def serialize_result(original: Wrapper, result: Any, *args: Any, **kwargs: Any) -> Any:
    """RQ pickles the result to store it: measured there, it need not be pickled again."""
    stored = original(result, *args, **kwargs)
    with never_raise("result"):
        text = stored.get("return_value")
        if text:
            _stored_results.clear()  # one job at a time; nothing may pile up
            _stored_results[result.job_id] = len(text) // 4 * 3 - text.count("=")  # RQ stores it as base64
    return stored


# --- the synchronous queue ------------------------------------------------------------------------------


def run_sync(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """No worker, no execution: enqueued, started and ended in one call."""
    with never_raise("enqueued"):
        observers.tell("enqueued", snapshot.from_job(job), enqueuing.current_cause())
        job.started_at = datetime.now(UTC)
        observers.tell("started", snapshot.from_job(job), None, "sync")
    try:
        return original(queue, job, *args, **kwargs)
    finally:
        with never_raise("failed"):
            job.ended_at = job.ended_at or datetime.now(UTC)
            raised = _as_raised(job.__dict__.pop("_shipper_raised", None))
            if raised is None:
                success = Success(
                    execution_id=None,
                    worker="sync",
                    result_type=type(job._result).__qualname__,
                    result_bytes=_stored_results.pop(job.id, None),
                )
                observers.tell("succeeded", snapshot.from_job(job), success)
            else:
                observers.tell(
                    "failed", snapshot.from_job(job), Failure(execution_id=None, worker="sync", raised=raised)
                )


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
        job.__dict__["_shipper_raised"] = sys.exc_info()
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


def _claim(worker: Any, job: Any) -> bool:
    """Whether it is ours to tell how this job ended."""
    seen = ending.of_worker(worker)
    if seen.job_id != job.id:
        return True  # an ending outside of any execution of this worker's
    return seen.acquire()


def _is_late(worker: Any, job: Any) -> bool:
    seen = ending.of_worker(worker)
    if seen.job_id == job.id and seen.may_have_lost_its_lease():
        with never_raise("late"):
            return seen.lost_its_lease(job)
    return False  # or Redis could not be asked


def _execution_id(worker: Any, job: Any) -> str | None:
    """The execution's id, if the one that the worker remembers is this job's (for stuck jobs it is not)."""
    seen = ending.of_worker(worker)
    if seen.job_id == job.id:
        return seen.execution_id
    execution = getattr(worker, "execution", None)
    return execution.id if execution is not None and execution.job_id == job.id else None


def _as_raised(exc_info: Any, where: str | None = None) -> ExceptionInfo | None:
    """An exception for a record; None if there was none."""
    if exc_info is None or exc_info[0] is None:
        return None
    kind, value, trace = exc_info
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(value)
    except Exception:  # somebody else's __str__ may do anything
        message = "(an exception that cannot be shown)"
    return ExceptionInfo(name, message, "".join(traceback.format_exception(kind, value, trace)), where or _where(trace))


# Functions of RQ whose frames tell which part of the work was going on.
_PARTS = {"import_attribute": "import", "execute_success_callback": "callback"}


def _where(trace: Any) -> str | None:
    """Which part of the work raised: RQ's import of the function, its callback, or (None) the function itself."""
    for frame, _ in traceback.walk_tb(trace):
        if "rq" in frame.f_code.co_filename and (part := _PARTS.get(frame.f_code.co_name)):
            return part
    return None
