"""Counters of what jobs did, since they were first counted: they go on after a restart.

They are kept in the state folder and saved with the positions. A record is counted at most once: if the shipper is
killed, what it counted in the last second may be missing.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from operator import add
from pathlib import Path
from typing import Any

import msgspec

from .tally import BOUNDS_S, EVENTS, LAGS, MEASURES, NUMBERS, Labels, Series

log = logging.getLogger("shipper")

FILE = "counters.json"
OTHER: Labels = ("other", "other", "other")
"""The labels of all that came when there were as many sets of labels as may be."""

_SAMPLES_LIMIT = 20_000  # values that are held for StatsD at most


class _Saved(msgspec.Struct):
    """The content of the file. `layout` says what the numbers mean: with another one, counting begins again."""

    layout: list[Any]
    since_ns: int
    series: list[tuple[Labels, list[int]]]


_LAYOUT: list[Any] = [list(EVENTS), list(MEASURES), list(BOUNDS_S)]


class JobCounter:
    """The counters, by labels. Thread-safe.

    `folder`: where they are saved; None: nowhere. `label_sets`: how many sets of labels are kept apart, the rest is
    counted under OTHER. `samples`: keep single values until they are taken.
    """

    def __init__(self, folder: Path | None, label_sets: int, *, samples: bool = False) -> None:
        self.since_ns = time.time_ns()
        self._file = folder / FILE if folder else None
        self._label_sets = label_sets
        self._keeps_samples = samples
        self._lock = threading.Lock()
        self._series: dict[Labels, list[int]] = {}
        self._samples: list[tuple[Labels, str, int, float]] = []
        self._warned = self._changed = False
        self._load()

    def add(self, counted: Iterable[Series], *, fresh: bool = True) -> None:
        """Add what was counted. Not `fresh`: without how long the jobs waited."""
        with self._lock:
            for series in counted:
                self._add(series, fresh=fresh)
            self._changed = True

    def read(self) -> list[tuple[Labels, list[int]]]:
        """The labels and a copy of the numbers of each series."""
        with self._lock:
            return [(labels, numbers.copy()) for labels, numbers in self._series.items()]

    def take_samples(self) -> list[tuple[Labels, str, int, float]]:
        """(labels, measure, us, rate) of values since the last call. A rate of 0.1: it stands for ten values."""
        with self._lock:
            taken, self._samples = self._samples, []
        return taken

    def save(self) -> None:
        """Save the counters if they have changed, atomically. Raises OSError."""
        if self._file is None:
            return
        with self._lock:
            if not self._changed:
                return
            content = msgspec.json.encode(_Saved(_LAYOUT, self.since_ns, list(self._series.items())))
            self._changed = False
        aside = self._file.with_suffix(".new")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as out:
                out.write(content)
            aside.rename(self._file)
        except OSError:
            self._changed = True
            raise

    def _add(self, series: Series, *, fresh: bool) -> None:
        labels, numbers = series.labels, series.numbers
        if not fresh:
            numbers = [*numbers[: LAGS.start], *[0] * (LAGS.stop - LAGS.start)]
        known = self._series.get(labels)
        if known is None:
            labels = self._admitted(labels)
            known = self._series.get(labels)
        self._series[labels] = [*map(add, known, numbers)] if known else list(numbers)
        if self._keeps_samples:
            self._add_samples(labels, series, fresh=fresh)

    def _admitted(self, labels: Labels) -> Labels:
        if len(self._series) < self._label_sets:
            return labels
        if not self._warned:
            self._warned = True
            log.warning(
                "Jobs are counted by %d sets of service, queue and function, and there are more: the rest is counted "
                "under other. Set SHIPPER_LABEL_SETS to keep more of them apart.",
                self._label_sets,
                extra={"event.action": "label-sets-exhausted"},
            )
        return OTHER

    def _add_samples(self, labels: Labels, series: Series, *, fresh: bool) -> None:
        for measure, values, seen in zip(MEASURES, series.samples, series.seen(), strict=True):
            if values and (fresh or measure == "duration") and len(self._samples) < _SAMPLES_LIMIT:
                rate = len(values) / seen
                self._samples += [(labels, measure, us, rate) for us in values]

    def _load(self) -> None:
        if self._file is None:
            return
        try:
            saved = msgspec.json.decode(self._file.read_bytes(), type=_Saved)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.warning(
                "The counters of jobs in %s cannot be read (%s): counting begins at 0.",
                self._file,
                error,
                extra={"event.action": "counters-unreadable"},
            )
            return
        if saved.layout != _LAYOUT or any(len(numbers) != NUMBERS for _, numbers in saved.series):
            return  # of another release, which counted other things
        self.since_ns, self._series = saved.since_ns, dict(saved.series)
