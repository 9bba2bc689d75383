"""How long to wait before trying again, and how often to speak of it."""

from __future__ import annotations

import random
import time

FIRST_S = 0.2
LONGEST_S = 30.0
SAY_EVERY_S = 60.0


class Backoff:
    """Exponential delays with full jitter, so that many shippers do not come back at the same moment.

    After "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self) -> None:
        self._tries = 0

    def next_delay(self) -> float:
        """Seconds to wait now."""
        ceiling = min(LONGEST_S, FIRST_S * 2**self._tries)
        self._tries = min(self._tries + 1, 16)
        return random.uniform(0, ceiling)  # noqa: S311 - spreading load, not keeping secrets


class LogThrottle:
    """True the first time, and then once a minute at most, for as long as something lasts; `over()` ends it."""

    def __init__(self) -> None:
        self._said: float | None = None
        self._is_open = False

    def due(self) -> bool:
        now = time.monotonic()
        if self._said is not None and now - self._said < SAY_EVERY_S:
            return False
        self._said, self._is_open = now, True
        return True

    def over(self) -> bool:
        """Whether there was something to speak of."""
        was, self._is_open = self._is_open, False
        return was
