"""Wraps RQ's enqueueing: stores the context on the job, and calls the hooks once Redis has the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from rq.job import JobStatus

from ... import context
from ...guard import keep_back, never_raise
from ...job_fields import CARRIED_FIELD
from .. import snapshot
from ..descriptors import Wrapper
from ..events import observers

_cause: ContextVar[str] = ContextVar("shipper_enqueue_cause", default="api")


_cron_name: ContextVar[str | None] = ContextVar("shipper_cron_name", default=None)


def create(original: Wrapper, cls: Any, *args: Any, **kwargs: Any) -> Any:
    """`Job.create`, called by a queue or by the application itself: stores the current context on the job."""
    job = original(cls, *args, **kwargs)
    with never_raise("carry"):
        _carry(job)
    return job


def create_job(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
    """`Queue.create_job`, which sets the job's retries."""
    job = original(queue, *args, **kwargs)
    with never_raise("carry"):
        if not snapshot.is_carrying(job):  # a job class of the application may not call RQ's `create`
            _carry(job)
        snapshot.carry_attempts(job)
        snapshot.carry_cron(job, _cron_name.get())
    return job


def _carry(job: Any) -> None:
    snapshot.carry(job, context.current(), context.running.get(), context.current_actor(), context.request_id())


def to_dict(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    hash_fields = original(job, *args, **kwargs)
    try:
        snapshot.note_stored_bytes(job, hash_fields.get("data"))
        if carried := snapshot.carried_bytes(job):
            hash_fields[CARRIED_FIELD] = carried
    except Exception as error:
        keep_back(error, "carry")
    return hash_fields


def restore(original: Wrapper, job: Any, raw_data: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(job, raw_data, *args, **kwargs)
    try:
        snapshot.note_stored_bytes(job, raw_data.get(b"data"))
        snapshot.restore(job, raw_data)
    except Exception as error:
        keep_back(error, "carry")
    return answer


def enqueue_job(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    cause = _cause.get()
    if cause not in ("scheduler", "rate_limit"):
        snapshot.forget_schedule(job)  # a retry or requeue of a job that was once scheduled waits from its push
    if not queue._is_async:
        with _running():
            return original(queue, job, *args, **kwargs)  # run_sync calls all hooks, in order
    with _reporting_refusal(job):
        answer = original(queue, job, *args, **kwargs)
    with never_raise("enqueued"):
        pushed = snapshot.from_job(job)
        when_executed(args, kwargs, lambda _: observers.enqueued(pushed, cause), job)
    return answer


def refused(wrapped: Wrapper) -> Wrapper:
    """A wrapper of the methods that take a new job: Redis may refuse what they do before the push, too."""

    def wrapper(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        with _reporting_refusal(job):
            return wrapped(original, queue, job, *args, **kwargs)

    return wrapper


@contextmanager
def _reporting_refusal(job: Any) -> Iterator[None]:
    """Call `refused` if RQ or Redis refuses the job."""
    try:
        yield
    except Exception as error:
        _report_refusal(job, error)
        raise


@contextmanager
def _running() -> Iterator[None]:
    """Within the block a job runs in the enqueuing process: what it raises is no refusal."""
    try:
        yield
    except Exception as error:
        _note_reported(error)
        raise


def _note_reported(error: BaseException) -> None:
    with suppress(AttributeError):  # of classes with __slots__
        error._shipper_reported = True  # type: ignore[attr-defined]


# The exceptions after which it is certain that nothing was pushed, by name: RQ has the first one since 2.8, and the
# second is redis-py's for Redis's answer "OOM command not allowed".
_REFUSALS = {"DuplicateJobError": "duplicate", "OutOfMemoryError": "redis_full"}


def _report_refusal(job: Any, error: BaseException) -> None:
    """Once for each exception, as it passes several of our wrappers."""
    reason = _REFUSALS.get(type(error).__name__)
    if reason and not getattr(error, "_shipper_reported", False):
        with never_raise("refused"):
            _note_reported(error)
            observers.refused(snapshot.from_job(job), reason)


def schedule_job(original: Wrapper, queue: Any, job: Any, at: datetime, *args: Any, **kwargs: Any) -> Any:
    with never_raise("scheduled"):
        snapshot.carry_schedule(job, at)
    answer = original(queue, job, at, *args, **kwargs)
    with never_raise("scheduled"):
        waiting, cause = snapshot.from_job(job), _cause.get()
        when_executed(args, kwargs, lambda _: observers.scheduled(waiting, cause), job)
    return answer


def register_dependency(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(job, *args, **kwargs)
    with never_raise("deferred"):

        def notify(_: Any) -> None:
            # enqueue_many registers all dependencies first and then pushes the jobs whose parents are done.
            if job._status == JobStatus.DEFERRED:
                observers.deferred(snapshot.from_job(job))

        when_executed(args, kwargs, notify)
    return answer


def with_cause(cause: str) -> Wrapper:
    """A wrapper that sets `rq.cause` for the jobs pushed in the call."""

    def wrapper(original: Wrapper, self: Any, *args: Any, **kwargs: Any) -> Any:
        before = _cause.set(cause)
        try:
            return original(self, *args, **kwargs)
        finally:
            _cause.reset(before)

    return wrapper


def current_cause() -> str:
    """The `rq.cause` of jobs pushed in this context."""
    return _cause.get()


def cron(original: Wrapper, cron_job: Any, *args: Any, **kwargs: Any) -> Any:
    """A cron job is due. Since RQ 2.11 it has a name; before, the function's name is used."""
    before = _cron_name.set(getattr(cron_job, "name", None) or getattr(cron_job, "func_name", None))
    try:
        return with_cause("cron")(original, cron_job, *args, **kwargs)
    finally:
        _cron_name.reset(before)


def when_executed(
    args: tuple[Any, ...], kwargs: dict[str, Any], callback: Callable[[Any], None], pushed: Any = None
) -> None:
    """Call back at once, or after the caller's pipeline is executed. RQ pushes unique jobs by a script, at once.

    `pushed`: the job that the pipeline pushes, which Redis may refuse.
    """
    pipeline = kwargs.get("pipeline", args[0] if args else None)
    if pipeline is None or kwargs.get("unique"):
        callback(None)
    else:
        after_execute(pipeline, callback, pushed)


def after_execute(pipeline: Any, callback: Callable[[Any], None], pushed: Any = None) -> None:
    """Call `callback` with the pipeline's results once it is executed; never if it is reset or fails.

    If Redis refuses it, the hook `refused` is called for the job `pushed`.
    """
    waiting: list[tuple[Callable[[Any], None], Any]] | None = pipeline.__dict__.get("_shipper_waiting")
    if waiting is None:
        waiting = pipeline._shipper_waiting = []
        execute, reset = pipeline.execute, pipeline.reset

        def execute_and_call_back(*args: Any, **kwargs: Any) -> Any:
            due = waiting.copy()
            waiting.clear()  # not every pipeline calls its own reset after execute
            try:
                results = execute(*args, **kwargs)
            except Exception as error:
                for _, job in due:
                    if job is not None:
                        _report_refusal(job, error)
                raise
            for function, _ in due:
                with never_raise("pipeline"):
                    function(results)
            return results

        def reset_and_forget(*args: Any, **kwargs: Any) -> Any:
            waiting.clear()
            return reset(*args, **kwargs)

        pipeline.execute, pipeline.reset = execute_and_call_back, reset_and_forget
    waiting.append((callback, pushed))
