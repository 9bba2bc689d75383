"""Snapshot → records of the datasets rq.queue, rq.worker, rq.redis and rq.cron (`event.kind: metric`). Pure.

A record's id follows from its subject and the time of the sample, so of two watchers' records one is indexed.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..live.cron import CronSample
from ..live.queues import QueueSample
from ..live.server import ServerSample
from ..live.workers import WorkerSample
from ..records import Record, begin, record_id, timestamp
from ..service import ServiceInfo
from .crons import CronState
from .sampling import Snapshot

# A queue in which nothing happens has a record of each REST-th sample: 1,000 idle ones are not 1,000 records each time.
REST = 20
FATTEST = 5  # functions in the record of a Redis

_ACTIONS = {
    "rq.queue": "queue-sampled",
    "rq.worker": "worker-sampled",
    "rq.redis": "redis-sampled",
    "rq.cron": "cron-sampled",
}
_COUNTS = (
    "in_flight", "scheduled", "deferred", "started", "abandoned", "finished", "failed", "canceled", "ready",
    "rate_limited",
)  # fmt: skip
_FACTS = (
    "version", "role", "used_bytes", "peak_bytes", "maxmemory_bytes", "policy", "fragmentation", "evicted_keys",
    "expired_keys", "rejected_commands", "rejected_oom", "rejected_connections", "clients", "blocked_clients",
    "max_clients", "keys", "uptime_s",
)  # fmt: skip


def records(
    snapshot: Snapshot,
    before: Snapshot | None,
    service: ServiceInfo,
    objective_of: Mapping[str, float],
    crons: Mapping[str, CronState],
) -> Iterator[Record]:
    """The records of a snapshot. `objective_of`: queue → seconds. `crons`: key of a cron job → what is known of it."""
    earlier = {one.name: one for one in before.queues} if before else {}
    for queue in snapshot.queues:
        if not _is_resting(queue, earlier.get(queue.name), snapshot):
            yield _queue(queue, snapshot, service, objective_of.get(queue.name))
    for worker in snapshot.workers:
        yield _worker(worker, snapshot, service)
    servers = {one.run_id: one for one in before.servers} if before else {}
    for one in snapshot.servers:
        yield _server(one, servers.get(one.run_id), snapshot, service)
    for cron in snapshot.crons:
        yield _cron(cron, crons.get(cron.key), snapshot, service)


def _is_resting(queue: QueueSample, before: QueueSample | None, snapshot: Snapshot) -> bool:
    if before != queue or queue.depth or queue.started:
        return False
    turn = zlib.crc32(queue.name.encode()) % REST
    number = int(snapshot.at.timestamp() // (snapshot.elapsed_s or 1.0))
    return number % REST != turn


def _queue(one: QueueSample, snapshot: Snapshot, service: ServiceInfo, objective_s: float | None) -> Record:
    workers = [worker for worker in snapshot.workers_of(one.name) if worker.is_live]
    busy = sum(worker.is_busy for worker in workers)
    flow = snapshot.flows.get(one.name)
    came = left = None
    if flow is not None and snapshot.elapsed_s:
        came, left = flow.enqueued / snapshot.elapsed_s, flow.dequeued / snapshot.elapsed_s
    age = one.oldest_age_s(snapshot.at)
    fields = {
        "depth": one.depth,
        "oldest_age_s": round(age, 3),
        "oldest_at": timestamp(one.oldest.at) if one.oldest else None,
        "oldest_job_id": one.oldest.job_id if one.oldest else None,
        **{name: getattr(one, name) for name in _COUNTS},
        "workers": len(workers),
        "busy_workers": busy,
        "utilization": round(busy / len(workers), 3) if workers else None,
        "enqueued_per_s": _rounded(came),
        "dequeued_per_s": _rounded(left),
        "time_to_empty_s": time_to_empty_s(one.depth, came, left),
        "objective_s": objective_s,
        "is_suspended": snapshot.is_suspended or None,
    }
    waits = f", the oldest for {age:.0f} s" if one.oldest else ""
    return _record(
        "rq.queue",
        one.name,
        snapshot,
        service,
        message=f"{one.name}: {one.depth} waiting{waits}; {busy} of {len(workers)} workers busy",
        messaging={"system": "rq", "destination": {"name": one.name}},
        queue=one.name,
        fields={"queue": fields},
    )


def time_to_empty_s(depth: int, came_per_s: float | None, left_per_s: float | None) -> float | None:
    """Seconds until a queue is empty at the present rates. None if it grows, stands still, or the rates are unknown."""
    if not depth:
        return 0.0
    if came_per_s is None or left_per_s is None or left_per_s <= came_per_s:
        return None
    return round(depth / (left_per_s - came_per_s), 1)


def _worker(one: WorkerSample, snapshot: Snapshot, service: ServiceInfo) -> Record:
    running = one.running[0] if one.running else None
    messaging: dict[str, Any] = {"system": "rq", "client": {"id": one.name}}
    if running:
        messaging["message"] = {"id": running.job_id}
        messaging |= {"destination": {"name": running.queue}} if running.queue else {}
    busy_s = _age(running.since, snapshot.at) if running else None
    doing = f"runs {running.function or 'a job'}" if running else "is idle"
    fields = {
        "state": one.state,
        "is_live": one.is_live,
        "queues": list(one.queues) or None,
        "version": one.rq_version,
        "born_at": _time(one.birth),
        "last_heartbeat": _time(one.last_heartbeat),
        "heartbeat_age_s": _age(one.last_heartbeat, snapshot.at),
        "running_jobs": len(one.running),
        "started_at": _time(running.since) if running else None,
        "busy_s": busy_s,
        "rss_bytes": one.rss_bytes,
        "successes": one.successes,
        "failures": one.failures,
        "working_s": round(one.working_s, 3),
    }
    record = _record(
        "rq.worker",
        f"{one.name}\0{_time(one.birth)}",
        snapshot,
        service,
        message=f"{one.name} {doing}" if one.is_live else f"{one.name} is not heard of any more",
        messaging=messaging,
        queue=one.queues[0] if one.queues else None,
        fields={"worker": fields},
    )
    if running and running.function:
        record["code"] = {"function": {"name": running.function}}
    if one.pid:
        record["process"] = {"pid": one.pid}
    if one.host:
        record["host"] = {"name": one.host}
    return record


def _server(one: ServerSample, before: ServerSample | None, snapshot: Snapshot, service: ServiceInfo) -> Record:
    elapsed = snapshot.elapsed_s if before and before.uptime_s <= one.uptime_s else None
    growth = snapshot.growth.get(one.run_id, 0.0)
    share = one.used_share
    fields: dict[str, Any] = {
        **{name: getattr(one, name) for name in _FACTS},
        "used_percent": round(100 * share, 2) if share is not None else None,
        "bytes_per_s": round(growth, 1),
        "time_to_limit_s": time_to_limit_s(one, growth),
    }
    if before and elapsed:
        fields["commands_per_s"] = round((one.commands - before.commands) / elapsed, 1)
        fields["cpu_percent"] = round(100 * (one.cpu_s - before.cpu_s) / elapsed, 2)
    keys = snapshot.keys
    fields["sampled_keys"] = keys.taken
    fields["bytes_by_kind"] = {kind: keys.estimate(size) for kind, size in sorted(keys.by_kind.items())} or None
    fields["fattest"] = [
        {"function": name, "jobs": keys.estimate(jobs), "bytes": keys.estimate(size), "largest_payload_bytes": largest}
        for name, (jobs, size, largest) in fattest(keys.jobs_by_function)
    ] or None
    used = f"{one.used_bytes / 2**20:.1f} MiB"
    limit = f" of {one.maxmemory_bytes / 2**20:.1f} MiB ({100 * share:.0f} %)" if share is not None else ""
    record = _record(
        "rq.redis",
        one.run_id,
        snapshot,
        service,
        message=f"Redis {one.address}/{one.database} uses {used}{limit}",
        messaging={"system": "rq"},
        queue=None,
        fields={},
    )
    record["rq"]["redis"] = {
        "address": one.address,
        "database": one.database,
        "run_id": one.run_id,
        **_present(fields),
    }
    return record


def time_to_limit_s(one: ServerSample, bytes_per_s: float) -> float | None:
    """Seconds until Redis is full at this rate. None without a limit, or if it does not grow."""
    if not one.maxmemory_bytes or bytes_per_s <= 0:
        return None
    return round(max(0, one.maxmemory_bytes - one.used_bytes) / bytes_per_s, 1)


def fattest(jobs_by_function: Mapping[str, tuple[int, int, int]]) -> list[tuple[str, tuple[int, int, int]]]:
    """(function, (jobs, bytes, largest payload)) of a sample, those with the most bytes first."""
    return sorted(jobs_by_function.items(), key=lambda one: -one[1][1])[:FATTEST]


def _cron(one: CronSample, known: CronState | None, snapshot: Snapshot, service: ServiceInfo) -> Record:
    next_at = known.next_at if known else one.next
    fields = {
        "name": one.name,
        "schedule": one.schedule,
        "last_at": _time(one.last),
        "next_at": _time(next_at),
        "missed": known.missed if known else 0,
        "is_late": bool(known and known.is_late(snapshot.at)),
        "scheduler": one.scheduler,
        "scheduler_host": one.host,
        "last_seen_at": _time(one.beat_at),
        "outcomes": dict(one.outcomes) or None,
    }
    record = _record(
        "rq.cron",
        one.key,
        snapshot,
        service,
        message=f"{one.name} ({one.schedule}): last {_time(one.last) or 'never'}, next {_time(next_at) or 'unknown'}",
        messaging={"system": "rq", "destination": {"name": one.queue}},
        queue=one.queue,
        fields={"cron": fields},
    )
    record["code"] = {"function": {"name": one.function}}
    return record


def _record(
    dataset: str,
    subject: str,
    snapshot: Snapshot,
    service: ServiceInfo,
    *,
    message: str,
    messaging: dict[str, Any],
    queue: str | None,
    fields: dict[str, dict[str, Any]],
) -> Record:
    named = service.service_of(queue)
    first = min(snapshot.servers, key=lambda one: one.run_id, default=None)
    where = {"address": first.address, "database": first.database, "run_id": first.run_id} if first else {}
    database = str(first.database) if first else ""
    identifier = record_id(snapshot.at, dataset, named.get("name", ""), snapshot.redis_id, database, subject)
    event = {"kind": "metric", "category": ["process"], "type": ["info"], "action": _ACTIONS[dataset]}
    return begin(timestamp(snapshot.at), identifier, dataset, event) | {
        "ecs": service.ecs,
        "message": message,
        "service": named,
        "host": service.host,
        "messaging": messaging,
        "rq": {**{name: _present(part) for name, part in fields.items()}, "redis": where},
    }


def _present(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 3)


def _time(at: datetime | None) -> str | None:
    return timestamp(at) if at else None


def _age(at: datetime | None, now: datetime) -> float | None:
    return round(max(0.0, (now - at).total_seconds()), 3) if at else None
