"""Wraps RQ's operations: cancel, requeue, delete, stop, empty, suspend, resume. Each becomes an audit record.

Covers every tool that uses RQ's API: `rq requeue`, a dashboard, a shell. What RQ does by itself is not an operation: it
deletes jobs that keep no result and pushes retries. That is marked as housekeeping, or uses other methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from rq.job import Job

from ...guard import never_raise
from .. import snapshot
from ..descriptors import Wrapper
from ..events import Operation, observers
from ..snapshot import JobSnapshot
from . import remove
from .enqueue import after_execute, with_cause

_reason: ContextVar[str | None] = ContextVar("shipper_operation_reason", default=None)

_COMMANDS = {
    "stop-job": ("job-stop-requested", "end"),
    "stop-execution": ("job-stop-requested", "end"),
    "kill-horse": ("job-kill-requested", "end"),
    "shutdown": ("worker-shutdown-requested", "end"),
}


def job_method(action: str, kind: str, wrapped: Wrapper) -> Wrapper:
    """Add an audit record to `wrapped`, which is a wrapper of a method of Job."""

    def wrapper(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
        if remove.is_housekeeping():
            return wrapped(original, job, *args, **kwargs)
        before = _snapshot(job)
        return _run_and_report(
            lambda: wrapped(original, job, *args, **kwargs),
            action,
            kind,
            before,
            ("job", job.id, before.function if before else None),
            kwargs.get("pipeline", args[0] if args else None),
        )

    return wrapper


def requeue(wrapped: Wrapper) -> Wrapper:
    """Add an audit record to `wrapped`, a wrapper of BaseRegistry.requeue, which takes a job or its id."""

    def wrapper(original: Wrapper, registry: Any, job_or_id: Any, *args: Any, **kwargs: Any) -> Any:
        job = job_or_id if isinstance(job_or_id, Job) else fetch(registry.connection, job_or_id)
        before = _snapshot(job) if job is not None else None
        name = before.function if before else None
        identifier = before.job_id if before else str(job_or_id)
        return _run_and_report(
            lambda: wrapped(original, registry, job_or_id, *args, **kwargs),
            "job-requeued",
            "change",
            before,
            ("job", identifier, name),
        )

    return wrapper


def report_requeue(job: Job, push: Callable[[], Any]) -> Any:
    """Call `push`, which pushes a job again without BaseRegistry.requeue, and report it as a requeue."""
    before = _snapshot(job)
    return _run_and_report(
        lambda: with_cause("requeue")(lambda _: push(), None),
        "job-requeued",
        "change",
        before,
        ("job", job.id, before.function if before else None),
    )


def empty(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
    """One audit record for the queue, and a job record for each job that was in it."""
    return _run_and_report(
        lambda: remove.empty(original, queue, *args, **kwargs),
        "queue-emptied",
        "deletion",
        None,
        ("queue", queue.name, None),
        detail=lambda answer: f"{answer} jobs" if isinstance(answer, int) else None,
    )


def suspension(action: str) -> Wrapper:
    def wrapper(original: Wrapper, *args: Any, **kwargs: Any) -> Any:
        return _run_and_report(lambda: original(*args, **kwargs), action, "change", None, ("workers", "all", None))

    return wrapper


def command(original: Wrapper, connection: Any, worker_name: str, command: str, *args: Any, **kwargs: Any) -> Any:
    if command not in _COMMANDS:
        return original(connection, worker_name, command, *args, **kwargs)
    action, kind = _COMMANDS[command]
    job = fetch(connection, kwargs["job_id"]) if "job_id" in kwargs else None
    before = _snapshot(job) if job is not None else None
    return _run_and_report(
        lambda: original(connection, worker_name, command, *args, **kwargs),
        action,
        kind,
        before,
        ("job", before.job_id, before.function) if before else ("worker", worker_name, None),
    )


def _run_and_report(
    call: Callable[[], Any],
    action: str,
    kind: str,
    job: JobSnapshot | None,
    resource: tuple[str, str | None, str | None],
    pipeline: Any = None,
    detail: Callable[[Any], str | None] = lambda _: None,
) -> Any:
    """Call it and report the operation; if the caller uses a pipeline, after that is executed."""
    try:
        answer = call()
    except Exception as error:
        _report(Operation(action=action, type=kind, resource=resource, job=job, error=error))
        raise
    with never_raise("operated"):
        done = Operation(action=action, type=kind, resource=resource, job=job, detail=detail(answer))
        if pipeline is None:
            _report(done)
        else:
            after_execute(pipeline, lambda _: _report(done))
    return answer


def report(
    action: str,
    kind: str,
    job: JobSnapshot | None,
    resource: tuple[str, str | None, str | None],
    detail: str | None = None,
) -> None:
    """Report an operation of ours that does not go through a wrapped method of RQ."""
    with never_raise("operated"):
        _report(Operation(action=action, type=kind, resource=resource, job=job, detail=detail))


@contextmanager
def with_reason(reason: str | None) -> Iterator[None]:
    """Within the block, operations are reported with the reason that the operator gave."""
    before = _reason.set(reason)
    try:
        yield
    finally:
        _reason.reset(before)


def _report(operation: Operation) -> None:
    reason = _reason.get()
    if reason is not None:
        detail = f"{operation.detail}: {reason}" if operation.detail else reason
        operation = replace(operation, detail=detail)
    observers.operated(operation)


def _snapshot(job: Any) -> JobSnapshot | None:
    with never_raise("operated"):
        return snapshot.from_job(job)
    return None


def fetch(connection: Any, job_id: Any) -> Job | None:
    """The job from Redis, without unpickling its payload. None if it is gone or Redis does not answer."""
    with never_raise("operated"):
        job = Job(str(job_id), connection=connection)
        raw = remove.read_hash(connection, job)
        if raw:
            remove.restore_unpickled(job, raw)
            return job
    return None
