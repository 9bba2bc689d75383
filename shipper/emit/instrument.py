"""`instrument()`: which methods of RQ are wrapped, and by what.

RQ's classes themselves are wrapped, not subclasses of them: the scheduler, cron, registries and the
worker's children build the base classes, whatever class the user named. RQ's arguments are passed on as
they came (`*args, **kwargs`): they differ between releases.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from types import FunctionType, ModuleType
from typing import Any

import rq.cron
import rq.job
import rq.queue
import rq.registry
import rq.repeat
import rq.results
import rq.scheduler
import rq.worker

from .. import settings
from ..forking import no_fork
from . import enqueuing, executing, operating, removing, spawning
from .enqueuing import with_cause
from .events import observers
from .recorder import Recorder

log = logging.getLogger("shipper")

_instrumented = False


def instrument() -> None:
    """Make RQ in this process, and in every process forked from it, write job records to SHIPPER_LOG.

    Call it once in processes that enqueue: web applications, schedulers, cron, scripts. A worker that runs
    with RQ_JOB_CLASS=shipper.LoggedJob needs no call. Calling it again does nothing. Wrong settings are
    logged and left out; they raise nothing here.
    """
    global _instrumented  # noqa: PLW0603 - what is wrapped is global too
    with no_fork:
        if _instrumented:
            return
        _instrumented = True
        observers.add(Recorder(settings.load(complain=log.error)))
        for classes, methods in _WRAPPERS:
            for name, wrapper in methods.items():
                _wrap(classes, name, wrapper)
        _wrap_function(sys.modules.get("rq.worker.worker_classes"), "execute_stopped_callback")
        operating.wrap_functions()


Wrapper = Callable[..., Any]


def _wrap(classes: tuple[type, ...], name: str, wrapper: Wrapper) -> None:
    """Put `wrapper(original, self, *args, **kwargs)` around the method, in whichever classes define it."""
    for owner in classes:
        original = owner.__dict__.get(name)
        if isinstance(original, classmethod):
            setattr(owner, name, classmethod(_around(_of_class(original), wrapper)))
        elif original is not None:
            setattr(owner, name, _around(_of_instance(original), wrapper))


def _of_instance(original: Any) -> Callable[..., Any]:
    """What stands in a class, as a function of `self`.

    A tracer may have put an object of its own there (ddtrace and others do so by wrapt). Python would call it through
    its `__get__`, and it knows the instance only so.
    """
    if type(original) is FunctionType:
        return original

    @wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return original.__get__(self, type(self))(*args, **kwargs)

    return call


def _of_class(original: Any) -> Callable[..., Any]:
    """The same of a class method, as a function of the class."""
    if type(original) is classmethod and type(original.__func__) is FunctionType:
        return original.__func__

    @wraps(original.__func__)
    def call(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return original.__get__(None, cls)(*args, **kwargs)

    return call


def _wrap_function(module: ModuleType | None, name: str) -> None:
    """The same for a function that RQ's worker calls by its name: only since RQ 3 it is no method of the job's."""
    if (original := getattr(module, name, None)) is not None:
        setattr(module, name, _around(original, executing.execute_stopped_callback))


def _around(original: Callable[..., Any], wrapper: Wrapper) -> Callable[..., Any]:
    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    return wrapped


_WRAPPERS: tuple[tuple[tuple[type, ...], dict[str, Wrapper]], ...] = (
    (
        (rq.queue.Queue,),
        {
            "create_job": enqueuing.create_job,
            "_enqueue_job": enqueuing.enqueue_job,
            "schedule_job": enqueuing.schedule_job,
            "enqueue_dependents": with_cause("dependent"),
            "run_sync": executing.run_sync,
            "run_job": executing.run_job,
            "empty": operating.empty,
        },
    ),
    (
        (rq.job.Job,),
        {
            "to_dict": enqueuing.to_dict,
            "restore": enqueuing.restore,
            "register_dependency": enqueuing.register_dependency,
            "retry": with_cause("retry"),
            "_handle_retry_result": with_cause("retry"),
            "cancel": operating.job_method("job-canceled", "end", removing.cancel),
            "delete": operating.job_method("job-deleted", "deletion", removing.delete),
            "cleanup": removing.cleanup,
        },
    ),
    ((rq.registry.BaseRegistry,), {"requeue": operating.requeue(with_cause("requeue"))}),
    ((rq.registry.StartedJobRegistry,), {"cleanup": removing.clean_started}),
    ((rq.scheduler.RQScheduler,), {"enqueue_scheduled_jobs": with_cause("scheduler")}),
    ((rq.cron.CronJob,), {"enqueue": with_cause("cron")}),
    ((rq.results.Result,), {"serialize": executing.serialize_result}),
    ((rq.repeat.Repeat,), {"schedule": with_cause("repeat")}),
    (
        # RQ 2.12 has most of these in BaseWorker, 2.6 in Worker.
        (rq.worker.BaseWorker, rq.worker.Worker, rq.worker.SimpleWorker),
        {
            "bootstrap": executing.bootstrap,
            "prepare_execution": executing.prepare_execution,
            "wait_for_horse": executing.wait_for_horse,
            "monitor_work_horse": executing.monitor_work_horse,
            "handle_work_horse_killed": executing.handle_work_horse_killed,
            "perform_job": executing.perform_job,
            "prepare_job_execution": executing.prepare_job_execution,
            "handle_execution_ended": executing.handle_execution_ended,
            "handle_exception": executing.handle_exception,
            "handle_job_success": executing.handle_job_success,
            "handle_job_retry": executing.handle_job_retry,
            "handle_job_failure": executing.handle_job_failure,
        },
    ),
    ((rq.worker.SpawnWorker,), {"fork_work_horse": spawning.fork_work_horse}),
)
