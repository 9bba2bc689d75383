"""Every event of a job's life that is observed, as a hook that does nothing.

Features are written against this list: a class that overrides some of it, given to `observers.add`. What an
observer raises is reported once a minute and goes no further: a job never fails because of us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..guard import never_raise

if TYPE_CHECKING:
    from rq.worker import BaseWorker

    from ..job_fields import Progress
    from .snapshot import JobSnapshot


@dataclass(frozen=True, slots=True)
class ExceptionInfo:
    """An exception as a record tells it. `where` is the part of the work that raised it, None for the function."""

    type: str
    message: str
    stack_trace: str
    where: str | None = None


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a work-horse went that told nobody. `status` is waitpid's, None if it was not known."""

    status: int | None
    max_rss_kb: int | None


@dataclass(slots=True, kw_only=True)
class Ending:
    """Which execution ended, and who was running it.

    `execution_id` is None where RQ made no execution (a synchronous queue, a job stuck before its start).
    `late`: RQ had already declared it abandoned, and yet it went on to this end. `concluded`: nobody saw it end;
    the reconciler concluded so, and its record must never take the place of a witness's.

    Not frozen, as that triples the cost of making one; nobody is to change it all the same.
    """

    execution_id: str | None
    worker: str
    late: bool = False
    concluded: bool = False

    @property
    def kind(self) -> str:
        """What tells this ending's record from another of the same execution."""
        return "concluded" if self.concluded else "late end" if self.late else "end"


@dataclass(slots=True, kw_only=True)
class Success(Ending):
    """The function returned. `status_saved`: RQ could write that down in Redis.

    `result_type` names the type of what it returned, `result_bytes` is its size as RQ stores it. None: unknown.
    """

    status_saved: bool = True
    result_type: str | None = None
    result_bytes: int | None = None


@dataclass(slots=True, kw_only=True)
class Failure(Ending):
    """An execution that did not succeed, and what RQ is about to do about it.

    `retry_in_s` is the wait before the next attempt, None if there is none. `text` is what RQ itself says.
    `reason` is the `event.reason` where the witness knows it better than `raised` and `killed` tell.
    `is_retried`: whether a job with retries is retried where it ran; a synchronous queue retries none.
    `inferred`: nobody saw the end; RQ or the reconciler takes it that there was one at `ended_at`.
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
class Operation:
    """Something that was done to RQ by hand, or by the application: by whatever went through RQ's API.

    `action` is the `event.action`, `type` the `event.type`; `resource` is (type, id, name). `job` is the job that it
    was done to, as it was before. `error`: it was tried, and this is what came of it.
    """

    action: str
    type: str
    resource: tuple[str, str | None, str | None]
    job: JobSnapshot | None = None
    detail: str | None = None
    error: Exception | None = None


class Hooks:
    """The moments. Each comes in the process named, with the job's facts as they are at that moment."""

    def worker_started(self, worker: BaseWorker) -> None:
        """The worker's parent process is about to listen."""

    def enqueued(self, job: JobSnapshot, cause: str) -> None:
        """A job was pushed to a queue, in the process that pushed it, after Redis has it.

        `cause` is api, retry, scheduler, cron, repeat, dependent, rate_limit or requeue.
        """

    def deferred(self, job: JobSnapshot) -> None:
        """A job waits for others (`job.depends_on`) before it is pushed."""

    def scheduled(self, job: JobSnapshot, cause: str) -> None:
        """A job will be pushed at `job.scheduled_at`."""

    def rate_limited(self, job: JobSnapshot) -> None:
        """A job waits for its rate limit (RQ 3). Whichever process frees a slot pushes it, and tells `enqueued`."""

    def refused(self, job: JobSnapshot, reason: str) -> None:
        """RQ did not take a job. `reason` is duplicate: there is one of its id already (`unique=True`)."""

    def webhook_failed(self, job: JobSnapshot, url: str, error: Exception) -> None:
        """A webhook (RQ 2.10) could not be sent after a job's end. The job is not affected."""

    def started(self, job: JobSnapshot, execution_id: str | None, worker: str) -> None:
        """The work-horse has marked the job as started and is about to call its function."""

    def progressed(self, job: JobSnapshot, progress: Progress, execution_id: str | None) -> None:
        """The running job said how far it is."""

    def succeeded(self, job: JobSnapshot, success: Success) -> None:
        """The function returned and its callback ran. In the work-horse."""

    def failed(self, job: JobSnapshot, failure: Failure) -> None:
        """An execution ended otherwise: in the work-horse, in its parent, or where an abandoned one was found.

        The facts are those from before RQ acted on it.
        """

    def removed(self, job: JobSnapshot, how: str, *, concluded: bool = False) -> None:
        """A job that had not ended was taken away. `how` is canceled or deleted; `concluded` as in `Ended`."""

    def operated(self, operation: Operation) -> None:
        """Somebody cancelled, requeued, deleted, stopped, emptied, suspended or resumed; in their process."""


class Observers(Hooks):
    """Calls each moment's hook of all registered observers. Called by the patches of RQ.

    What one observer raises is logged and keeps no other from being called.
    """

    def __init__(self) -> None:
        self._all: list[Hooks] = []

    def add(self, observer: Hooks) -> None:
        """Register an observer for this process and those forked from it."""
        self._all.append(observer)


def _call_all(moment: str) -> Callable[..., None]:
    def call(self: Observers, *args: Any, **kwargs: Any) -> None:
        for observer in self._all:
            with never_raise(moment):
                getattr(observer, moment)(*args, **kwargs)

    return call


for _moment in [name for name in vars(Hooks) if not name.startswith("_")]:  # the same for each: written once
    setattr(Observers, _moment, _call_all(_moment))


observers = Observers()
"""Those of this process, and of every process forked from it."""
