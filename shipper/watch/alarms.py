"""Findings → alarms that open once and close once, with hysteresis, and survive a restart. Decisions are pure.

A rule is asked at each sample for its findings: what is wrong now. A finding of a subject without an alarm opens one,
after it was found `opens_after` times in a row. An alarm closes after `closes_after` samples in a row without a
finding; for a subject with an open alarm a rule uses its lower, closing limit. A rule that could not be evaluated,
since Redis or Elasticsearch did not answer, changes nothing.

An alarm's id follows from rule, subject and the time since when it is so, as far as that follows from Redis. So several
watchers give it one id, without a lock; and they read in Elasticsearch which alarms another one has opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from ..records import record_id

Severity = Literal["warning", "critical"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule found to be wrong with a subject.

    `subject`: what it is about, unique within the rule: a queue, a function, a worker, or "" for the whole.
    `since`: since when it is so. None: since this sample.
    `value`, `limit`: what was measured, and the limit that it exceeds, in `unit`.
    `message`: one sentence for people. `fields`: fields of the record, such as `code.function.name`, by dotted name.
    `facts`: further details, by name.
    """

    rule: str
    subject: str
    message: str
    severity: Severity = "warning"
    since: datetime | None = None
    value: float | None = None
    limit: float | None = None
    unit: str | None = None
    service: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An open alarm. `finding`: the latest. `since`: its beginning, which its id has. `opened_at`: the sample."""

    id: str
    finding: Finding
    since: datetime
    opened_at: datetime
    clear: int = 0
    """Samples in a row without a finding."""

    @property
    def key(self) -> tuple[str, str]:
        return self.finding.rule, self.finding.subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """An alarm opened or closed at this time."""

    alarm: Alarm
    at: datetime
    kind: Literal["opened", "closed"]


@dataclass(frozen=True, slots=True)
class Patience:
    """For how many samples in a row a finding has to be there to open an alarm, and not there to close it."""

    opens_after: int = 1
    closes_after: int = 2


def alarm_id(rule: str, subject: str, since: datetime, namespace: str) -> str:
    """The id of an alarm, and of the record of its opening."""
    return record_id(since, "alert", namespace, rule, subject)


class Alarms:
    """The open alarms. `step` decides what opens and closes; nothing here reads or writes."""

    def __init__(self, namespace: str, patience: Mapping[str, Patience]) -> None:
        self._namespace = namespace
        self._patience = patience
        self._open: dict[tuple[str, str], Alarm] = {}
        self._pending: dict[tuple[str, str], tuple[int, datetime]] = {}

    @property
    def open(self) -> Mapping[tuple[str, str], Alarm]:
        """(rule, subject) → its open alarm."""
        return self._open

    def is_open(self, rule: str, subject: str) -> bool:
        return (rule, subject) in self._open

    def adopt(self, alarms: Iterable[Alarm]) -> None:
        """Take over alarms that are open already: from before a restart, or of another watcher."""
        for alarm in alarms:
            self._open.setdefault(alarm.key, alarm)
            self._pending.pop(alarm.key, None)

    def step(self, at: datetime, evaluated: Mapping[str, Iterable[Finding]]) -> list[Transition]:
        """What changes with the findings of the rules that could be evaluated at this time."""
        transitions = []
        for rule, findings in evaluated.items():
            found = {one.subject: one for one in findings}
            patience = self._patience.get(rule, Patience())
            transitions += self._opening(rule, found, patience, at)
            transitions += self._closing(rule, found, patience, at)
        return transitions

    def _opening(self, rule: str, found: Mapping[str, Finding], patience: Patience, at: datetime) -> list[Transition]:
        opened = []
        for key in [key for key in self._pending if key[0] == rule and key[1] not in found]:
            del self._pending[key]
        for subject, finding in found.items():
            key = (rule, subject)
            if alarm := self._open.get(key):
                self._open[key] = replace(alarm, finding=finding, clear=0)
                continue
            count, first = self._pending.get(key, (0, at))
            if count + 1 < patience.opens_after:
                self._pending[key] = (count + 1, first)
                continue
            self._pending.pop(key, None)
            since = finding.since or first
            identifier = alarm_id(rule, subject, since, self._namespace)
            self._open[key] = Alarm(id=identifier, finding=finding, since=since, opened_at=at)
            opened.append(Transition(alarm=self._open[key], at=at, kind="opened"))
        return opened

    def _closing(self, rule: str, found: Mapping[str, Finding], patience: Patience, at: datetime) -> list[Transition]:
        closed = []
        for key in [key for key in self._open if key[0] == rule and key[1] not in found]:
            alarm = replace(self._open[key], clear=self._open[key].clear + 1)
            if alarm.clear < patience.closes_after:
                self._open[key] = alarm
                continue
            del self._open[key]
            closed.append(Transition(alarm=alarm, at=at, kind="closed"))
        return closed
