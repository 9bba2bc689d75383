"""Wraps RQ's methods for critical sections: checks jobs as they are enqueued, and keeps a busy job from failing.

A job that cannot get into its section raises SectionBusy. RQ's way of failures would call the failure callback and the
exception handlers and use up a retry; for a job that is put back, none of that happens.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from rq.job import UNEVALUATED, JobStatus

from ...errors import SectionBusy
from ...guard import never_raise
from ...sections import put_back, store
from ...sections.caller import token_of
from ...sections.section import DECLARED, critical_section, holds_any, release_leftovers
from .. import ending, snapshot
from ..descriptors import Wrapper
from ..ending import ExecutionState
from ..events import Hooks


def checked(wrapped: Wrapper) -> Wrapper:
    """A wrapper of Queue.create_job that raises SectionError for a job that its own section would never let run."""

    def wrapper(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
        job = wrapped(original, queue, *args, **kwargs)
        function = function_of(job)
        section: critical_section | None = getattr(function, DECLARED, None)
        if function is not None and section is not None:
            timeout = job.timeout if job.timeout is not None else queue._default_timeout
            timeout_s = float(timeout) if float(timeout) > 0 else None
            section.check_job(function, job.func_name, job.args, job.kwargs, timeout_s)
            snapshot.carry_family(job, section.family)
        return job

    return wrapper


def function_of(job: Any) -> Callable[..., Any] | None:
    """The function of a job that is being enqueued. None if its module is not imported here; it never is for this."""
    module, _, name = str(job._func_name).rpartition(".")
    owner: Any = sys.modules.get(module) if job._instance is UNEVALUATED or job._instance is None else job._instance
    return getattr(owner, name, None)


def performed(wrapped: Wrapper) -> Wrapper:
    """A wrapper of perform_job: releases what the job could not, as its timeout interrupted the release."""

    def wrapper(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        execution = ending.execution_of(worker, job)
        try:
            return wrapped(original, worker, job, *args, **kwargs)
        finally:
            if holds_any() and execution is not None and execution.execution_id:
                with never_raise("section release"):
                    release_leftovers(token_of(job.id, execution.execution_id))

    return wrapper


def execute_failure_callback(original: Wrapper, job: Any, death_penalty_class: Any, *exc_info: Any) -> Any:
    """No failure callback for a job that is put back."""
    if _returns(exc_info):
        job._status = JobStatus.STARTED  # RQ has set it to failed, and other tools ask for it
        return None
    return original(job, death_penalty_class, *exc_info)


def handled(wrapped: Wrapper) -> Wrapper:
    """A wrapper of handle_exception: no exception handlers for a job that is put back."""

    def wrapper(original: Wrapper, worker: Any, job: Any, *exc_info: Any) -> Any:
        if _returns(exc_info):
            return None
        return wrapped(original, worker, job, *exc_info)

    return wrapper


def failed(wrapped: Wrapper) -> Wrapper:
    """A wrapper of handle_job_failure: puts a busy job back, and releases what a killed work-horse has held."""

    def wrapper(original: Wrapper, worker: Any, job: Any, queue: Any, *args: Any, **kwargs: Any) -> Any:
        execution, raised = ending.execution_of(worker, job), sys.exc_info()
        if _returns(raised) and worker._stopped_job_id != job.id:
            return put_back.put_back(worker, job, queue, raised[1], kwargs.get("execution"))  # type: ignore[arg-type]
        if isinstance(raised[1], SectionBusy) and raised[1].is_exhausted:
            _fail_for_good(job)
        if execution is not None and execution.horse_has_exited:
            with never_raise("section release"):
                _release_held(worker.connection, execution)  # before a retry of it asks for them
            if _was_put_back(worker, job, execution):
                return None
        return wrapped(original, worker, job, queue, *args, **kwargs)

    return wrapper


def _release_held(connection: Any, execution: ExecutionState) -> None:
    if execution.execution_id:
        store.release_all(connection, token_of(execution.job_id, execution.execution_id))


class ReleasesHeld(Hooks):
    """Releases the sections of a work-horse that exited before it could, without RQ calling handle_job_failure."""

    def work_horse_exited(self, worker: Any, execution: ExecutionState) -> None:
        status = execution.exit_status
        exited_normally = status is not None and status.status == os.EX_OK
        if not exited_normally or execution.ended_silently:
            _release_held(worker.connection, execution)


def _was_put_back(worker: Any, job: Any, execution: ExecutionState) -> bool:
    with never_raise("busy"):
        if put_back.was_put_back(worker, job, execution.execution_id or ""):
            execution.claim.mark_written()
            return True
    return False


def _returns(exc_info: Any) -> bool:
    """Whether the job ended with a SectionBusy that puts it back."""
    return len(exc_info) > 1 and isinstance(exc_info[1], SectionBusy) and exc_info[1].delay_s is not None


def _fail_for_good(job: Any) -> None:
    """Leave RQ no retry: a job that was put back up to its limit is dead. It keeps the number of its attempt."""
    with never_raise("busy"):
        snapshot.carry_last_attempt(job)
        job.retries_left = 0
