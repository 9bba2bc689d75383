"""Delays between retries, and the throttling of log messages about them."""

from __future__ import annotations

import random
import time

FIRST_S = 0.2
LONGEST_S = 30.0
LOG_EVERY_S = 60.0


class Backoff:
    """Exponential delays with full jitter, so that many shippers do not retry at the same time.

    After "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self) -> None:
        self._tries = 0

    def next_delay(self) -> float:
        """Seconds to wait before the next attempt."""
        ceiling = min(LONGEST_S, FIRST_S * 2**self._tries)
        self._tries = min(self._tries + 1, 16)
        return random.uniform(0, ceiling)  # noqa: S311 - spreading load, not keeping secrets


class LogThrottle:
    """`due()` is True the first time and then once per LOG_EVERY_S, while a problem lasts. `over()` ends it."""

    def __init__(self) -> None:
        self._logged_at: float | None = None
        self._was_logged = False

    def due(self) -> bool:
        now = time.monotonic()
        if self._logged_at is not None and now - self._logged_at < LOG_EVERY_S:
            return False
        self._logged_at, self._was_logged = now, True
        return True

    def over(self) -> bool:
        """Whether the problem was logged since the last call."""
        was_logged, self._was_logged = self._was_logged, False
        return was_logged
