"""Acts on a whole set of jobs, exactly as it was when it was chosen.

The chosen jobs are a plan: a list in Redis with the revision of each. A job that has changed since is left alone, so
that nothing is done twice, however often a plan is begun again, and to no job that came later. The plan outlives an
interruption: the same call goes on with what is left of it.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from rq import get_current_job

from ..emit.patches.operate import report, with_reason
from ..errors import SectionBusy, ShipperError
from ..job_fields import own_key, text
from ..live import jobs as live
from ..live import keys
from ..live.jobs import Criteria
from ..sections.section import critical_section
from ..settings import Settings
from .single import Chosen, Result, choose, delete, prepared, push_again

Progress = Callable[[int, int], object]
"""Called with how many jobs are done, and how many there are."""

_ACTS: dict[str, tuple[str, Callable[[Any, Chosen], Result]]] = {
    "requeue": ("jobs-requeued", push_again),
    "discard": ("jobs-discarded", delete),
}
_STATES = {
    "requeue": frozenset({"dead", "stopped", "canceled"}),
    "discard": live.STATES - {"started"},
}
_KEPT_S = 7 * 86_400  # seconds for which an interrupted plan is kept
_PAGE = 500
_LEASE_S = 10.0  # seconds after which another process can go on with the plan of one that was killed
_STEP = 50  # jobs between two notes of how far it is; after an interruption these are tried again, and have changed


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many jobs were acted on, and how many were left alone as they had changed or gone."""

    done: int
    changed: int


class Plan:
    """The jobs that an act is meant for. `act` is requeue or discard. One that exists already is gone on with.

    `name` identifies the criteria, as they were given. Raises ShipperError for states that the act cannot be done to.
    """

    def __init__(self, connection: Any, act: str, criteria: Criteria, name: str | None = None) -> None:
        if wrong := sorted(set(criteria.states) - _STATES[act]):
            possible = ", ".join(sorted(_STATES[act]))
            raise ShipperError(f"There is no way to {act} jobs that are {wrong[0]}. Choose from: {possible}.")
        self.connection, self.act, self._criteria = connection, act, criteria
        given = name or _text(criteria)
        self.name = f"{act} {given}"
        self._key = own_key(f"plan:{hashlib.blake2b(self.name.encode(), digest_size=12).hexdigest()}")

    def left(self) -> int:
        """How many jobs of it are left, 0 if there is none."""
        return int(self.connection.llen(self._key))

    def choose(self, progress: Progress | None = None) -> int:
        """Choose the jobs, unless an interrupted plan is left. Returns how many there are.

        `progress` is called with how many were found so far, and 0, as nobody knows how many there are.
        """
        if self.left():
            return self.left()
        draft, chosen_ids = f"{self._key}:draft", f"{self._key}:ids"
        self.connection.delete(draft, chosen_ids)
        found, count = live.find(self.connection, self._criteria), 0
        while page := [state.job_id for state in islice(found, _PAGE)]:
            self._add(draft, chosen_ids, page)
            count += len(page)
            if progress is not None:
                progress(count, 0)
        self.connection.delete(chosen_ids)
        if self.connection.exists(draft):
            self.connection.rename(draft, self._key)  # whole, or not at all
        return self.left()

    def _add(self, draft: str, chosen_ids: str, page: list[str]) -> None:
        """Add those that are not in the draft yet: a set that changes while it is read may show a job twice."""
        is_new = keys.ask(self.connection, [("sadd", chosen_ids, job_id) for job_id in page])
        new = [job_id for job_id, added in zip(page, is_new, strict=True) if added]
        rows = [f"{one.job_id}\n{one.revision}" for one in choose(self.connection, new)]
        if rows:
            self.connection.rpush(draft, *rows)
        for key in (draft, chosen_ids):
            self.connection.expire(key, _KEPT_S)

    def drop(self) -> None:
        """Forget it."""
        self.connection.delete(self._key)

    def run(self, *, rate: float | None = None, reason: str | None = None, progress: Progress | None = None) -> Outcome:
        """Act on each job of it that is left, `rate` in a second. Raises ShipperError if another process is at it."""
        total, done, changed = self.left(), 0, 0
        action, act = _ACTS[self.act]
        pace = _Pace(rate)
        lease_s = None if get_current_job() is not None else _LEASE_S  # a job's is not shorter than its timeout
        try:
            with critical_section(f"plan:{self._key}", ttl=lease_s, on_busy="fail") as section, with_reason(reason):
                while rows := self.connection.lrange(self._key, 0, _STEP - 1):
                    for row in rows:
                        if section.lost:
                            raise ShipperError("This plan was taken over by another process.")
                        pace.wait()
                        job_id, _, revision = text(row).rpartition("\n")
                        result = act(self.connection, Chosen(job_id, revision))
                        done, changed = done + (result == "done"), changed + (result != "done")
                        if progress is not None:
                            progress(done + changed, total)
                    self.connection.ltrim(self._key, len(rows), -1)
                report(action, "change", None, ("jobs", None, self.name), f"{done} jobs")
        except SectionBusy as busy:
            raise ShipperError(f"Another process is at it already, since {busy.since:%Y-%m-%d %H:%M:%S} UTC.") from busy
        return Outcome(done, changed)


def _text(criteria: Criteria) -> str:
    """The criteria as one line, without those that are not given."""
    given = {name: value for name, value in asdict(criteria).items() if value is not None}
    return " ".join(f"{name}={','.join(sorted(value)) if name == 'states' else value}" for name, value in given.items())


class _Pace:
    """Lets `rate` calls of `wait` in a second return."""

    def __init__(self, rate: float | None) -> None:
        self._every_s = 1 / rate if rate else 0.0
        self._next = time.monotonic()

    def wait(self) -> None:
        if self._every_s:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._next = max(self._next + self._every_s, time.monotonic())


def requeue_all(
    *,
    state: str | Collection[str] = "dead",
    function: str | None = None,
    family: str | None = None,
    queue: str | None = None,
    user: object = None,
    customer: object = None,
    error: str | None = None,
    since: datetime | None = None,
    rate: float | None = None,
    reason: str | None = None,
    progress: Progress | None = None,
    settings: Settings | None = None,
    redis: Any = None,
) -> Outcome:
    """Push all jobs again that match, `rate` in a second. States: dead, stopped, canceled.

    If it is interrupted, the same call goes on with the jobs that were chosen then. Raises ShipperError, RedisError.
    """
    criteria = _criteria(state, function, family, queue, user, customer, error, since)
    return _run(Plan(prepared(settings, redis), "requeue", criteria), rate, reason, progress)


def discard_all(
    *,
    state: str | Collection[str] = "dead",
    function: str | None = None,
    family: str | None = None,
    queue: str | None = None,
    user: object = None,
    customer: object = None,
    error: str | None = None,
    since: datetime | None = None,
    rate: float | None = None,
    reason: str | None = None,
    progress: Progress | None = None,
    settings: Settings | None = None,
    redis: Any = None,
) -> Outcome:
    """Delete all jobs that match, with their results. All states but started. Otherwise like `requeue_all`."""
    criteria = _criteria(state, function, family, queue, user, customer, error, since)
    return _run(Plan(prepared(settings, redis), "discard", criteria), rate, reason, progress)


def _run(plan: Plan, rate: float | None, reason: str | None, progress: Progress | None) -> Outcome:
    if not plan.choose():
        return Outcome(0, 0)
    return plan.run(rate=rate, reason=reason, progress=progress)


def _criteria(
    state: str | Collection[str],
    function: str | None,
    family: str | None,
    queue: str | None,
    user: object,
    customer: object,
    error: str | None,
    since: datetime | None,
) -> Criteria:
    return Criteria(
        states=(state,) if isinstance(state, str) else tuple(state),
        function=function,
        family=family,
        queue=queue,
        user=None if user is None else str(user),
        customer=None if customer is None else str(customer),
        error=error,
        since=since,
    )
