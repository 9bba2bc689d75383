"""Failed requests: logged once a minute, counted, and tried again after a growing delay.

Several batches are in flight at once. The state is healthy again only when each of them is through.
"""

from __future__ import annotations

import logging
import threading
import time

from ...errors import DestinationError, Refused, ShipperError
from ..status import Counts
from .backoff import Backoff, LogThrottle

log = logging.getLogger("shipper")


class Stopped(ShipperError):
    """Somebody asked the shipper to stop while it was waiting to try again."""


class RetryState:
    """Shared retry state of the requests in flight. `retry_timeout_s`: how long to keep trying, None for ever."""

    def __init__(self, counts: Counts, stop: threading.Event, retry_timeout_s: float | None) -> None:
        self._counts = counts
        self._stop = stop
        self._retry_timeout_s = retry_timeout_s
        self._lock = threading.Lock()
        self._met_by: set[Attempts] = set()
        self._minute = LogThrottle()
        counts.error = counts.error_since = None  # what those before this one met may be over

    def __bool__(self) -> bool:
        return bool(self._met_by)

    def attempts(self) -> Attempts:
        """For one piece of work, which is tried until it is done."""
        return Attempts(self)

    def record_failure(self, attempts: Attempts, what: str, cause: Exception | None) -> None:
        """Say what is wrong, once a minute. Raises when it is time to give up."""
        with self._lock:
            self._met_by.add(attempts)
            self._counts.retries += 1
            self._counts.error = what
            self._counts.error_since = self._counts.error_since or time.time()
            due = self._minute.due()
        if self._retry_timeout_s is not None:  # of a run that is meant to end
            if isinstance(cause, Refused):
                raise cause  # waiting does not mend credentials
            if time.monotonic() - attempts.began > self._retry_timeout_s:
                raise DestinationError(what) from cause
        if due:
            log.warning(
                "%s Trying again; nothing is lost meanwhile.", what, extra={"event.action": "destination-trouble"}
            )

    def wait(self, seconds: float) -> None:
        """Let some time pass. Raises Stopped."""
        if self._stop.wait(seconds):
            raise Stopped("Stopped before everything could be sent; the rest is sent at the next start.")

    def record_success(self, attempts: Attempts) -> None:
        """One of those that met it is through."""
        with self._lock:
            if attempts not in self._met_by:
                return
            self._met_by.remove(attempts)
            if self._met_by:
                return
            self._counts.error = self._counts.error_since = None
            was_told = self._minute.over()
        if was_told:
            log.info("Elasticsearch takes documents again.", extra={"event.action": "destination-recovered"})


class Attempts:
    """The tries of one piece of work."""

    def __init__(self, error: RetryState) -> None:
        self.began = time.monotonic()
        self._retry_state = error
        self._backoff = Backoff()

    def failed(self, what: str, cause: Exception | None = None) -> None:
        """Wait until it is time to try again. Raises what it was, DestinationError or Stopped when it is not."""
        self._retry_state.record_failure(self, what, cause)
        self._retry_state.wait(self._backoff.next_delay())

    def done(self) -> None:
        self._retry_state.record_success(self)
