"""`instrument()` wraps RQ's methods. The table PATCHES lists which ones, and with what.

RQ's own classes are patched, not subclassed: the scheduler, cron, registries and a worker's children create the base
classes, whatever class the user named. Arguments are passed through (`*args, **kwargs`) because they differ between
RQ's releases. The table is checked against the installed RQ: a missing method is logged as an error.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any

import rq
import rq.cron
import rq.scheduler
import rq.suspension

from .. import settings
from ..forking import no_fork
from . import sentry
from .descriptors import Wrapper, as_class_function, as_function, mark
from .events import observers
from .patches import (
    enqueue,
    handle,
    limits,
    operate,
    parent,
    perform,
    remove,
    sections,
    spawn,
    stored,
    synchronous,
    unique,
    webhooks,
)
from .patches.enqueue import with_cause
from .recorder import Recorder

log = logging.getLogger("shipper")

Version = tuple[int, ...]

OLDEST: Version = (2, 6)
TESTED: Version = (3, 0)
"""The newest RQ that the tests run with: (major, minor)."""


@dataclass(frozen=True, slots=True)
class Patch:
    """One method of RQ and the wrapper for it.

    `owners`: `module:Class`, each class that may define the method. `module` alone: a function, wrapped in every module
    that imported it. With `everywhere=False` (not RQ's own function) only in that module.
    `records`: what is not recorded if the method is missing, for the error message.
    `since`, `until`: RQ has the method in `since <= version < until`.
    """

    owners: tuple[str, ...]
    name: str
    wrapper: Wrapper
    records: str
    since: Version = OLDEST
    until: Version = (99,)
    everywhere: bool = True

    def is_expected(self, version: Version) -> bool:
        return self.since <= version < self.until

    def __str__(self) -> str:
        return f"{self.owners[0].replace(':', '.')}.{self.name}"


_QUEUE, _JOB = ("rq.queue:Queue",), ("rq.job:Job",)
# RQ 2.12 has most of these in BaseWorker, 2.6 in Worker.
_WORKERS = ("rq.worker:BaseWorker", "rq.worker:Worker", "rq.worker:SimpleWorker")
_CALLBACKS = ("rq.callbacks",)
_LIMITS = ("rq.rate_limit:RateLimitRegistry",)
_READY, _SCHEDULER = ("rq.registry:ReadyJobRegistry",), ("rq.scheduler:RQScheduler",)
_CARRIED, _CAUSE = "the user, trace and parent of a job", "rq.cause"
_ENDINGS, _AFTER_LIMIT = "how jobs end", "job-enqueued after a rate limit"

PATCHES: tuple[Patch, ...] = (
    # --- enqueueing
    Patch(_JOB, "create", enqueue.create, _CARRIED),
    Patch(_QUEUE, "create_job", unique.marked(sections.checked(enqueue.create_job)), f"{_CARRIED}, and its attempts"),
    Patch(_QUEUE, "enqueue", unique.enqueue, "unique jobs"),
    Patch(_QUEUE, "enqueue_at", unique.enqueue, "unique jobs"),
    Patch(_QUEUE, "enqueue_job", enqueue.refused(unique.once(unique.plain)), "unique jobs, and job-refused"),
    Patch(_QUEUE, "_enqueue_job", unique.once(enqueue.enqueue_job), "job-enqueued"),
    Patch(_QUEUE, "schedule_job", enqueue.refused(unique.once(enqueue.schedule_job)), "job-scheduled"),
    Patch(_QUEUE, "enqueue_dependents", with_cause("dependent"), _CAUSE),
    Patch(_QUEUE, "enqueue_ready_jobs_by_queue", with_cause("dependent"), _CAUSE, since=(3, 0)),
    Patch(_READY, "cleanup", with_cause("dependent"), _CAUSE, since=(3, 0)),
    Patch(_JOB, "to_dict", enqueue.to_dict, _CARRIED),
    Patch(_JOB, "restore", enqueue.restore, _CARRIED),
    Patch(_JOB, "register_dependency", enqueue.register_dependency, "job-deferred"),
    Patch(_JOB, "retry", with_cause("retry"), _CAUSE),
    Patch(_JOB, "_handle_retry_result", with_cause("retry"), _CAUSE),
    Patch(_SCHEDULER, "enqueue_scheduled_jobs", with_cause("scheduler"), _CAUSE),
    Patch(("rq.cron:CronJob",), "enqueue", enqueue.cron, "rq.cause and rq.cron_name of cron jobs"),
    Patch(("rq.repeat:Repeat",), "schedule", with_cause("repeat"), _CAUSE),
    Patch(_QUEUE, "_enqueue_rate_limited_job", limits.enqueue_rate_limited_job, "job-rate-limited", since=(3, 0)),
    Patch(_LIMITS, "acquire_and_enqueue", limits.promote, _AFTER_LIMIT, since=(3, 0)),
    Patch(_LIMITS, "release_and_enqueue", limits.promote, _AFTER_LIMIT, since=(3, 0)),
    Patch(_LIMITS, "release_stale_and_enqueue", limits.promote, _AFTER_LIMIT, since=(3, 0)),
    # --- executing
    Patch(_QUEUE, "run_sync", synchronous.run_sync, "jobs of synchronous queues"),
    Patch(_QUEUE, "run_job", synchronous.run_job, "how jobs of synchronous queues end"),
    Patch(_JOB, "prepare_for_execution", perform.prepare_for_execution, "job-started of a worker's own ways"),
    Patch(("rq.results:Result",), "serialize", stored.serialize_result, "rq.result_bytes"),
    Patch(_WORKERS, "bootstrap", parent.bootstrap, "workers whose class overrides execute_job"),
    Patch(_WORKERS, "execute_job", parent.execute_job, _ENDINGS),
    Patch(_WORKERS, "prepare_execution", parent.prepare_execution, "rq.execution_id"),
    Patch(_WORKERS, "wait_for_horse", parent.wait_for_horse, "signal and memory of killed work-horses"),
    Patch(_WORKERS, "monitor_work_horse", parent.monitor_work_horse, "killed work-horses"),
    Patch(_WORKERS, "handle_work_horse_killed", parent.handle_work_horse_killed, "killed work-horses"),
    Patch(_WORKERS, "perform_job", sections.performed(perform.perform_job), _ENDINGS),
    Patch(_WORKERS, "prepare_job_execution", perform.prepare_job_execution, "job-started"),
    Patch(_WORKERS, "handle_execution_ended", handle.handle_execution_ended, "endings that Redis does not learn of"),
    Patch(_WORKERS, "handle_exception", sections.handled(handle.handle_exception), "the error of failed jobs"),
    Patch(_WORKERS, "handle_job_success", handle.handle_job_success, "job-finished"),
    Patch(_WORKERS, "handle_job_retry", handle.handle_job_retry, "job-retried of a returned Retry"),
    Patch(
        _WORKERS,
        "handle_job_failure",
        sections.failed(handle.handle_job_failure),
        "job-dead, job-retried, job-stopped",
    ),
    Patch(_JOB, "execute_failure_callback", sections.execute_failure_callback, "job-busy", until=(3, 0)),
    Patch(_CALLBACKS, "execute_failure_callback", sections.execute_failure_callback, "job-busy", since=(3, 0)),
    Patch(_WORKERS, "request_stop_execution", parent.request_stop_execution, "job-stopped", since=(3, 0)),
    Patch(("rq.command",), "handle_stop_job_command", parent.handle_stop_job_command, "job-stopped"),
    Patch(_CALLBACKS, "execute_stopped_callback", handle.execute_stopped_callback, "callbacks' errors", since=(3, 0)),
    Patch(("rq.worker:SpawnWorker",), "fork_work_horse", spawn.fork_work_horse, "jobs of SpawnWorker"),
    Patch(("rq.webhook:Webhook",), "send", webhooks.send, "webhooks that failed", since=(2, 10)),
    Patch(("rq.webhook",), "urlopen", webhooks.urlopen, "webhooks that failed", since=(2, 10), everywhere=False),
    # --- removing, and operations
    Patch(_JOB, "cancel", operate.job_method("job-canceled", "end", remove.cancel), "job-canceled"),
    Patch(_JOB, "delete", operate.job_method("job-deleted", "deletion", remove.delete), "job-deleted"),
    Patch(_JOB, "cleanup", remove.cleanup, "which deletions are RQ's own"),
    Patch(_QUEUE, "empty", operate.empty, "queue-emptied, and job-deleted of what was in it"),
    Patch(("rq.registry:BaseRegistry",), "requeue", operate.requeue(with_cause("requeue")), "job-requeued"),
    Patch(("rq.registry:StartedJobRegistry",), "cleanup", remove.clean_started, "abandoned jobs"),
    Patch(("rq.suspension",), "suspend", operate.suspension("workers-suspended"), "workers-suspended"),
    Patch(("rq.suspension",), "resume", operate.suspension("workers-resumed"), "workers-resumed"),
    Patch(("rq.command",), "send_command", operate.command, "stop, kill and shutdown requests"),
)

_instrumented = False


def instrument() -> None:
    """Make RQ in this process, and in processes forked from it, write job records to SHIPPER_LOG.

    Call it once in each process that enqueues: web applications, schedulers, cron, scripts. A worker with
    RQ_JOB_CLASS=shipper.LoggedJob does not need it. Further calls do nothing. Never raises for wrong settings: they are
    logged and ignored. Methods that the installed RQ lacks are logged as errors.
    """
    global _instrumented  # noqa: PLW0603 - the patches are global, too
    with no_fork:
        if _instrumented:
            return
        _instrumented = True
        observers.add(Recorder(settings.load(complain=log.error)))
        observers.add(sections.ReleasesHeld())
        for problem in problems():
            log.log(problem.level, "%s", problem.text, extra={"event.action": "rq-not-covered"})
        _apply_all(PATCHES)
        sentry.attach()


def version() -> Version:
    """The installed RQ: (major, minor)."""
    return tuple(int(part) for part in rq.__version__.split(".")[:2] if part.isdigit())


@dataclass(frozen=True, slots=True)
class Problem:
    """A difference between the table and the installed RQ. `level` is logging's."""

    level: int
    text: str


def problems() -> Iterator[Problem]:
    """How the installed RQ differs from the table. Empty if everything is recorded."""
    installed = version()
    if installed > TESTED:
        yield Problem(
            logging.WARNING,
            f"RQ {rq.__version__} is newer than the releases that this was tested with (up to {_dotted(TESTED)}). What "
            "it does differently may be missing from the records.",
        )
    for patch in PATCHES:
        if patch.is_expected(installed) and not any(True for _ in _targets(patch)):
            yield Problem(
                logging.ERROR,
                f"RQ {rq.__version__} has no {patch} any more. Not recorded: {patch.records}. "
                f"Use a release of RQ up to {_dotted(TESTED)}, or a newer rq-shipper.",
            )


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _targets(patch: Patch) -> Iterator[tuple[Any, Any]]:
    """(owner, attribute) for each owner that defines the name."""
    for owner in patch.owners:
        module_name, _, kind = owner.partition(":")
        try:
            target: Any = import_module(module_name)
        except ImportError:  # a module of another release
            continue
        if kind:
            target = getattr(target, kind, None)
        attribute = getattr(target, "__dict__", {}).get(patch.name)
        if attribute is not None:
            yield target, attribute


def _apply_all(patches: Iterable[Patch]) -> None:
    """Wrap methods in their classes, and functions in their modules and in those that imported them by name."""
    functions: dict[Any, Any] = {}
    for patch in patches:
        for owner, original in _targets(patch):
            if isinstance(owner, type):
                setattr(owner, patch.name, _wrapped_method(original, patch.wrapper))
                continue
            wrapped = _wrapped_function(original, patch.wrapper)
            if patch.everywhere:
                functions[original] = wrapped
            else:
                setattr(owner, patch.name, wrapped)
    _replace(functions)


def _replace(wrapped: Mapping[Any, Any]) -> None:
    """Put wrapped functions in the place of the originals in all modules. One pass: a process may have thousands."""
    by_id = {id(original): function for original, function in wrapped.items()}
    for module in list(sys.modules.values()):
        for alias, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in by_id:
                setattr(module, alias, by_id[id(value)])


def _wrapped_function(original: Any, wrapper: Wrapper) -> Any:
    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    return wrapped


def _wrapped_method(original: Any, wrapper: Wrapper) -> Any:
    if isinstance(original, classmethod):
        return classmethod(_wrap(as_class_function(original), wrapper))
    return _wrap(as_function(original), wrapper)


def _wrap(original: Callable[..., Any], wrapper: Wrapper) -> Callable[..., Any]:
    @wraps(original)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(original, self, *args, **kwargs)

    return mark(wrapped)
