"""Workers as they are now: their state, heartbeat and what they run."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from redis.exceptions import ResponseError
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from ..fields import moment
from ..job_fields import text
from . import functions, keys
from .connection import nodes

# At each beat RQ sets the expiry of a worker's key to a minute or more after the next beat is due: that is 480 s with a
# beat each 405 s for a waiting worker by default, and 90 s with a beat each 30 s while a job runs.
LATE_BELOW_S = 45.0  # so with less than this remaining, a beat is overdue by 15 s or more

_FIELDS = (
    "state",
    "queues",
    "hostname",
    "pid",
    "birth",
    "death",
    "last_heartbeat",
    "successful_job_count",
    "failed_job_count",
    "total_working_time",
    "version",
    "current_job",  # before RQ 3
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A job that a worker runs. `since`: when this execution started. None where Redis does not say."""

    job_id: str
    execution_id: str | None = None
    function: str | None = None
    queue: str | None = None
    since: datetime | None = None
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSample:
    """One worker that has not said that it ended.

    `state`: RQ's (starting, started, busy, idle, suspended); `gone` if its key has expired and its name is still in
    RQ's list, which only maintenance cleans: nobody heard of it for longer than it promised.
    `expires_in_s`: seconds until its key expires, unless it beats before. None if it is gone.
    `is_subscribed`: it listens to its channel for commands, as each worker does: a process that was killed does not any
    more, long before its heartbeat is overdue. None if Redis does not tell.
    `rss_bytes`: memory of the worker and its children, only if it runs on this host.
    """

    name: str
    state: str
    queues: tuple[str, ...] = ()
    host: str | None = None
    pid: int | None = None
    birth: datetime | None = None
    last_heartbeat: datetime | None = None
    expires_in_s: float | None = None
    is_subscribed: bool | None = None
    running: tuple[Running, ...] = ()
    successes: int = 0
    failures: int = 0
    working_s: float = 0.0
    rq_version: str | None = None
    rss_bytes: int | None = None

    @property
    def is_busy(self) -> bool:
        return bool(self.running) or self.state == "busy"

    @property
    def is_late(self) -> bool:
        """Whether its heartbeat is overdue, or its key has expired."""
        return self.state == "gone" or (self.expires_in_s is not None and self.expires_in_s < LATE_BELOW_S)

    @property
    def is_live(self) -> bool:
        """Whether it still beats and is connected to Redis."""
        return not self.is_late and self.is_subscribed is not False


def names(connection: Any, queue: str | None = None) -> list[str]:
    """The names of all workers, or of a queue's, sorted. Some may be gone. Raises redis.RedisError."""
    key = keys.WORKERS if queue is None else keys.workers_of(queue)
    return sorted(keys.worker_name(raw) for raw in connection.smembers(key))


def read(connection: Any, wanted: Sequence[str] | None = None) -> list[WorkerSample]:
    """All workers, or those wanted, without those that said that they ended. A few round trips for all of them.

    Raises redis.RedisError.
    """
    workers = names(connection) if wanted is None else list(wanted)
    answers = keys.ask(
        connection,
        (
            command
            for name in workers
            for command in (
                ("hmget", f"{keys.WORKER_PREFIX}{name}", _FIELDS),
                ("pttl", f"{keys.WORKER_PREFIX}{name}"),
                ("smembers", keys.executions_of_worker(name)),
            )
        ),
    )
    stored: dict[str, dict[str, str]] = {}
    expiry: dict[str, float | None] = {}
    executions: list[tuple[str, str, str | None]] = []
    for number, name in enumerate(workers):
        values, ttl_ms, active = answers[3 * number : 3 * number + 3]
        fields = {field: text(value) for field, value in zip(_FIELDS, values, strict=True) if value}
        stored[name] = fields
        expiry[name] = ttl_ms / 1000 if ttl_ms >= 0 else None
        for raw in active or ([fields["current_job"]] if fields.get("current_job") else []):
            job_id, _, execution_id = text(raw).partition(":")
            executions.append((name, job_id, execution_id or None))
    running = _running(connection, executions)
    subscribed = _subscribed(connection, workers)
    return [
        _sample(name, stored[name], expiry[name], subscribed.get(name), tuple(running.get(name, ())))
        for name in workers
        if "death" not in stored[name]
    ]


def _subscribed(connection: Any, workers: Sequence[str]) -> dict[str, bool]:
    """Worker → whether somebody listens to its channel. {} if this Redis, or an access control list, has no answer."""
    if not workers:
        return {}
    channels = [PUBSUB_CHANNEL_TEMPLATE % name for name in workers]
    counts = dict.fromkeys(channels, 0)
    try:
        for node in nodes(connection):
            for channel, count in node.pubsub_numsub(*channels):
                counts[text(channel)] += count
    except ResponseError:
        return {}
    return {name: counts[channel] > 0 for name, channel in zip(workers, channels, strict=True)}


def _running(connection: Any, executions: Sequence[tuple[str, str, str | None]]) -> dict[str, list[Running]]:
    job_ids = [job_id for _, job_id, _ in executions]
    named = functions.of(connection, list(dict.fromkeys(job_ids)))
    answers = keys.ask(
        connection, (("hmget", keys.job(job_id), "started_at", "origin", "timeout") for job_id in job_ids)
    )
    found: dict[str, list[Running]] = {}
    for (worker, job_id, execution_id), (started, origin, timeout) in zip(executions, answers, strict=True):
        found.setdefault(worker, []).append(
            Running(
                job_id=job_id,
                execution_id=execution_id,
                function=named.get(job_id),
                queue=text(origin) if origin else None,
                since=moment(text(started)) if started else None,
                timeout_s=_seconds(text(timeout)) if timeout else None,
            )
        )
    return found


def _seconds(stored: str) -> float | None:
    """RQ's timeout of a job in seconds; None for -1, which is none at all."""
    try:
        seconds = float(stored)
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _sample(
    name: str,
    fields: dict[str, str],
    expires_in_s: float | None,
    is_subscribed: bool | None,
    running: tuple[Running, ...],
) -> WorkerSample:
    if not fields:
        return WorkerSample(name=name, state="gone", is_subscribed=is_subscribed)
    host, pid = fields.get("hostname"), _int(fields.get("pid"))
    return WorkerSample(
        name=name,
        state=fields.get("state", "?"),
        queues=tuple(part for part in fields.get("queues", "").split(",") if part),
        host=host,
        pid=pid,
        birth=moment(fields.get("birth", "")),
        last_heartbeat=moment(fields.get("last_heartbeat", "")),
        expires_in_s=expires_in_s,
        is_subscribed=is_subscribed,
        running=running,
        successes=_int(fields.get("successful_job_count")) or 0,
        failures=_int(fields.get("failed_job_count")) or 0,
        working_s=float(fields.get("total_working_time") or 0.0),
        rq_version=fields.get("version"),
        rss_bytes=rss_of(pid) if pid and host == socket.gethostname() else None,
    )


def _int(stored: str | None) -> int | None:
    return int(stored) if stored and stored.isdigit() else None


_PAGE = 4096


def rss_of(pid: int) -> int | None:
    """The resident memory of a process of this host and its children, in bytes. None if it is not RQ's, or is gone.

    A container's pid may be another process here: it counts only if its command line names rq or the shipper.
    """
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        if b"rq" not in command and b"shipper" not in command:
            return None
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(_resident(one) for one in (str(pid), *children))
    except OSError:
        return None


def _resident(pid: str) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0
