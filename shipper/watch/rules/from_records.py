"""The rules that the records in Elasticsearch answer. Each returns findings or raises NoEvidence. Pure."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..alarms import Finding
from ..evidence import Evidence
from .from_redis import AGE_CLOSES_AT, span

# (long window, short window, how many times the error budget is used, severity): Google's SRE workbook, chapter 5.
# The long window shows that it matters, the short one that it still goes on.
BURN_RATES = ((3600, 300, 14.4, "critical"), (21_600, 1800, 6.0, "warning"))
LATE_AT_LEAST = 5  # jobs: one late job of three is no trend


def elasticsearch_unreachable(evidence: Evidence) -> list[Finding]:
    if evidence.elasticsearch_error is None:
        _ = evidence.records  # it was not asked: nobody can tell
        return []
    severity = evidence.options.elasticsearch_unreachable.severity
    message = (
        f"{evidence.elasticsearch_error} Records wait in the log until it is there; the alarms that rest on records "
        "are blind."
    )
    return [_finding("elasticsearch_unreachable", "", severity, message)]


def latency(evidence: Evidence) -> list[Finding]:
    """Of the jobs of a queue, too few start within its objective: multi-window burn rates."""
    options = evidence.options.latency
    budget = max(1 - options.percent / 100, 1e-6)
    starts = evidence.records.starts
    found: dict[str, Finding] = {}
    for queue in sorted({name for name, _ in starts}):
        for long, short, factor, severity in BURN_RATES:
            total, late = starts.get((queue, long), (0, 0))
            burns = [_share(*starts.get((queue, window), (0, 0))) / budget for window in (long, short)]
            limit = min(factor, 1 / budget) * (AGE_CLOSES_AT if evidence.is_open("latency", queue) else 1.0)
            if late < LATE_AT_LEAST or min(burns) < limit:
                continue
            objective = evidence.objective_s(queue)
            found.setdefault(
                queue,
                _finding(
                    "latency",
                    queue,
                    severity,
                    f"{queue}: {late} of {total} jobs of the last {span(long)} waited longer than {span(objective)}; "
                    f"at most {100 * budget:g} % should. The budget is used {burns[0]:.1f} times as fast as it may be.",
                    value=round(100 * _share(total, late), 2),
                    limit=round(100 * budget, 2),
                    unit="percent",
                    fields={"messaging.destination.name": queue},
                    facts={"window_s": long, "burn_rate": round(burns[0], 2), "objective_s": objective},
                    service=evidence.service_of(queue),
                ),
            )
    return list(found.values())


def _share(total: int, late: int) -> float:
    return late / total if total else 0.0


def job_overrun(evidence: Evidence) -> list[Finding]:
    """A job that runs far beyond the 99th percentile of its function."""
    options, workers, durations = evidence.options.job_overrun, evidence.sample.workers, evidence.records.durations
    found = []
    for worker in workers:
        for job in worker.running:
            usual = durations.get(job.function or "")
            if job.since is None or usual is None or usual.count < options.min_executions:
                continue
            limit = max(options.min_runtime, options.factor * usual.p99_s)
            runs_s = (evidence.at - job.since).total_seconds()
            if runs_s <= limit:
                continue
            found.append(
                _finding(
                    "job_overrun",
                    job.execution_id or job.job_id,
                    options.severity,
                    f"{job.function} has run for {span(runs_s)}; 99 % of its executions took less than "
                    f"{span(usual.p99_s)}.",
                    since=job.since + timedelta(seconds=limit),
                    value=round(runs_s, 3),
                    limit=round(limit, 3),
                    unit="s",
                    fields={
                        "code.function.name": job.function,
                        "messaging.message.id": job.job_id,
                        "messaging.client.id": worker.name,
                        **({"messaging.destination.name": job.queue} if job.queue else {}),
                    },
                    facts={"p99_s": round(usual.p99_s, 3), "executions": usual.count},
                    service=evidence.service_of(job.queue or ""),
                )
            )
    return found


def function_failures(evidence: Evidence) -> list[Finding]:
    """Too large a share of a function's executions fails."""
    options = evidence.options.function_failures
    found = []
    for name, one in sorted(evidence.records.endings.items()):
        percent = 100 * one.failed / one.total
        closing = AGE_CLOSES_AT if evidence.is_open("function_failures", name) else 1.0
        if one.total < options.min_executions or percent < options.percent * closing:
            continue
        found.append(
            _finding(
                "function_failures",
                name,
                options.severity,
                f"{name}: {one.failed} of {one.total} executions of the last {span(options.window)} failed "
                f"({percent:.0f} %).",
                value=round(percent, 2),
                limit=options.percent,
                unit="percent",
                fields={"code.function.name": name},
            )
        )
    return found


def dead_jobs(evidence: Evidence) -> list[Finding]:
    """Several jobs of a function failed for good."""
    options = evidence.options.dead_jobs
    return [
        _finding(
            "dead_jobs",
            name,
            options.severity,
            f"{name}: {dead} jobs of the last {span(options.window)} failed for good.",
            value=float(dead),
            limit=float(options.max),
            unit="jobs",
            fields={"code.function.name": name},
        )
        for name, dead in sorted(evidence.records.dead.items())
        if dead > options.max
    ]


def clock_skew_of_records(evidence: Evidence) -> list[Finding]:
    """Jobs that started before they were pushed."""
    options = evidence.options.clock_skew
    return [
        _finding(
            "clock_skew",
            f"worker host {host}",
            options.severity,
            f"By their clocks, {count} jobs started on {host} up to {ahead_s:.0f} s before they were enqueued.",
            value=round(ahead_s, 3),
            limit=options.max,
            unit="s",
            fields={"host.name": host},
        )
        for host, (count, ahead_s) in sorted(evidence.records.early.items())
    ]


def shipper_backlog(evidence: Evidence) -> list[Finding]:
    """A shipper has had records to send for too long."""
    options = evidence.options.shipper_backlog
    return [
        _finding(
            "shipper_backlog",
            one.host,
            options.severity,
            f"The shipper of {one.host} has not got on for {span(one.backlog_age_s)}, with {one.backlog_bytes} bytes "
            "to send.",
            value=one.backlog_age_s,
            limit=options.max_age,
            unit="s",
            fields={"host.name": one.host},
            facts={"backlog_bytes": one.backlog_bytes, "state": one.state},
        )
        for one in evidence.records.shippers
        if one.backlog_age_s > options.max_age
    ]


def dead_letters(evidence: Evidence) -> list[Finding]:
    """A shipper has new lines that can never be indexed."""
    options = evidence.options.dead_letters
    return [
        _finding(
            "dead_letters",
            one.host,
            options.severity,
            f"The shipper of {one.host} has {one.dead_letters} new dead letters in 15 min: `shipper deadletter list` "
            "shows why.",
            value=float(one.dead_letters),
            limit=float(options.max),
            unit="lines",
            fields={"host.name": one.host},
        )
        for one in evidence.records.shippers
        if one.dead_letters > options.max
    ]


def shipper_silent(evidence: Evidence) -> list[Finding]:
    """A shipper that sent its status within the last day, and neither does any more nor said that it stopped."""
    options = evidence.options.shipper_silent
    return [
        _finding(
            "shipper_silent",
            one.host,
            options.severity,
            f"The shipper of {one.host} has sent no status for {span((evidence.at - one.at).total_seconds())}.",
            since=one.at + timedelta(seconds=options.after),
            value=round((evidence.at - one.at).total_seconds(), 1),
            limit=options.after,
            unit="s",
            fields={"host.name": one.host},
        )
        for one in evidence.records.shippers
        if one.state != "stopped" and (evidence.at - one.at).total_seconds() > options.after
    ]


def host_silent(evidence: Evidence) -> list[Finding]:
    """Workers on a host execute jobs, and no record of them arrives."""
    options, hosts = evidence.options.host_silent, evidence.records.hosts
    found = []
    for host, since in sorted(evidence.unheard.items()):
        if (evidence.at - since).total_seconds() <= options.after:
            continue
        last = hosts.get(host)
        heard = "no record at all" if last is None else f"the last record is of {last:%H:%M:%S} UTC"
        found.append(
            _finding(
                "host_silent",
                host,
                options.severity,
                f"Workers on {host} end jobs since {since:%H:%M:%S} UTC, and there is {heard} of that host: is its "
                "shipper running, and are its workers instrumented?",
                since=since + timedelta(seconds=options.after),
                limit=options.after,
                unit="s",
                fields={"host.name": host},
            )
        )
    return found


def shared_queue(evidence: Evidence) -> list[Finding]:
    """Several services have workers on one queue of one Redis: each takes jobs of the other."""
    return [
        _finding(
            "shared_queue",
            f"{queue} in {redis}",
            evidence.options.shared_queue.severity,
            f"The services {' and '.join(services)} have workers on one queue {queue} of one Redis: each may take the "
            "other's jobs.",
            fields={"messaging.destination.name": queue},
            facts={"services": list(services), "redis": redis},
        )
        for (queue, redis), services in sorted(evidence.records.shared.items())
    ]


def _finding(rule: str, subject: str, severity: Any, message: str, **more: Any) -> Finding:
    return Finding(rule=rule, subject=subject, severity=severity, message=message, **more)
