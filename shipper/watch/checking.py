"""The rules once, without state: what `shipper check` answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import RedisError

from .. import client
from ..errors import DestinationError, SettingsError
from ..live import queues as live_queues
from ..live.connection import unreachable
from ..settings import Settings, nearest
from . import crons, rules
from .alarms import Finding
from .evidence import Evidence
from .history import Historian, History
from .options import RuleOptions
from .sampling import Sampler, Snapshot

# Rules that compare with a sample before.
NEED_STATE = frozenset({"redis_rejects", "host_silent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The findings, the most severe first. `not_checked`: rules that could not be evaluated."""

    findings: Sequence[Finding]
    snapshot: Snapshot
    not_checked: Sequence[str] = ()
    unknown: Sequence[str] = ()
    """Queues that were asked for, and that neither RQ nor a worker knows."""
    known: Sequence[str] = ()

    def no_such_queue(self) -> str:
        """A sentence about a queue that is unknown."""
        hint = nearest(self.unknown[0], self.known, f"There are {', '.join(sorted(self.known)) or 'none'}.")
        return f"There is no queue {self.unknown[0]}. {hint}"

    def figures(self) -> Mapping[str, float]:
        """Of all queues that were asked for. `jobs_per_worker`: waiting jobs for each live worker, or for the first."""
        queues = self.snapshot.queues
        names = {queue.name for queue in queues}
        workers = [one for one in self.snapshot.workers if one.is_live and names & set(one.queues)]
        depth, busy = sum(queue.depth for queue in queues), sum(one.is_busy for one in workers)
        return {
            "oldest_age": round(max((queue.oldest_age_s(self.snapshot.read_at) for queue in queues), default=0.0), 3),
            "depth": depth,
            "workers": len(workers),
            "busy_workers": busy,
            "utilization": round(busy / len(workers), 3) if workers else 0.0,
            "jobs_per_worker": round(depth / max(1, len(workers)), 3),
        }

    @property
    def summary(self) -> str:
        """One sentence for people."""
        figures = self.figures()
        waits = f", the oldest for {figures['oldest_age']:.0f} s" if figures["depth"] else ""
        count = len(self.snapshot.queues)
        return (
            f"{count} queue{'s' * (count != 1)}, {figures['depth']:g} jobs wait{waits}; "
            f"{figures['busy_workers']:g} of {figures['workers']:g} workers are busy."
        )


def rules_named(names: Sequence[str] | None) -> Sequence[str]:
    """The rules of these names; None for all that can be checked once. Raises SettingsError."""
    known = [name for name in rules.RULES if name not in NEED_STATE]
    if names is None:
        return known
    for name in names:
        if name not in known:
            raise SettingsError([f"There is no rule {name} to check. {nearest(name, known)}"])
    return names


def check(
    settings: Settings,
    options: RuleOptions,
    redis: Any,
    queues: Sequence[str],
    names: Sequence[str],
    now: datetime,
    *,
    asks_records: bool,
) -> Checked:
    """Evaluate the rules `names` for these queues; none means all. Raises ShipperError if Redis does not answer."""
    try:
        snapshot = Sampler(redis).take(now, queues or None)
        known = {*live_queues.names(redis), *(name for worker in snapshot.workers for name in worker.queues)}
    except RedisError as error:
        raise unreachable(error) from error
    history, why_not = None, None
    if asks_records and any(rules.RULES[name].rests_on_records for name in names):
        history, why_not = _history(settings, options, now)
    evidence = Evidence(
        at=now,
        settings=settings,
        options=options,
        snapshot=snapshot,
        history=history,
        elasticsearch_error=why_not,
        crons=crons.advance({}, snapshot.crons, now),
    )
    told = rules.evaluate(evidence, names)
    findings = [one for found in told.values() for one in found if not queues or _is_of(one, queues)]
    return Checked(
        findings=sorted(findings, key=lambda one: one.severity != "critical"),
        snapshot=snapshot,
        not_checked=[name for name in names if name not in told],
        unknown=[name for name in queues if name not in known],
        known=sorted(known),
    )


def _history(settings: Settings, options: RuleOptions, now: datetime) -> tuple[History | None, str | None]:
    try:
        with client.connect_reader(settings) as search:
            return Historian(search, settings, options).read(now), None
    except DestinationError as error:
        return None, str(error)


def _is_of(one: Finding, queues: Sequence[str]) -> bool:
    queue = one.fields.get("messaging.destination.name")
    return queue is None or queue in queues
