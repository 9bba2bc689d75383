"""What becomes of a job that could not get into its section: decided by `decide`, which is pure, and reported."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from rq import get_current_job

from .. import context
from ..emit import snapshot
from ..emit.events import Busy, observers
from ..errors import SectionBusy, SectionError
from ..guard import never_raise
from .store import Holder

OnBusy = Literal["requeue", "fail", "skip"] | Callable[[SectionBusy], Any]

_NOT_INSTRUMENTED = (
    " It was not put back to its queue, as no worker of ours runs it: start workers with "
    "RQ_JOB_CLASS=shipper.LoggedJob, and use no synchronous queue."
)


class Limits(NamedTuple):
    """When and how often a job is put back: after `delay_s`, up to `max_tries` and `max_age_s` since its first try."""

    delay_s: float
    max_tries: int
    max_age_s: float


class Decision(NamedTuple):
    """`action` is that of the record: requeue, exhausted, fail, skip or callback. `delay_s`: None if not put back."""

    action: str
    delay_s: float | None = None
    is_exhausted: bool = False
    hint: str = ""


def checked(on_busy: OnBusy) -> OnBusy:
    """The same, if it is one of those that there are. Raises SectionError."""
    if on_busy not in ("requeue", "fail", "skip") and not callable(on_busy):
        raise SectionError(f"on_busy={on_busy!r} must be 'requeue', 'fail', 'skip' or a function.")
    return on_busy


def decide(
    on_busy: OnBusy,
    limits: Limits,
    holder: Holder,
    *,
    is_job: bool,
    is_in_worker: bool,
    dice: Callable[[float, float], float] = random.uniform,
) -> Decision:
    """What becomes of the job that `holder` keeps out. Pure but for the dice."""
    if callable(on_busy):
        return Decision("callback")
    if on_busy != "requeue":
        return Decision(on_busy)
    if not is_in_worker:
        return Decision("fail", hint=_NOT_INSTRUMENTED if is_job else "")
    if holder.tries >= limits.max_tries or holder.waited_s >= limits.max_age_s:
        spent = f" It was tried {holder.tries} times in {holder.waited_s:.0f} s, which is the limit."
        return Decision("exhausted", is_exhausted=True, hint=spent)
    return Decision("requeue", delay_s=limits.delay_s * dice(0.5, 1.5))


def report(refused: SectionBusy, action: str) -> None:
    """Call the hook for the running job, which is not put back."""
    with never_raise("busy"):
        job, running = get_current_job(), context.running.get()
        if job is not None:
            execution_id = running.execution_id if running is not None else None
            now = datetime.now(UTC)
            observers.busy(snapshot.from_job(job), event(refused, action, execution_id, job.worker_name or "", now))


def event(refused: SectionBusy, action: str, execution_id: str | None, worker: str, at: datetime) -> Busy:
    """The event of a job that could not get in at that time."""
    return Busy(
        at=at,
        execution_id=execution_id,
        worker=worker,
        section=refused.section,
        holder=refused.holder,
        holder_function=refused.holder_function,
        since=refused.since,
        tries=refused.tries,
        waited_s=refused.waited_s,
        action=action,
        delay_s=refused.delay_s,
    )
