"""What the rules are given: the sample of Redis, and what the records in Elasticsearch tell, both at one time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from ..settings import Settings
from . import options
from .crons import CronState
from .history import History
from .options import RuleOptions
from .sampling import Snapshot


class NoEvidence(Exception):
    """A rule cannot tell, as Redis or Elasticsearch did not answer or was not asked. Its alarms stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Facts at one time.

    `snapshot`: None if Redis did not answer, for the reason `redis_error`. `history`: None if Elasticsearch did not,
    for the reason `elasticsearch_error`, or was not asked (no reason).
    `crons`: key of a cron job → what is known of it.
    `unheard`: host → when a worker on it ended a job of which no record has arrived yet.
    `is_open`: whether there is an open alarm of (rule, subject): then its lower, closing limit counts.
    """

    at: datetime
    settings: Settings
    options: RuleOptions
    snapshot: Snapshot | None = None
    redis_error: str | None = None
    history: History | None = None
    elasticsearch_error: str | None = None
    crons: Mapping[str, CronState] = field(default_factory=dict)
    unheard: Mapping[str, datetime] = field(default_factory=dict)
    is_open: Callable[[str, str], bool] = lambda _rule, _subject: False

    @property
    def sample(self) -> Snapshot:
        """The snapshot. Raises NoEvidence."""
        if self.snapshot is None:
            raise NoEvidence
        return self.snapshot

    @property
    def records(self) -> History:
        """The history. Raises NoEvidence."""
        if self.history is None:
            raise NoEvidence
        return self.history

    def objective_s(self, queue: str) -> float:
        return options.objective_s(self.settings, queue)

    def service_of(self, queue: str) -> str:
        """The service that a queue belongs to."""
        prefixes = sorted(self.settings.services.items(), key=lambda one: -len(one[0]))
        return next((name for prefix, name in prefixes if queue.startswith(prefix)), self.settings.service)
