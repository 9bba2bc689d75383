"""The rules that a sample of Redis answers. Each returns its findings or raises NoEvidence, if it cannot tell. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from ...live.queues import QueueSample
from ...live.server import ServerSample
from ...live.workers import WorkerSample
from ..alarms import Finding
from ..evidence import Evidence
from ..gauges import fattest, time_to_limit_s
from ..options import Options
from ..sampling import Snapshot

CLOSES_BELOW = 5.0  # percentage points below the limit
AGE_CLOSES_AT = 0.8  # of the limit
CRITICAL_AGE = 3.0  # times the limit


def redis_unreachable(evidence: Evidence) -> list[Finding]:
    if evidence.redis_error is None:
        return []
    severity = evidence.options.redis_unreachable.severity
    return [_finding("redis_unreachable", "", severity, f"Redis cannot be asked: {evidence.redis_error.rstrip('.')}")]


def redis_memory(evidence: Evidence) -> list[Finding]:
    """Used memory beyond a share of maxmemory. A Redis without a limit cannot be full before its machine is."""
    snapshot, options = evidence.sample, evidence.options.redis_memory
    found = []
    for one in snapshot.servers:
        share = one.used_share
        is_open = evidence.is_open("redis_memory", one.address)
        if share is None or 100 * share < options.percent - (CLOSES_BELOW if is_open else 0):
            continue
        percent = 100 * share
        left_s = time_to_limit_s(one, snapshot.growth.get(one.run_id, 0.0))
        keys = snapshot.keys
        to_blame = [(name, keys.estimate(size)) for name, (_, size, _) in fattest(keys.jobs_by_function)]
        found.append(
            _finding(
                "redis_memory",
                one.address,
                "critical" if percent >= options.critical_percent else options.severity,
                f"Redis {one.address} is {percent:.0f} % full ({_mib(one.used_bytes)} of {_mib(one.maxmemory_bytes)})"
                f"{_left(left_s)}{_blame(to_blame)}",
                value=round(percent, 2),
                limit=options.percent,
                unit="percent",
                fields={"code.function.name": to_blame[0][0]} if to_blame else {},
                facts={
                    "policy": one.policy,
                    "used_bytes": one.used_bytes,
                    "maxmemory_bytes": one.maxmemory_bytes,
                    "time_left_s": left_s,
                    "functions": [f"{name}: {_mib(size)}" for name, size in to_blame],
                },
            )
        )
    return found


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", and at the present rate it is full in {span(seconds)}"


def _blame(functions: list[tuple[str, int]]) -> str:
    if not functions:
        return ""
    shown = ", ".join(f"{name} ({_mib(size)})" for name, size in functions[:3])
    return f". Most of its jobs' memory: {shown}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def redis_rejects(evidence: Evidence) -> list[Finding]:
    """Redis refused commands for a lack of memory, or evicted keys, since the sample before."""
    found = []
    before = {one.run_id: one for one in evidence.sample.servers_before}
    for one in evidence.sample.servers:
        earlier = before.get(one.run_id)
        if earlier is None:
            continue
        refused, evicted = one.rejected_oom - earlier.rejected_oom, one.evicted_keys - earlier.evicted_keys
        if refused <= 0 and evicted <= 0:
            continue
        found.append(_rejects(evidence.options.redis_rejects, one, refused, evicted))
    return found


def _rejects(options: Options, one: ServerSample, refused: int, evicted: int) -> Finding:
    said = [f"refused {refused} commands, as it is full"] if refused > 0 else []
    said += [f"evicted {evicted} keys (policy {one.policy}): jobs may be lost"] if evicted > 0 else []
    return _finding(
        "redis_rejects",
        one.address,
        options.severity,
        f"Redis {one.address} {' and '.join(said)}",
        value=float(refused + evicted),
        limit=0.0,
        unit="commands",
        facts={"refused": refused, "evicted": evicted, "policy": one.policy},
    )


def oldest_job(evidence: Evidence) -> list[Finding]:
    """A queue whose oldest job waits longer than the queue's objective."""
    options = evidence.options.oldest_job
    found = []
    for queue in evidence.sample.queues:
        limit = options.max_age if options.max_age is not None else evidence.objective_s(queue.name)
        age = queue.oldest_age_s(evidence.at)
        closing = AGE_CLOSES_AT if evidence.is_open("oldest_job", queue.name) else 1.0
        if queue.oldest is None or age <= limit * closing:
            continue
        severity = "critical" if age > CRITICAL_AGE * limit else options.severity
        message = (
            f"{queue.name}: the oldest of {queue.depth} jobs has waited for {span(age)}, the limit is {span(limit)}"
        )
        found.append(
            _queue_finding(
                evidence,
                "oldest_job",
                queue,
                severity,
                message,
                since=queue.oldest.at + timedelta(seconds=limit),
                value=round(age, 3),
                limit=limit,
                unit="s",
                facts={"job": queue.oldest.job_id, "depth": queue.depth},
            )
        )
    return found


def queue_depth(evidence: Evidence) -> list[Finding]:
    options = evidence.options.queue_depth
    return [
        _queue_finding(
            evidence,
            "queue_depth",
            queue,
            options.severity,
            f"{queue.name}: {queue.depth} jobs wait, the limit is {options.max}",
            value=float(queue.depth),
            limit=float(options.max),
            unit="jobs",
        )
        for queue in evidence.sample.queues
        if queue.depth > options.max * (AGE_CLOSES_AT if evidence.is_open("queue_depth", queue.name) else 1.0)
    ]


def no_worker(evidence: Evidence) -> list[Finding]:
    """A queue with jobs, and nobody who works on it."""
    options = evidence.options.no_worker
    found = []
    for queue in evidence.sample.queues:
        live = sum(worker.is_live for worker in evidence.sample.workers_of(queue.name))
        if live >= options.min_workers or not (queue.depth or options.always):
            continue
        who = "no live worker" if not live else f"{live} live workers of at least {options.min_workers}"
        found.append(
            _queue_finding(
                evidence,
                "no_worker",
                queue,
                options.severity,
                f"{queue.name}: {queue.depth} jobs wait, and there is {who}",
                value=float(live),
                limit=float(options.min_workers),
                unit="workers",
                facts={"depth": queue.depth},
            )
        )
    return found


def worker_silent(evidence: Evidence) -> list[Finding]:
    """A worker that neither ended in order nor beats any more."""
    options = evidence.options.worker_silent
    found = []
    for worker in evidence.sample.workers:
        if worker.is_live:
            continue
        found.append(
            _finding(
                "worker_silent",
                worker.name,
                options.severity,
                f"The worker {worker.name} is not heard of any more{_last_of(worker, evidence)}",
                fields=_worker_fields(worker),
                facts={"queues": list(worker.queues), "pid": worker.pid},
                service=evidence.service_of(worker.queues[0]) if worker.queues else None,
            )
        )
    return found


def _last_of(worker: WorkerSample, evidence: Evidence) -> str:
    parts = []
    if worker.last_heartbeat:
        parts.append(f"its last heartbeat was {span((evidence.at - worker.last_heartbeat).total_seconds())} ago")
    if worker.is_subscribed is False:
        parts.append("it is not connected to Redis")
    if worker.running:
        parts.append(f"it was running {worker.running[0].function or 'job ' + worker.running[0].job_id}")
    return f" ({'; '.join(parts)})" if parts else ""


def _worker_fields(worker: WorkerSample) -> dict[str, Any]:
    fields: dict[str, Any] = {"messaging.client.id": worker.name}
    if worker.host:
        fields["host.name"] = worker.host
    if worker.running:
        fields["messaging.message.id"] = worker.running[0].job_id
    return fields


def cron_missed(evidence: Evidence) -> list[Finding]:
    """A cron job whose run did not come."""
    options, crons = evidence.options.cron_missed, evidence.sample.crons
    grace = timedelta(seconds=options.grace)
    found = []
    for state in evidence.crons.values():
        if not state.is_late(evidence.at, grace) or state.next_at is None:
            continue
        one = state.sample
        late = span((evidence.at - state.next_at).total_seconds())
        alive = any(one.scheduler == other.scheduler for other in crons)
        why = "" if alive else ". Its scheduler does not run any more"
        found.append(
            _finding(
                "cron_missed",
                f"{one.name} ({one.schedule})",
                options.severity,
                f"The cron job {one.name} ({one.schedule}) was due {late} ago and was not enqueued{why}",
                since=state.next_at,
                value=float(max(1, state.missed)),
                unit="runs",
                fields={"code.function.name": one.function, "messaging.destination.name": one.queue},
                facts={"scheduler": one.scheduler, "host": one.host},
                service=evidence.service_of(one.queue),
            )
        )
    return found


def clock_skew(evidence: Evidence) -> list[Finding]:
    """Times in the future: the clock of whoever wrote them, or of this host, is wrong."""
    return list(_ahead(evidence, evidence.sample))


def _ahead(evidence: Evidence, snapshot: Snapshot) -> Iterator[Finding]:
    options = evidence.options.clock_skew
    limit = timedelta(seconds=options.max)
    seen = []
    for queue in snapshot.queues:
        if queue.oldest and queue.oldest.at - snapshot.read_at > limit:
            seen.append((f"queue {queue.name}", queue.oldest.at, f"the oldest job of {queue.name} was enqueued"))
    for worker in snapshot.workers:
        if worker.last_heartbeat and worker.last_heartbeat - snapshot.read_at > limit:
            where = worker.host or worker.name
            seen.append((f"host {where}", worker.last_heartbeat, f"the worker {worker.name} on {where} last beat"))
    for subject, at, what in seen:
        ahead = (at - snapshot.read_at).total_seconds()
        yield _finding(
            "clock_skew",
            subject,
            options.severity,
            f"By its clock {what} {ahead:.0f} s in the future",
            value=round(ahead, 3),
            limit=options.max,
            unit="s",
        )
    for one in snapshot.servers:
        if abs(one.clock_offset_s) > options.max:
            yield _finding(
                "clock_skew",
                f"redis {one.address}",
                options.severity,
                f"The clock of Redis {one.address} differs by {one.clock_offset_s:.1f} s from this host's",
                value=round(one.clock_offset_s, 3),
                limit=options.max,
                unit="s",
            )


def span(seconds: float) -> str:
    """A time for people: 45 s, 12 min, 3.5 h, 2.1 days."""
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if abs(seconds) < limit:
            return f"{seconds / size:.{0 if size < 3600 else 1}f} {unit}"
    return f"{seconds / 86_400:.1f} days"


def _finding(rule: str, subject: str, severity: Any, message: str, **more: Any) -> Finding:
    return Finding(rule=rule, subject=subject, severity=severity, message=f"{message}.", **more)


def _queue_finding(
    evidence: Evidence, rule: str, queue: QueueSample, severity: Any, message: str, **more: Any
) -> Finding:
    return _finding(
        rule,
        queue.name,
        severity,
        message,
        fields={"messaging.destination.name": queue.name},
        service=evidence.service_of(queue.name),
        **more,
    )
