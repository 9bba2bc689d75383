"""The wrappers around RQ's classes: when RQ does something, the observers are told. Calls, not logic.

RQ's classes themselves are wrapped, not subclasses of them: the scheduler, cron, registries and the
worker's children build the base classes, whatever class the user named. RQ's arguments are passed on as
they came (`*args, **kwargs`): they differ between releases.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any

import rq.job
import rq.queue
import rq.registry
import rq.scheduler
import rq.worker

from .. import context, settings
from . import facts
from .hooks import Failure, Killed, Observers, Raised, Success, quietly
from .recorder import Recorder

log = logging.getLogger("shipper")

observers = Observers()

_lock = threading.Lock()
_instrumented = False
_cause: ContextVar[str] = ContextVar("shipper_enqueue_cause", default="api")


def instrument() -> None:
    """Make RQ in this process, and in every process forked from it, write job records to SHIPPER_LOG.

    Call it once in processes that enqueue: web applications, schedulers, cron, scripts. A worker that runs
    with RQ_JOB_CLASS=shipper.LoggedJob needs no call. Calling it again does nothing. Wrong settings are
    logged and left out; they raise nothing here.
    """
    global _instrumented  # noqa: PLW0603 - what is wrapped is global too
    with _lock:
        if _instrumented:
            return
        _instrumented = True
        observers.add(Recorder(settings.load(complain=log.error)))
        for classes, method, wrapper in _WRAPPERS:
            _wrap(classes, method, wrapper)


Wrapper = Callable[..., Any]


def _wrap(classes: tuple[type, ...], name: str, wrapper: Wrapper) -> None:
    """Put `wrapper(original, self, *args, **kwargs)` around the method, in whichever classes define it."""
    for owner in classes:
        original = owner.__dict__.get(name)
        if original is not None:
            setattr(owner, name, _around(original, wrapper))


def _around(original: Callable[..., Any], wrapper: Wrapper) -> Callable[..., Any]:
    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    return wrapped


# --- the enqueuer ---------------------------------------------------------------------------------------


def _create_job(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
    job = original(queue, *args, **kwargs)
    with quietly("carry"):
        facts.carry(job, context.current())
    return job


def _to_dict(original: Wrapper, job: Any, *args: Any, **kwargs: Any) -> Any:
    hash_fields = original(job, *args, **kwargs)
    with quietly("carry"):
        if carried := facts.carried_bytes(job):
            hash_fields[facts.CARRIED_FIELD] = carried
    return hash_fields


def _restore(original: Wrapper, job: Any, raw_data: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(job, raw_data, *args, **kwargs)
    with quietly("carry"):
        facts.restore(job, raw_data)
    return answer


def _enqueue_job(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(queue, job, *args, **kwargs)
    pipeline = kwargs.get("pipeline", args[0] if args else None)
    with quietly("enqueued"):
        pushed, cause = facts.of(job), _cause.get()
        if pipeline is None or kwargs.get("unique"):  # RQ pushes unique jobs by a script, at once
            observers.tell("enqueued", pushed, cause)
        else:
            _after_execute(pipeline, lambda: observers.tell("enqueued", pushed, cause))
    return answer


def _after_execute(pipeline: Any, tell: Callable[[], None]) -> None:
    """Call `tell` when the pipeline has been executed, and never if it was not."""
    waiting: list[Callable[[], None]] | None = pipeline.__dict__.get("_shipper_waiting")
    if waiting is None:
        waiting = pipeline._shipper_waiting = []
        execute, reset = type(pipeline).execute, type(pipeline).reset

        def execute_and_tell(*args: Any, **kwargs: Any) -> Any:
            due = waiting.copy()
            answer = execute(pipeline, *args, **kwargs)  # which resets, on success as on failure
            for told in due:
                told()
            return answer

        def reset_and_forget(*args: Any, **kwargs: Any) -> Any:
            waiting.clear()
            return reset(pipeline, *args, **kwargs)

        pipeline.execute, pipeline.reset = execute_and_tell, reset_and_forget
    waiting.append(tell)


@contextmanager
def _because(cause: str) -> Iterator[None]:
    before = _cause.set(cause)
    try:
        yield
    finally:
        _cause.reset(before)


def _enqueues_because(cause: str) -> Wrapper:
    def wrapper(original: Wrapper, self: Any, *args: Any, **kwargs: Any) -> Any:
        with _because(cause):
            return original(self, *args, **kwargs)

    return wrapper


# --- the worker and its work-horse ----------------------------------------------------------------------


def _bootstrap(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(worker, *args, **kwargs)
    observers.tell("worker_started", worker)
    return answer


def _prepare_job_execution(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    answer = original(worker, job, *args, **kwargs)
    with quietly("started"):
        observers.tell("started", facts.of(job), _execution_id(worker, job), worker.name)
    return answer


def _perform_job(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    """The job runs for whom it was enqueued: its records say so, and the jobs that it enqueues do."""
    with context.log_context(**facts.context_of(job)):
        return original(worker, job, *args, **kwargs)


def _handle_exception(original: Wrapper, worker: Any, job: Any, *exc_info: Any) -> Any:
    job.__dict__["_shipper_raised"] = exc_info
    return original(worker, job, *exc_info)


def _handle_work_horse_killed(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    status, rusage = (*args, None, None, None)[1:3]
    job.__dict__["_shipper_killed"] = Killed(status, getattr(rusage, "ru_maxrss", None))
    return original(worker, job, *args, **kwargs)


def _handle_job_success(original: Wrapper, worker: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
    execution_id = _execution_id(worker, job)  # RQ forgets it on the way
    saved = False
    try:
        answer = original(worker, job, *args, **kwargs)
        saved = True
        return answer
    finally:
        # If Redis could not be told, RQ goes on to its failure path; the work was done all the same.
        job.__dict__["_shipper_closed"] = not saved
        with quietly("succeeded"):
            observers.tell("succeeded", facts.of(job), Success(execution_id, worker.name, saved))


def _handle_job_failure(
    original: Wrapper, worker: Any, job: Any, queue: Any, started_job_registry: Any = None, exc_string: str = "",
    **kwargs: Any,
) -> Any:  # fmt: skip
    before = failure = None
    with quietly("failed"):  # all of it before RQ acts: it counts the retry down and forgets the rest
        before, failure = facts.of(job), _failure(worker, job, exc_string)
    try:
        return original(worker, job, queue, started_job_registry=started_job_registry, exc_string=exc_string, **kwargs)
    finally:
        if failure is not None and not job.__dict__.pop("_shipper_closed", False):
            observers.tell("failed", before, failure)


def _failure(worker: Any, job: Any, text: str) -> Failure:
    stopped = worker._stopped_job_id == job.id
    will_retry = bool(job.should_retry) and not stopped
    return Failure(
        execution_id=_execution_id(worker, job),
        worker=worker.name,
        retry_in_s=job.get_retry_interval() if will_retry else None,
        stopped=stopped,
        text=text,
        raised=_raised(job),
        killed=job.__dict__.pop("_shipper_killed", None),
    )


def _raised(job: Any) -> Raised | None:
    exc_info = job.__dict__.pop("_shipper_raised", None)
    if exc_info is None or exc_info[0] is None:
        return None
    kind, value, trace = exc_info
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(value)
    except Exception:  # somebody else's __str__ may do anything
        message = "(an exception that cannot be shown)"
    return Raised(name, message, "".join(traceback.format_exception(kind, value, trace)))


def _execution_id(worker: Any, job: Any) -> str | None:
    """The execution's id, if the one that the worker remembers is this job's (for stuck jobs it is not)."""
    execution = getattr(worker, "execution", None)
    return execution.id if execution is not None and execution.job_id == job.id else None


_WORKERS = (rq.worker.BaseWorker, rq.worker.Worker, rq.worker.SimpleWorker)
_JOB, _QUEUE = (rq.job.Job,), (rq.queue.Queue,)

_WRAPPERS: tuple[tuple[tuple[type, ...], str, Wrapper], ...] = (
    (_QUEUE, "create_job", _create_job),
    (_QUEUE, "_enqueue_job", _enqueue_job),
    (_QUEUE, "enqueue_dependents", _enqueues_because("dependent")),
    (_JOB, "to_dict", _to_dict),
    (_JOB, "restore", _restore),
    (_JOB, "retry", _enqueues_because("retry")),
    (_JOB, "_handle_retry_result", _enqueues_because("retry")),
    ((rq.registry.BaseRegistry,), "requeue", _enqueues_because("requeue")),
    ((rq.scheduler.RQScheduler,), "enqueue_scheduled_jobs", _enqueues_because("scheduler")),
    (_WORKERS, "bootstrap", _bootstrap),
    (_WORKERS, "prepare_job_execution", _prepare_job_execution),
    (_WORKERS, "perform_job", _perform_job),
    (_WORKERS, "handle_exception", _handle_exception),
    (_WORKERS, "handle_work_horse_killed", _handle_work_horse_killed),
    (_WORKERS, "handle_job_success", _handle_job_success),
    (_WORKERS, "handle_job_failure", _handle_job_failure),
)
