"""Reads Elasticsearch for the watch, in a thread of its own: a slow or absent cluster holds no sample of Redis up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticsearch import Elasticsearch
from redis import RedisError

from ..emit.events import Hooks
from ..errors import DestinationError
from ..settings import Settings
from . import known
from .alarms import Alarm
from .history import Historian, History
from .options import RuleOptions
from .reconciler import Reconciler

log = logging.getLogger("shipper")

RECONCILE_EVERY_S = 60.0
STALE_AFTER = 4  # intervals: then the last answer does not count any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What Elasticsearch said last. `error`: why it did not, the last time it was asked."""

    at: datetime | None = None
    history: History | None = None
    open_alarms: Sequence[Alarm] = ()
    error: str | None = None


class Reading:
    """Asks at each interval, and reconciles once a minute. `latest` is the last answer."""

    def __init__(
        self,
        search: Elasticsearch,
        redis: Any,
        settings: Settings,
        options: RuleOptions,
        observer: Hooks,
        grace: timedelta,
        *,
        every_s: float | None = None,
    ) -> None:
        self._search = search
        self._settings = settings
        self._historian = Historian(search, settings, options)
        self._reconciler = Reconciler(search, redis, settings, observer, grace)
        self._every_s = settings.watch_every if every_s is None else every_s
        self._lock = threading.Lock()
        self._answer = Answer()
        self.answered = threading.Event()
        """Set after the first answer, whatever it was."""
        self._reconciled = -RECONCILE_EVERY_S

    def latest(self, now: datetime) -> Answer:
        """The last answer. An old one says only why there is no newer one."""
        with self._lock:
            answer = self._answer
        if answer.at is None or now - answer.at <= timedelta(seconds=STALE_AFTER * max(self._every_s, 5.0)):
            return answer
        return Answer(error=answer.error or "Elasticsearch has not answered for too long.")

    def ask(self, now: datetime) -> Answer:
        """Ask once, and keep the answer."""
        try:
            answer = Answer(
                at=now, history=self._historian.read(now), open_alarms=known.read(self._search, self._settings, now)
            )
        except DestinationError as error:
            answer = Answer(at=now, error=str(error))
        with self._lock:
            self._answer = answer
        self.answered.set()
        return answer

    def reconcile(self) -> int:
        """One pass of the reconciler. Returns the number of findings. Raises DestinationError, redis.RedisError."""
        return len(self._reconciler.run())

    def run(self, stop: threading.Event, *, reconciles: Callable[[], bool] = lambda: True) -> None:
        """Ask and reconcile until `stop` is set."""
        while not stop.is_set():
            answer = self.ask(datetime.now(UTC))
            due = time.monotonic() - self._reconciled >= RECONCILE_EVERY_S
            if answer.error is None and due and reconciles():
                self._reconciled = time.monotonic()
                self._reconcile_quietly()
            stop.wait(self._every_s)

    def _reconcile_quietly(self) -> None:
        try:
            self.reconcile()
        except (DestinationError, RedisError) as error:
            log.warning("Open jobs were not compared: %s. The next attempt is in a minute.", error)
