"""Counts the records of jobs that Elasticsearch accepted for the first time, and tells whoever is configured.

A record is accepted once: when it is sent again, after a crash or because no response came, Elasticsearch answers 409,
and it is not counted. So a count is never too high; it is too low if the response that accepted a record was lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson

from ...records import parse_timestamp
from ...settings import Settings
from ..bulk.backoff import LogThrottle
from ..bulk.batch import Batch, BulkRequest, ItemsRequest
from ..reader.items import FramedLines, Item
from .counter import JobCounter
from .tally import PlainTally

if TYPE_CHECKING:
    from .otlp import Otlp
    from .spans import ResourceKey
    from .statsd import StatsD

log = logging.getLogger("shipper")

STATSD_EVERY_S = 1.0
STOP_S = 5.0  # for what is left to be sent at the end


class Counting:
    """The counters, and those who are told of them. Raises SettingsError if a package is missing.

    `persistent`: the counters go on where they were, from the state folder. Only for the owner of the folder.
    """

    def __init__(self, settings: Settings, *, persistent: bool = True) -> None:
        self.counter = JobCounter(
            settings.state if persistent else None, settings.label_sets, samples=settings.statsd is not None
        )
        self._fresh_s = settings.fresh_s
        self._otlp = _otlp(settings, self.counter, persistent=persistent)
        self._statsd = _StatsDThread(_statsd(settings.statsd, self.counter, settings)) if settings.statsd else None
        self._disk, self._trouble = LogThrottle(), LogThrottle()

    def start(self) -> None:
        if self._statsd is not None:
            self._statsd.start()
        if self._otlp is not None:
            self._otlp.start()

    def stop(self) -> None:
        """Send what is left, and save the counters."""
        if self._statsd is not None:
            self._statsd.stop()
        if self._otlp is not None:
            self._otlp.stop(STOP_S)
        self.save()

    def save(self) -> None:
        """Save the counters. A failure is logged."""
        try:
            self.counter.save()
            self._disk.over()
        except OSError as error:
            if self._disk.due():
                log.warning(
                    "The counters of jobs cannot be saved: %s. It is tried again every second.",
                    error.strerror,
                    extra={"event.action": "counters-unwritable"},
                )

    def add(self, accepted: Iterable[BulkRequest]) -> None:
        """Count requests of which each document was created. Never raises: shipping goes on whatever is wrong here."""
        try:
            self._add(accepted)
        except Exception:
            if self._trouble.due():
                log.exception("Records of jobs could not be counted.", extra={"event.action": "counting-failed"})

    def _add(self, accepted: Iterable[BulkRequest]) -> None:
        for request in accepted:
            framed, items = _parts(request)
            plain: list[Item] = []
            for lines in framed:
                # Of lines that waited for long, each is looked at: is it still of now?
                if lines.tally is None or time.monotonic() - lines.tally.made_at > self._fresh_s / 10:
                    plain += lines.items()
                else:
                    self.counter.add(lines.tally.series())
            plain += items
            if plain:
                self.counter.add(self._tally(plain).series())
            if self._otlp is not None:
                self._otlp.add(list(_spans(framed, items)))

    def _tally(self, items: Sequence[Item]) -> PlainTally:
        tally, since = PlainTally(), datetime.now(UTC) - timedelta(seconds=self._fresh_s)
        for item in items:
            if _is_job(item.document.action):
                record = orjson.loads(item.document.source)
                tally.add(record, fresh=_time(record.get("@timestamp")) >= since)
        return tally


def check(settings: Settings) -> None:
    """Raise SettingsError if what the settings ask for needs a package that is not installed."""
    if settings.otlp is not None:
        from . import otlp  # noqa: F401 - it says what is missing


def from_settings(settings: Settings, *, persistent: bool = True) -> Counting | None:
    """The counting that the settings ask for; None if they ask for none. Raises SettingsError."""
    if not settings.counts:
        return None
    return Counting(settings, persistent=persistent)


class _StatsDThread:
    """Sends every second, also while Elasticsearch is waited for."""

    def __init__(self, statsd: StatsD) -> None:
        self._statsd = statsd
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="statsd", daemon=True)
        self._throttle = LogThrottle()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while not self._stopped.wait(STATSD_EVERY_S):
            self._send()
        self._send()

    def _send(self) -> None:
        try:
            self._statsd.send()
            self._throttle.over()
        except (OSError, UnicodeError) as error:  # the latter for a host that can be no name
            if self._throttle.due():
                log.warning("StatsD cannot be told of jobs: %s.", error, extra={"event.action": "statsd-failed"})


def _statsd(address: str, counter: JobCounter, settings: Settings) -> StatsD:
    from .statsd import StatsD

    return StatsD(address, counter, tagged=settings.statsd_tags)


def _otlp(settings: Settings, counter: JobCounter, *, persistent: bool) -> Otlp | None:
    if settings.otlp is None:
        return None
    from .otlp import Otlp

    folder = settings.state if persistent else None
    return Otlp(settings.otlp, settings.otlp_headers, counter, settings.environment, folder)


def _parts(request: BulkRequest) -> tuple[Sequence[FramedLines], Sequence[Item]]:
    """(lines that are counted already, documents that are not) of a request."""
    if isinstance(request, Batch):
        return request.framed, request.others
    return (), request.documents if isinstance(request, ItemsRequest) else ()


def _spans(framed: Iterable[FramedLines], items: Iterable[Item]) -> Iterator[tuple[ResourceKey, bytes]]:
    from .spans import span

    for action, source in _documents(framed, items):
        if _is_job(action) and (made := span(source)) is not None:
            yield made


def _documents(framed: Iterable[FramedLines], items: Iterable[Item]) -> Iterator[tuple[bytes, bytes]]:
    for lines in framed:
        parts = iter(bytes(lines.body).split(b"\n")[:-1])
        yield from zip(parts, parts, strict=True)
    for item in items:
        if item.document.is_record:
            yield item.document.action, item.document.source


def _is_job(action: bytes) -> bool:
    return action.startswith(b'{"create":{"_index":"rq-job-')


def _time(text: object) -> datetime:
    try:
        return parse_timestamp(text) if isinstance(text, str) else _LONG_AGO
    except ValueError:
        return _LONG_AGO


_LONG_AGO = datetime.fromtimestamp(0, UTC)
