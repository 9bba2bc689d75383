"""Wraps what a worker does in its own process: it starts work-horses, waits for them and stops them.

If a work-horse was killed, or exited before it could, the closing record is written here; ending.py has the claim that
makes it one record.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import zlib
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from rq.exceptions import InvalidJobOperation, StopRequested
from rq.job import JobStatus
from rq.results import Result
from rq.worker import SimpleWorker

from ...guard import keep_back, never_raise
from .. import ending, snapshot
from ..descriptors import Wrapper, as_function, is_ours, mark
from ..ending import Claim, ExecutionState
from ..events import ExitStatus, Failure, Success, observers
from ..raised import from_exc_info, from_text
from ..snapshot import JobSnapshot
from . import closing

_UNKNOWN = ExitStatus(None, None)
WORK_HORSE_WAIT_S = 30.0  # from the fork to the next line; a machine may be busy


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


def execute_job(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """A whole execution, in the worker's own process. If an override calls RQ's method, only the outer call counts."""
    state, job_id = ending.of_worker(worker), job.id
    if job_id in state.executing:
        return original(worker, job, *args, **kwargs)
    try:
        state.executing.add(job_id)
        state.begin(job_id, None, shared=ending.is_shared(worker))
    except Exception as error:
        keep_back(error, "execute")
    try:
        return original(worker, job, *args, **kwargs)
    finally:
        state.executing.discard(job_id)
        try:
            _conclude(worker, job)
        except StopRequested:  # a signal to end came just now
            _conclude(worker, job)  # what is on record already is not recorded again
            raise


def _conclude(worker: Any, job: Any) -> None:
    """End the execution if it had a work-horse, which is gone by now.

    Without a work-horse `perform_job` ends it, possibly in another thread.
    """
    execution = ending.execution_of(worker, job)
    if execution is None:
        return
    try:
        if execution.exit_status is not None or (execution.horse_pid and not _is_alive(execution.horse_pid)):
            _record_missing_ending(worker, job, execution)
            observers.work_horse_exited(worker, execution)
            ending.of_worker(worker).end(job.id)
    except Exception as error:
        keep_back(error, "failed")


def prepare_execution(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = original(worker, job, *args, **kwargs)
    try:
        state = ending.of_worker(worker)
        ours = state.of(job.id)
        if ours is None or ours.execution_id is not None:
            ours = state.begin(job.id, None, shared=ending.is_shared(worker))
        ours.execution_id = execution.id
    except Exception as error:
        keep_back(error, "prepare")
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
        if (execution := ending.execution_of(worker, job)) is not None:
            execution.overdue = status is None
    return original(worker, job, *args, **kwargs)


def monitor_work_horse(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution = None
    with never_raise("monitor"):
        execution = ending.execution_of(worker, job)
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
            _await_work_horse(worker, lambda: job_id in state.executing)
    return original(worker, payload, *args, **kwargs)


def request_stop_execution(original: Wrapper, worker: Any, execution_id: str, *args: Any, **kwargs: Any) -> Any:
    """Remember the job of a stopped execution (RQ 3)."""
    with never_raise("stop"):
        execution = worker.executions.get(execution_id)
        if execution is not None:
            ending.of_worker(worker).stopped_job_id = execution.job_id
            _await_work_horse(worker, lambda: execution_id in worker.executions)
    return original(worker, execution_id, *args, **kwargs)


def _await_work_horse(worker: Any, is_executing: Callable[[], bool]) -> None:
    """Wait until RQ can kill the work-horse without itself. The command that it obeys comes in another thread.

    RQ kills the process group of the work-horse. Until it has noted the process id after the fork, it has 0 for it, and
    until the work-horse has left its group, that is RQ's own, with whatever else was started with the worker. The wait
    is over, too, when the execution is.
    """
    deadline = time.monotonic() + WORK_HORSE_WAIT_S
    while not isinstance(worker, SimpleWorker) and would_kill_itself(worker) and is_executing():
        if time.monotonic() > deadline:
            return
        time.sleep(0.001)


def would_kill_itself(worker: Any) -> bool:
    """Whether RQ's `kill_horse` would now kill the worker's own process group."""
    try:
        return os.getpgid(worker.horse_pid) == os.getpgrp()
    except (AttributeError, ProcessLookupError):  # it never has a work-horse, or that is gone
        return False


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
    closing.record(execution, at_end, failure)
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
    closing.record(execution, snapshot.from_job(job), success)
    if not is_saved and execution.execution_id is not None:
        ending.remember(job.connection, execution.execution_id)


def _missing_failure(
    worker: Any, job: Any, execution: ExecutionState, status: JobStatus | None
) -> tuple[JobSnapshot, Failure]:
    """The job and the failure of an execution that did not succeed and whose work-horse has exited."""
    stopped = closing.is_stopped(worker, job)
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
