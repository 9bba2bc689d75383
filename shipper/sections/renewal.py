"""Extends the leases of the sections that this process holds, in a daemon thread, while their holders run."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Protocol

from ..forking import in_each_child
from ..guard import never_raise


class Lease(Protocol):
    """What is extended."""

    beat_s: float

    def renew(self) -> bool:
        """Extend it. False if it is lost, so that there is nothing left to extend."""
        ...


class Renewal:
    """Calls `renew` of each lease every `beat_s` seconds. One thread for all, which is started with the first."""

    def __init__(self) -> None:
        self._due: dict[Lease, float] = {}  # → time.monotonic()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0

    def add(self, lease: Lease) -> None:
        with self._changed:
            due = self._due[lease] = time.monotonic() + lease.beat_s
            if self._thread is None:
                self._wakes_at = due
                self._thread = threading.Thread(target=self._run, name="shipper-sections", daemon=True)
                self._thread.start()
            elif due < self._wakes_at:  # else the thread is left alone: most sections are short
                self._changed.notify()

    def remove(self, lease: Lease) -> None:
        with self._changed:
            self._due.pop(lease, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                due = [lease for lease, at in self._due.items() if at <= now]
                for lease in due:
                    self._due[lease] = now + lease.beat_s
                if not due:
                    self._wakes_at = min(self._due.values(), default=math.inf)
                    self._changed.wait(None if self._wakes_at == math.inf else self._wakes_at - now)
                    continue
            for lease in due:
                self._renew(lease.renew, lease)

    def _renew(self, renew: Callable[[], bool], lease: Lease) -> None:
        with never_raise("section renewal"):  # Redis is away: the next beat may find it
            if not renew():
                self.remove(lease)


_renewal = Renewal()


def add(lease: Lease) -> None:
    """Extend this lease from now on."""
    _renewal.add(lease)


def remove(lease: Lease) -> None:
    """Extend it no more."""
    _renewal.remove(lease)


def _reset() -> None:
    """In a forked child, which has neither the thread nor what its parent holds."""
    global _renewal  # noqa: PLW0603 - one per process
    _renewal = Renewal()


in_each_child(_reset)
