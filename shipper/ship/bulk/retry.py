"""Retry state of failed requests: they are logged once a minute, counted, and retried after a growing delay.

Several batches are in flight at once. The state is healthy again when all that have failed are done.
"""

from __future__ import annotations

import logging
import math
import threading
import time

from ...errors import DestinationError, Refused, ShipperError
from ..status import Counts
from .backoff import Backoff, LogThrottle

log = logging.getLogger("shipper")


class Stopped(ShipperError):
    """The shipper was stopped while it waited for a retry."""


class RetryState:
    """Shared retry state of the requests in flight. True while one of them is failing. Thread-safe.

    `retry_timeout_s`: how long to retry after the first failure, None for ever. That failure may have taken as long: a
    request that is not answered in time has failed once, and is sent again.
    """

    def __init__(self, counts: Counts, stop: threading.Event, retry_timeout_s: float | None) -> None:
        self._counts = counts
        self._stop = stop
        self._retry_timeout_s = retry_timeout_s
        self._limited_at = -math.inf
        self._lock = threading.Lock()
        self._failing: set[Attempts] = set()
        self._throttle = LogThrottle()
        counts.error = counts.error_since = None  # resets the error of an earlier pipeline with the same counts

    def __bool__(self) -> bool:
        return bool(self._failing)

    def attempts(self) -> Attempts:
        """The attempts of one batch or other unit of work."""
        return Attempts(self)

    def limit(self, retry_timeout_s: float) -> None:
        """From now on, retry for so long."""
        self._retry_timeout_s, self._limited_at = retry_timeout_s, time.monotonic()

    def record_failure(self, attempts: Attempts, what: str, cause: Exception | None) -> None:
        """Count and log a failure. With a retry timeout, raises `cause` if Refused, or DestinationError at its end."""
        with self._lock:
            self._failing.add(attempts)
            self._counts.retries += 1
            self._counts.error = what
            self._counts.error_since = self._counts.error_since or time.time()
            due = self._throttle.due()
        if self._retry_timeout_s is not None:  # a run that ends by itself
            if isinstance(cause, Refused):
                raise cause  # a retry would be refused, too
            if time.monotonic() - max(attempts.first_failure, self._limited_at) >= self._retry_timeout_s:
                raise DestinationError(what) from cause
        if due:
            log.warning(
                "%s Trying again; nothing is lost meanwhile.", what, extra={"event.action": "destination-trouble"}
            )

    def wait(self, seconds: float) -> None:
        """Sleep. Raises Stopped if the shipper is stopped."""
        if self._stop.wait(seconds):
            raise Stopped("Stopped before everything could be sent; the rest is sent at the next start.")

    def record_success(self, attempts: Attempts) -> None:
        """Note that a unit of work is done."""
        with self._lock:
            if attempts not in self._failing:
                return
            self._failing.remove(attempts)
            if self._failing:
                return
            self._counts.error = self._counts.error_since = None
            was_logged = self._throttle.over()
        if was_logged:
            log.info("Elasticsearch takes documents again.", extra={"event.action": "destination-recovered"})


class Attempts:
    """The attempts of one unit of work. `first_failure` is `time.monotonic()` of it, infinite before."""

    def __init__(self, retry_state: RetryState) -> None:
        self.first_failure = math.inf
        self._retry_state = retry_state
        self._backoff = Backoff()

    def failed(self, what: str, cause: Exception | None = None) -> None:
        """Record a failure, and wait for the next attempt. Raises Refused, DestinationError or Stopped to give up."""
        self.first_failure = min(self.first_failure, time.monotonic())
        self._retry_state.record_failure(self, what, cause)
        self._retry_state.wait(self._backoff.next_delay())

    def done(self) -> None:
        self._retry_state.record_success(self)
