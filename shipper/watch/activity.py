"""Hosts whose workers end jobs of which no record arrives. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from ..live.workers import WorkerSample

CLOCKS = timedelta(seconds=30)  # that the clocks of two hosts may differ by


def ended_since(before: Iterable[WorkerSample], now: Iterable[WorkerSample]) -> set[str]:
    """The hosts on which a worker ended a job between two samples."""
    known = {(one.name, one.birth): one.successes + one.failures for one in before}
    return {
        one.host
        for one in now
        if one.host and one.successes + one.failures > known.get((one.name, one.birth), one.successes + one.failures)
    }


def unheard(
    before: Mapping[str, datetime], active: Iterable[str], last_records: Mapping[str, datetime], now: datetime
) -> dict[str, datetime]:
    """Host → since when its workers end jobs of which no record has arrived.

    `before`: the answer before. `active`: hosts on which a job ended since. `last_records`: host → its last record.
    """
    waiting = {**{host: now for host in active}, **before}
    return {host: since for host, since in waiting.items() if not _is_heard(host, since, last_records)}


def _is_heard(host: str, since: datetime, last_records: Mapping[str, datetime]) -> bool:
    return host in last_records and last_records[host] >= since - CLOCKS
