"""What is known of cron jobs across samples: which runs were missed, also while no scheduler runs. Pure.

RQ keeps a cron job only in its scheduler's hash, which expires two minutes after the scheduler ended. So each one that
was seen is remembered, with the time of its next run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

from ..live.cron import CronSample

GRACE = timedelta(seconds=120)  # a scheduler looks once a minute, and one that restarts takes a while
FORGET_AFTER = timedelta(days=7)  # without a scheduler: then nobody waits for it
MISSED_LIMIT = 1000  # runs that are counted one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class CronState:
    """A cron job. `next_at`: the run that is due next, or overdue. `missed`: runs from then on that did not come."""

    sample: CronSample
    next_at: datetime | None
    missed: int = 0

    def is_late(self, now: datetime, grace: timedelta = GRACE) -> bool:
        """Whether its next run did not come in time."""
        return self.next_at is not None and now - self.next_at > grace


def advance(known: Mapping[str, CronState], seen: Iterable[CronSample], now: datetime) -> dict[str, CronState]:
    """The states after a sample."""
    samples = {one.key: one for one in seen}
    states = {key: _state(one, known.get(key), now) for key, one in samples.items()}
    alive = {one.scheduler for one in samples.values()}
    # Schedulers that others have taken the place of: one of their cron jobs is with another now.
    replaced = {state.sample.scheduler for key, state in known.items() if key in samples} - alive
    for key, state in known.items():
        if key in states or state.sample.scheduler in alive | replaced:
            continue  # it lives, or its scheduler has it no more
        if state.next_at is None or now - state.next_at < FORGET_AFTER:
            states[key] = replace(state, missed=_missed(state.sample, state.next_at, now))
    return states


def _state(one: CronSample, before: CronState | None, now: datetime) -> CronState:
    next_at = one.next
    if before is not None and before.next_at is not None and not _has_run(one, before.sample):
        # A scheduler that starts counts from its start: the run that should have been before is still missing.
        next_at = min(before.next_at, next_at or before.next_at)
    return CronState(sample=one, next_at=next_at, missed=_missed(one, next_at, now))


def _has_run(now: CronSample, before: CronSample) -> bool:
    return now.last is not None and (before.last is None or now.last > before.last)


def _missed(one: CronSample, next_at: datetime | None, now: datetime) -> int:
    """How many runs from `next_at` on should have been by now."""
    if next_at is None:
        return 0

    def runs() -> Iterator[datetime]:
        at: datetime | None = next_at
        while at is not None and at < now - GRACE:
            yield at
            at = one.following(at)

    return sum(1 for _ in islice(runs(), MISSED_LIMIT))
