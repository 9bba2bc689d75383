"""`shipper.unique`: a job that is there once. A second enqueue of the same name returns the first job.

@shipper.unique("{function}:{user_id}")                            # until it has ended
def rebuild(user_id): …

queue.enqueue(rebuild, 7, unique="{function}:{user_id}")           # the same for one call

RQ's own `unique=True` (RQ 2.8) compares job ids, for as long as RQ keeps the job. It works as before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Literal, NamedTuple, TypeVar

from rq.job import Job, JobStatus

from ..errors import SectionError
from . import store
from .template import Template

Function = TypeVar("Function", bound=Callable[..., Any])

Until = Literal["started", "finished"] | float
DECLARED = "__shipper_unique__"
"""The attribute of a decorated function that holds its Unique."""

# A claim holds for so long, until its job is in Redis.
_GRACE_S = 10.0
# A claim is forgotten after this, if its job waits and runs for so long.
_KEPT_S = 30 * 86_400.0

_WAITING = ("CREATED", "QUEUED", "DEFERRED", "SCHEDULED", "RATE_LIMITED", "READY_TO_ENQUEUE")  # RQ 3 has all of them


class Unique(NamedTuple):
    """A template of names, and for how long a job keeps its name.

    `until`: `started` (while it waits), `finished` (until it has ended), or seconds from its enqueueing.
    """

    template: Template
    until: Until

    def claim(self, connection: Any, name: str, job_id: str) -> str:
        """Claim the name for a job. Returns the id of the job that has it, which may be an earlier one."""
        return self._claim(connection, name, job_id, _GRACE_S)

    def confirm(self, connection: Any, name: str, job_id: str) -> None:
        """The job is in Redis: from now on its status there says whether it keeps the name."""
        if not isinstance(self.until, int | float):
            self._claim(connection, name, job_id, 0.0)

    def _claim(self, connection: Any, name: str, job_id: str, grace_s: float) -> str:
        seconds = self.until if isinstance(self.until, int | float) else None
        hold_s = grace_s if seconds is None else seconds
        return store.claim(
            connection,
            name,
            job_id,
            hold_ms=round(hold_s * 1000),
            keep_ms=round(max(hold_s, _KEPT_S if seconds is None else seconds) * 1000),
            job_prefix=Job.redis_job_namespace_prefix,
            statuses=[] if seconds is not None else _statuses(is_started=self.until == "finished"),
        )


def unique(name: str, *, until: Until = "finished") -> Callable[[Function], Function]:
    """A decorator of job functions: an enqueue while another job has the same name returns that job.

    `name` is a template with the function's arguments by name, and `{function}`. `until`: `started`, `finished` or
    seconds. The enqueueing process has to be instrumented. The enqueue that is refused is recorded as job-refused.
    Raises SectionError if the function lacks an argument of the template.
    """
    made = make(name, until)

    def declare(function: Function) -> Function:
        made.template.check(function)
        setattr(function, DECLARED, made)
        return function

    return declare


def make(name: str, until: Until) -> Unique:
    """Raises SectionError for a name that is no template, or an `until` that there is not."""
    is_time = isinstance(until, int | float) and not isinstance(until, bool)
    if not (until in ("started", "finished") or (is_time and until > 0)):  # type: ignore[operator]
        raise SectionError(f"until={until!r} must be 'started', 'finished' or a number of seconds.")
    return Unique(Template(name), until)


asked: ContextVar[Unique | None] = ContextVar("shipper_unique", default=None)
"""What the current call of `Queue.enqueue` asks for with `unique="…"`."""


def _statuses(*, is_started: bool) -> list[str]:
    names = (*_WAITING, "STARTED") if is_started else _WAITING
    return [getattr(JobStatus, name).value for name in names if hasattr(JobStatus, name)]
