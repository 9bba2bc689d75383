"""The main loop's pulse: when it last did something. `/health` and the status tell by it that the loop hangs.

One for the process, which has one main loop. Whatever can take long for good reasons, such as reading a large
compressed file up to a position, beats meanwhile.
"""

from __future__ import annotations

import time

STUCK_AFTER_S = 60.0
"""Seconds without a beat after which the loop counts as stuck. A request to Elasticsearch is given up after 30."""

_last = time.monotonic()


def beat() -> None:
    """The loop is alive."""
    global _last  # noqa: PLW0603 - one per process
    _last = time.monotonic()


def age_s() -> float:
    """Seconds since the last beat."""
    return time.monotonic() - _last
