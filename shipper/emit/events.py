"""The job events: one no-op hook method per event, and the dispatcher that calls the registered observers.

A feature is a subclass of `Hooks` that overrides some methods and is registered with `observers.add`. Exceptions of an
observer are logged, at most once a minute, and not raised: a job never fails because of us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..guard import keep_back

if TYPE_CHECKING:
    from rq.worker import BaseWorker

    from ..job_fields import Progress
    from .ending import ExecutionState
    from .snapshot import JobSnapshot


@dataclass(frozen=True, slots=True)
class ExceptionInfo:
    """An exception, as a record shows it.

    `where` is the part of the work that raised it: `import`, `callback`, or None for the job's function.
    """

    type: str
    message: str
    stack_trace: str
    where: str | None = None


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a work-horse exited that wrote no closing record.

    `status` is waitpid's, None if it is not known. `max_rss_kb` is rusage's, in KiB.
    """

    status: int | None
    max_rss_kb: int | None


@dataclass(slots=True, kw_only=True)
class Ending:
    """How one execution ended: what all endings have in common.

    `execution_id` is None where RQ created no execution: in a synchronous queue, or for a job stuck before its start.
    `worker` is the worker's name, `sync` in a synchronous queue.
    `late`: RQ had already declared the execution abandoned.
    `concluded`: no process observed the end; the reconciler inferred it. Such a record has an id of its own, so that it
    never replaces an observed one.

    Treat as immutable. It is not frozen because that triples the cost of creating one.
    """

    execution_id: str | None
    worker: str
    late: bool = False
    concluded: bool = False

    @property
    def kind(self) -> str:
        """The part of the record id that distinguishes the endings of one execution."""
        return "concluded" if self.concluded else "late end" if self.late else "end"


@dataclass(slots=True, kw_only=True)
class Success(Ending):
    """The function returned.

    `status_saved`: RQ could save the status in Redis.
    `result_type` is the type's name, `result_bytes` the size of the pickled result. None: unknown.
    """

    status_saved: bool = True
    result_type: str | None = None
    result_bytes: int | None = None


@dataclass(slots=True, kw_only=True)
class Failure(Ending):
    """The execution failed or was stopped.

    `retry_in_s`: seconds until the next attempt, None if there is none.
    `text`: RQ's own message.
    `raised`, `killed`: the exception, or how the work-horse exited. None where there was none.
    `reason`: overrides the `event.reason` that follows from `raised` and `killed`.
    `is_retried`: False in a synchronous queue, which never retries.
    `inferred`: no process observed the end; RQ or the reconciler assumes it at `ended_at`.
    """

    retry_in_s: float | None = None
    stopped: bool = False
    text: str = ""
    raised: ExceptionInfo | None = None
    killed: ExitStatus | None = None
    reason: str | None = None
    is_retried: bool = True
    inferred: bool = False
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """A job could not get into a critical section at the time `at`, as another holds it.

    `holder`: the job that holds it, None if it is no job; `holder_function` its function, `since` when it got in.
    `tries` and `waited_s`: the refused job's, over all its executions.
    `action`: requeue (this execution ends, and the worker puts the job back after `delay_s`), exhausted, fail, skip or
    callback (`delay_s` is None, and the execution goes on to its closing record).
    """

    at: datetime
    execution_id: str | None
    worker: str
    section: str
    holder: str | None
    holder_function: str | None
    since: datetime
    tries: int
    waited_s: float
    action: str
    delay_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """An operation through RQ's API, such as cancel, requeue or suspend, by an operator or the application.

    `action` is the `event.action`, `type` the `event.type`; `resource` is (type, id, name).
    `job`: the job before the operation, None if it concerns no job.
    `error`: the operation raised this.
    """

    action: str
    type: str
    resource: tuple[str, str | None, str | None]
    job: JobSnapshot | None = None
    detail: str | None = None
    error: Exception | None = None


class Hooks:
    """The hooks. Each is called in the process its docstring names, with the job as it is at that time."""

    def worker_started(self, worker: BaseWorker) -> None:
        """The worker is about to listen to its queues. In the worker's own process, before any fork."""

    def work_horse_exited(self, worker: BaseWorker, execution: ExecutionState) -> None:
        """The work-horse of an execution has exited, in whatever way. In its parent, after the closing record."""

    def enqueued(self, job: JobSnapshot, cause: str) -> None:
        """A job was pushed to a queue. In the process that pushed it, after Redis has it.

        `cause` is api, retry, scheduler, cron, repeat, dependent, rate_limit, requeue or busy.
        """

    def deferred(self, job: JobSnapshot) -> None:
        """A job waits for its dependencies (`job.depends_on`) before it is pushed."""

    def scheduled(self, job: JobSnapshot, cause: str) -> None:
        """A job will be pushed at `job.scheduled_at`."""

    def rate_limited(self, job: JobSnapshot) -> None:
        """A job waits for its rate limit (RQ 3). The process that frees a slot pushes it and calls `enqueued`."""

    def refused(self, job: JobSnapshot, reason: str) -> None:
        """A job was refused. `reason`: duplicate (RQ: a job with this id exists), redis_full (Redis: maxmemory)."""

    def webhook_failed(self, job: JobSnapshot, url: str, error: Exception) -> None:
        """RQ could not send a job's webhook (RQ 2.10) after its end. The job is not affected."""

    def started(self, job: JobSnapshot, execution_id: str | None, worker: str) -> None:
        """The work-horse has marked the job as started and is about to call the function."""

    def progressed(self, job: JobSnapshot, progress: Progress, execution_id: str | None) -> None:
        """The running job reported progress. In the work-horse."""

    def busy(self, job: JobSnapshot, busy: Busy) -> None:
        """The running job could not get into a critical section. In the work-horse, or in its parent."""

    def succeeded(self, job: JobSnapshot, success: Success) -> None:
        """The function returned and its callback ran. In the work-horse."""

    def failed(self, job: JobSnapshot, failure: Failure) -> None:
        """An execution failed or was stopped. `job` is as it was before RQ handled the failure.

        In the work-horse, in its parent, or in the process that found an abandoned execution.
        """

    def removed(self, job: JobSnapshot, how: str, *, concluded: bool = False) -> None:
        """A job that had not ended was removed. `how` is canceled or deleted; `concluded` as in `Ending`."""

    def operated(self, operation: Operation) -> None:
        """An operator or the application changed jobs, queues or workers. In the process that did it."""


class Observers(Hooks):
    """Dispatches each event to the registered observers that have a hook for it. The patches of RQ call it.

    An exception of one observer is logged, and the others are still called.
    """

    def __init__(self) -> None:
        self._hooks: dict[str, list[Callable[..., None]]] = {name: [] for name in _NAMES}

    def add(self, observer: Hooks) -> None:
        """Register an observer for this process and those forked from it."""
        for name, hooks in self._hooks.items():
            if getattr(type(observer), name) is not getattr(Hooks, name):
                hooks.append(getattr(observer, name))


_NAMES = [name for name in vars(Hooks) if not name.startswith("_")]


def _call_all(name: str) -> Callable[..., None]:
    def call(self: Observers, *args: Any, **kwargs: Any) -> None:
        for hook in self._hooks[name]:
            try:
                hook(*args, **kwargs)
            except Exception as error:
                keep_back(error, name)

    return call


for _name in _NAMES:  # all dispatch in the same way
    setattr(Observers, _name, _call_all(_name))


observers = Observers()
"""The observers of this process and of processes forked from it."""
