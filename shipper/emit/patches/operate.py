"""Wraps what people do to RQ: cancel, requeue, delete, stop, empty, suspend, resume.

Whatever tool goes through RQ's API is heard here: `rq requeue`, a dashboard, a shell. What RQ does by itself (it
deletes jobs that keep no result, and pushes again what is to be retried) goes other ways, or is marked as
housekeeping, and is nobody's action.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq.job import Job

from ...guard import never_raise
from .. import snapshot
from ..events import Operation, observers
from ..snapshot import JobSnapshot
from . import remove
from .enqueue import after_execute, with_cause

Wrapper = Callable[..., Any]

_COMMANDS = {
    "stop-job": ("job-stop-requested", "end"),
    "stop-execution": ("job-stop-requested", "end"),
    "kill-horse": ("job-kill-requested", "end"),
    "shutdown": ("worker-shutdown-requested", "end"),
}


def job_method(action: str, kind: str, wrapped: Wrapper) -> Wrapper:
    """Around `wrapped`, a wrapper of a method of Job: tells that it was called, and what came of it."""

    def wrapper(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
        if remove.is_housekeeping():
            return wrapped(original, job, *args, **kwargs)
        known = _facts(job)
        return _told(
            lambda: wrapped(original, job, *args, **kwargs), action, kind, known,
            ("job", job.id, known.function if known else None), kwargs.get("pipeline", args[0] if args else None),
        )  # fmt: skip

    return wrapper


def requeue(wrapped: Wrapper) -> Wrapper:
    """Around BaseRegistry.requeue, which takes a job or its id."""

    def wrapper(original: Wrapper, registry: Any, job_or_id: Any, *args: Any, **kwargs: Any) -> Any:
        job = job_or_id if isinstance(job_or_id, Job) else fetched(registry.connection, job_or_id)
        known = _facts(job) if job is not None else None
        name = known.function if known else None
        identifier = known.job_id if known else str(job_or_id)
        return _told(
            lambda: wrapped(original, registry, job_or_id, *args, **kwargs), "job-requeued", "change", known,
            ("job", identifier, name),
        )  # fmt: skip

    return wrapper


def requeued(job: Job, push: Callable[[], Any]) -> Any:
    """Do `push`, by which somebody has a job pushed again past BaseRegistry.requeue."""
    known = _facts(job)
    return _told(
        lambda: with_cause("requeue")(lambda _: push(), None), "job-requeued", "change", known,
        ("job", job.id, known.function if known else None),
    )  # fmt: skip


def empty(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
    """Each job that was in it has a record of its own beside the one that says who emptied it."""
    return _told(
        lambda: remove.empty(original, queue, *args, **kwargs), "queue-emptied", "deletion", None,
        ("queue", queue.name, None), detail=lambda answer: f"{answer} jobs" if isinstance(answer, int) else None,
    )  # fmt: skip


def suspension(action: str) -> Wrapper:
    def wrapper(original: Wrapper, *args: Any, **kwargs: Any) -> Any:
        return _told(lambda: original(*args, **kwargs), action, "change", None, ("workers", "all", None))

    return wrapper


def command(original: Wrapper, connection: Any, worker_name: str, command: str, *args: Any, **kwargs: Any) -> Any:
    if command not in _COMMANDS:
        return original(connection, worker_name, command, *args, **kwargs)
    action, kind = _COMMANDS[command]
    job = fetched(connection, kwargs["job_id"]) if "job_id" in kwargs else None
    known = _facts(job) if job is not None else None
    return _told(
        lambda: original(connection, worker_name, command, *args, **kwargs), action, kind, known,
        ("job", known.job_id, known.function) if known else ("worker", worker_name, None),
    )  # fmt: skip


def _told(
    act: Callable[[], Any], action: str, kind: str, job: JobSnapshot | None,
    resource: tuple[str, str | None, str | None],
    pipeline: Any = None, detail: Callable[[Any], str | None] = lambda _: None,
) -> Any:  # fmt: skip
    """Do it, and tell of it; when it goes through a caller's pipeline, once that was executed."""
    try:
        answer = act()
    except Exception as error:
        _tell(Operation(action=action, type=kind, resource=resource, job=job, error=error))
        raise
    with never_raise("operated"):
        done = Operation(action=action, type=kind, resource=resource, job=job, detail=detail(answer))
        if pipeline is None:
            _tell(done)
        else:
            after_execute(pipeline, lambda _: _tell(done))
    return answer


def _tell(operation: Operation) -> None:
    observers.operated(operation)


def _facts(job: Any) -> JobSnapshot | None:
    with never_raise("operated"):
        return snapshot.from_job(job)
    return None


def fetched(connection: Any, job_id: Any) -> Job | None:
    """The job, without its payload ever being unpickled; None if it is gone or cannot be asked for."""
    with never_raise("operated"):
        job = Job(str(job_id), connection=connection)
        raw = remove.hash_of(connection, job)
        if raw:
            job.restore(raw)
            return job
    return None
