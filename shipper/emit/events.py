"""Every event of a job's life that is observed, as a hook that does nothing.

Features are written against this list: a class that overrides some of it, given to `observers.add`. What an
observer raises is reported once a minute and goes no further: a job never fails because of us.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rq.timeouts import BaseTimeoutException

if TYPE_CHECKING:
    from rq.worker import BaseWorker

    from .snapshot import JobSnapshot

log = logging.getLogger("shipper")

WARN_EVERY_S = 60.0


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


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `percent` is 0 to 100; `count` numbers the changes of one job."""

    percent: float
    message: str
    count: int


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


class Observers:
    """Dispatches job events to the registered hooks. Called by the patches of RQ."""

    def __init__(self) -> None:
        self._all: list[Hooks] = []

    def add(self, observer: Hooks) -> None:
        self._all.append(observer)

    def tell(self, moment: str, *facts: Any) -> None:
        """Call the method `moment` of every observer; the failure of one is not the others'."""
        for observer in self._all:
            with never_raise(moment):
                getattr(observer, moment)(*facts)


observers = Observers()
"""Those of this process, and of every process forked from it."""


class never_raise:  # noqa: N801 - used as a word: `with quietly("started"):`
    """Whatever our own code raises in this block is logged, once a minute, and goes no further.

    A class and not a generator: this is entered a dozen times for each job, and costs a third so.
    """

    __slots__ = ("_moment",)

    _last_warning = -WARN_EVERY_S  # one warning a minute for the whole process

    def __init__(self, moment: str) -> None:
        self._moment = moment

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if kind is None:
            return False
        if not issubclass(kind, Exception) or issubclass(kind, BaseTimeoutException):
            return False  # RQ's alarm rang while we were at it: it is meant for the job
        now = time.monotonic()
        if now - never_raise._last_warning >= WARN_EVERY_S:
            never_raise._last_warning = now
            log.warning(
                "No record of %r: %s: %s. The job is not affected.",
                self._moment, kind.__name__, error,
                exc_info=error, extra={"event.action": "observer-failed"},
            )  # fmt: skip
        return True
