"""The shipper's status: one snapshot for the status file, the status records and the metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ..records import Record, begin, record_id, timestamp
from ..service import ServiceInfo
from . import pulse
from .reader.framer import CHECKED_IN
from .source.tail import name_of

FILE = "status.json"
STALE_S = 15.0  # with an older status file, the shipper does not run any more


@dataclass(slots=True)
class Counts:
    """Counters since the start.

    `indexed`, `duplicates`, `dead`: records indexed, already indexed before, and lines in the dead letters.
    `not_indexed`: records that Elasticsearch took and did not index. `waiting_bytes`: documents whose index takes none.
    `retries`: requests that were retried. `sent_bytes`: bytes of acknowledged lines.
    `lag_ms`: from the newest record's timestamp to its indexing.
    `error`: why requests fail now; None if they succeed. `error_since`: a Unix time.
    """

    indexed: int = 0
    duplicates: int = 0
    dead: int = 0
    not_indexed: int = 0
    waiting_bytes: int = 0
    retries: int = 0
    sent_bytes: int = 0
    lag_ms: int | None = None
    error: str | None = None
    error_since: float | None = None


@dataclass(slots=True)  # a frozen one takes three times as long to create, and there are thousands
class FileStatus:
    """The position in one file. `backlog_age_s`: seconds for which it has not moved though there is a backlog."""

    path: str
    position: int
    size: int
    backlog_bytes: int
    backlog_age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A snapshot of the shipper. Rates are means since the previous snapshot; counters are since the start."""

    at: str
    pid: int
    started_at: str
    state: str
    """shipping, waiting (requests fail and are retried), stuck (the main loop hangs), stopped, or standby (another
    shipper has the state folder).
    """
    elasticsearch: str
    checked_in: str
    """The implementation that checks lines: C if it could be compiled, else Python."""
    files: list[FileStatus] = field(default_factory=list)
    backlog_bytes: int = 0
    backlog_age_s: float = 0.0
    indexed: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    not_indexed: int = 0
    """Records that Elasticsearch took and did not index: a pipeline dropped them, or a failure store has them."""
    waiting_bytes: int = 0
    """Documents whose index takes none now, in the state folder."""
    retries: int = 0
    lag_ms: int | None = None
    records_per_s: float = 0.0
    bytes_per_s: float = 0.0
    memory_bytes: int = 0
    last_error: str | None = None
    last_error_at: str | None = None
    retrying_s: float = 0.0
    """Seconds for which requests have been failing; 0 if they succeed."""
    pulse_age_s: float = 0.0
    """Seconds since the main loop last did something."""
    not_listening: str | None = None
    """Why there are no metrics at the address of the setting `listen`: another process has it."""


class Watcher:
    """Makes snapshots. Keeps the counters of the previous one for the rates."""

    def __init__(self, counts: Counts, elasticsearch: str) -> None:
        self._counts = counts
        self._elasticsearch = elasticsearch
        self._started = datetime.now(UTC)
        self._before = (time.monotonic(), 0, 0)
        self._last_error: tuple[str, float] | None = None
        self.not_listening: str | None = None

    def look(self, files: Iterable[Any], *, stopped: bool = False) -> Status:
        """A snapshot. Not thread-safe. `files` are TailedFile or CompressedFile."""
        counts, now = self._counts, time.monotonic()
        then, records, sent = self._before
        done = counts.indexed + counts.duplicates
        elapsed = max(now - then, 1e-3)
        self._before = (now, done, counts.sent_bytes)
        if counts.error is not None:
            self._last_error = (counts.error, time.time())
        statuses = [file_status(file) for file in files]
        error, error_at = self._last_error or (None, None)
        return Status(
            at=timestamp(datetime.now(UTC)),
            pid=os.getpid(),
            started_at=timestamp(self._started),
            state=_state(counts, stopped=stopped),
            elasticsearch=self._elasticsearch,
            checked_in=CHECKED_IN,
            files=statuses,
            backlog_bytes=sum(one.backlog_bytes for one in statuses),
            backlog_age_s=max((one.backlog_age_s for one in statuses), default=0.0),
            indexed=counts.indexed,
            duplicates=counts.duplicates,
            not_indexed=counts.not_indexed,
            waiting_bytes=counts.waiting_bytes,
            dead_letters=counts.dead,
            retries=counts.retries,
            lag_ms=counts.lag_ms,
            records_per_s=round((done - records) / elapsed, 1),
            bytes_per_s=round((counts.sent_bytes - sent) / elapsed, 1),
            memory_bytes=resident_bytes(),
            last_error=error,
            last_error_at=timestamp(datetime.fromtimestamp(error_at, UTC)) if error_at else None,
            retrying_s=round(time.time() - counts.error_since, 1) if counts.error_since else 0.0,
            pulse_age_s=round(pulse.age_s(), 1),
            not_listening=self.not_listening,
        )


def _state(counts: Counts, *, stopped: bool) -> str:
    if stopped:
        return "stopped"
    if counts.error:
        return "waiting"
    return "stuck" if pulse.age_s() > pulse.STUCK_AFTER_S else "shipping"


def file_status(file: Any) -> FileStatus:
    """The status of a tailed file."""
    size = file.size
    behind = file.backlog(size)
    age = round(time.monotonic() - file.moved_at, 1) if behind else 0.0
    return FileStatus(name_of(file), file.acknowledged, size, behind, age)


def record(status: Status, service: ServiceInfo) -> Record:
    """The status as a record of the dataset `rq.shipper`, with the number of files instead of each file."""
    at = datetime.fromisoformat(status.at)
    numbers = (
        "backlog_bytes", "backlog_age_s", "lag_ms", "records_per_s", "bytes_per_s", "indexed", "duplicates",
        "dead_letters", "retries", "memory_bytes", "retrying_s", "waiting_bytes", "not_indexed",
    )  # fmt: skip
    behind = f", {status.backlog_bytes} bytes behind" if status.backlog_bytes else ""
    identifier = record_id(at, service.host["name"], str(status.pid), status.started_at, status.at)
    event = {"kind": "metric", "category": ["process"], "type": ["info"], "action": "shipper-status"}
    return begin(status.at, identifier, "rq.shipper", event) | {
        "ecs": service.ecs,
        "message": f"{status.state}: {status.records_per_s:g} records/s{behind}",
        "service": {**service.service, "name": "shipper"},
        "host": service.host,
        "process": {"pid": status.pid},
        "shipper": {
            **{name: value for name in numbers if (value := getattr(status, name)) is not None},
            "state": status.state,
            "files": len(status.files),
        },
    }


def write(status: Status, folder: Path) -> None:
    """Write the status file for `shipper status`, atomically but without fsync. Raises OSError."""
    aside = folder / f"{FILE}.new"
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as out:
        out.write(orjson.dumps(status))  # 1 ms for a thousand files
    aside.rename(folder / FILE)


def read(folder: Path) -> dict[str, Any] | None:
    """The content of the status file; None if there is none or it cannot be read."""
    try:
        status = orjson.loads((folder / FILE).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return status if isinstance(status, dict) else None


def resident_bytes() -> int:
    """The resident memory of this process (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
