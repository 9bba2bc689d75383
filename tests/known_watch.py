"""What a watch saw of the small shop: gauges of queues, workers, Redis and cron jobs, made by the watch's functions.

Beside each record stands what it was made from, in words of the test's own (`Seen`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shipper.live.cron import CronSample
from shipper.live.flow import Flow
from shipper.live.queues import Oldest, QueueSample
from shipper.live.server import KeySample, ServerSample
from shipper.live.workers import Running, WorkerSample
from shipper.service import ServiceInfo
from shipper.watch import gauges
from shipper.watch.crons import CronState
from shipper.watch.sampling import Snapshot

SERVICE = ServiceInfo(service="shop", version="1.1", environment="test", host="watch-1", pid=1)
EVERY = timedelta(seconds=60)
MB = 1_000_000
LIMIT = 1000 * MB
ADDRESS = "redis.internal:6379"
OBJECTIVES = {"payments": 30.0, "mails": 900.0, "reports": 900.0}
NEVER_SEEN = "nightly-report"

# Minutes before now → queue → (jobs, seconds for which the oldest waits, jobs that came and left in a minute, live
# workers, busy ones). 25 mails have waited for 36 minutes, and nobody serves them.
QUEUES: dict[int, dict[str, tuple[int, float, int, int, int, int]]] = {
    60: {"payments": (0, 0.0, 60, 60, 1, 0), "mails": (3, 12.0, 6, 6, 1, 1), "reports": (0, 0.0, 0, 0, 1, 0)},
    20: {"payments": (4, 9.0, 90, 120, 1, 0), "mails": (10, 1020.0, 12, 0, 0, 0), "reports": (0, 0.0, 0, 0, 1, 0)},
    1: {"payments": (6, 20.0, 120, 60, 1, 0), "mails": (25, 2160.0, 15, 0, 0, 0), "reports": (2, 60.0, 3, 3, 1, 1)},
}
# Minutes before now → bytes used, commands that were refused, growth in bytes a second.
REDIS = {60: (700 * MB, 0, 0.0), 20: (780 * MB, 0, 33_000.0), 1: (860 * MB, 2, 70_000.0)}
KINDS = {"job": 300, "result": 100, "queue": 10}  # bytes in a sample of all keys
FATTEST = {"shop.send_newsletter": (2, 260, 200), "shop.build_report": (3, 40, 20)}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One gauge: when, of what, and its figures."""

    at: datetime
    dataset: str
    figures: dict[str, Any]
    record: dict[str, Any]
    queue: str | None = None
    function: str | None = None
    job: str | None = None
    host: str = "watch-1"


def seen(start: datetime, now: datetime) -> Iterator[Seen]:
    """All gauges. `start`: of the day; at its minute 117 and 5 s the job job-13 has started, which still runs."""
    for before, queues in QUEUES.items():
        at = now - timedelta(minutes=before)
        snapshot = _snapshot(start, at, before)
        crons = {
            one.key: CronState(sample=one, next_at=one.next, missed=int(one.name == NEVER_SEEN))
            for one in snapshot.crons
        }
        made = list(gauges.records(snapshot, None, SERVICE, OBJECTIVES, crons))
        of = {
            name: [one for one in made if one["event"]["dataset"] == name]
            for name in ("rq.queue", "rq.worker", "rq.redis", "rq.cron")
        }
        for record in of["rq.queue"]:
            name = record["messaging"]["destination"]["name"]
            yield Seen(at=at, dataset="rq.queue", queue=name, figures=_queue_figures(name, queues[name]), record=record)
        for worker, record in zip(snapshot.workers, of["rq.worker"], strict=True):
            yield _worker_seen(worker, at, record)
        yield Seen(at=at, dataset="rq.redis", figures=_redis_figures(before), record=of["rq.redis"][0])
        for cron, record in zip(snapshot.crons, of["rq.cron"], strict=True):
            figures = {
                "name": cron.name,
                "schedule": cron.schedule,
                "missed": crons[cron.key].missed,
                "is_late": cron.name == NEVER_SEEN,
                "last_at": _written(cron.last),
                "next_at": _written(cron.next),
                "scheduler": cron.scheduler,
            }
            yield Seen(at=at, dataset="rq.cron", queue=cron.queue, function=cron.function, figures=figures,
                       record=record)  # fmt: skip


def _written(at: datetime | None) -> str | None:
    """A time as Elasticsearch answers it."""
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z" if at else None


def _queue_figures(name: str, told: tuple[int, float, int, int, int, int]) -> dict[str, Any]:
    depth, age, came, left, workers, busy = told
    return {
        "depth": depth,
        "oldest_age_s": age,
        "objective_s": OBJECTIVES[name],
        "enqueued_per_s": round(came / 60, 3),
        "dequeued_per_s": round(left / 60, 3),
        "time_to_empty_s": 0.0 if not depth else round(depth * 60 / (left - came), 1) if left > came else None,
        "workers": workers,
        "busy_workers": busy,
        "utilization": busy / workers if workers else None,
        "scheduled": 2 if name == "payments" else 0,
        "started": busy,
    }


def _redis_figures(before: int) -> dict[str, Any]:
    used, refused, growth = REDIS[before]
    return {
        "address": ADDRESS,
        "used_bytes": used,
        "maxmemory_bytes": LIMIT,
        "used_percent": 100 * used / LIMIT,
        "bytes_per_s": growth,
        "time_to_limit_s": round((LIMIT - used) / growth, 1) if growth else None,
        "rejected_commands": refused,
        "evicted_keys": 0,
        "clients": 12,
        "policy": "noeviction",
        "version": "7.2.4",
        **{f"{kind}_bytes": size for kind, size in KINDS.items()},
    }


def _worker_seen(worker: WorkerSample, at: datetime, record: dict[str, Any]) -> Seen:
    running = worker.running[0] if worker.running else None
    figures: dict[str, Any] = {
        "worker": worker.name,
        "state": worker.state,
        "is_live": worker.is_live,
        "running_jobs": len(worker.running),
        "rss_bytes": worker.rss_bytes,
        "heartbeat_age_s": (at - worker.last_heartbeat).total_seconds() if worker.last_heartbeat else None,
        "busy_s": round((at - running.since).total_seconds(), 3) if running and running.since else None,
        "queues": worker.queues[0],
        "successes": worker.successes,
        "failures": worker.failures,
    }
    return Seen(
        at=at,
        dataset="rq.worker",
        queue=running.queue if running else None,
        function=running.function if running else None,
        job=running.job_id if running else None,
        host=worker.host or "watch-1",
        figures=figures,
        record=record,
    )


def _snapshot(start: datetime, at: datetime, before: int) -> Snapshot:
    queues = QUEUES[before]
    used, refused, growth = REDIS[before]
    server = ServerSample(
        address=ADDRESS, database=0, run_id="d345e155", version="7.2.4", used_bytes=used, peak_bytes=900 * MB,
        maxmemory_bytes=LIMIT, policy="noeviction", fragmentation=1.2, evicted_keys=0, expired_keys=0,
        rejected_commands=refused, rejected_oom=refused, rejected_connections=0, clients=12, blocked_clients=0,
        max_clients=10_000, commands=1000, cpu_s=10.0, uptime_s=86_400, keys=100, role="master", clock_offset_s=0.0,
    )  # fmt: skip
    return Snapshot(
        at=at,
        elapsed_s=EVERY.total_seconds(),
        queues=tuple(
            QueueSample(
                name=name,
                depth=depth,
                oldest=Oldest(job_id=f"oldest-{name}", at=at - timedelta(seconds=age)) if depth else None,
                started=busy,
                scheduled=2 if name == "payments" else 0,
            )
            for name, (depth, age, _, _, _, busy) in queues.items()
        ),
        flows={name: Flow(enqueued=told[2], dequeued=told[3]) for name, told in queues.items()},
        workers=_workers(start, at, before),
        servers=(server,),
        growth={server.run_id: growth},
        keys=KeySample(taken=100, population=100, by_kind=KINDS, jobs_by_function=FATTEST),
        crons=_crons(at),
    )


def _workers(start: datetime, at: datetime, before: int) -> tuple[WorkerSample, ...]:
    """One works on job-13 at last, one is idle, and one serves mails until it falls silent."""
    common: dict[str, Any] = {"birth": start, "rq_version": "3.0.0", "is_subscribed": True, "expires_in_s": 78.0}
    since = start + timedelta(minutes=117, seconds=5)
    works = Running(
        job_id="job-13", execution_id="job-13-1", function="shop.build_report", queue="reports", since=since
    )
    beat = at - timedelta(seconds=10)
    busy = before == 1
    gone: dict[str, Any] = {**common, "is_subscribed": False, "last_heartbeat": at - timedelta(minutes=30)}
    return (
        WorkerSample(name="worker-1.1", state="busy" if busy else "idle", queues=("reports",), host="worker-1",
                     running=(works,) if busy else (), last_heartbeat=beat, rss_bytes=90 * MB,
                     successes=40 - before // 2, failures=3, **common),
        WorkerSample(name="worker-1.2", state="idle", queues=("payments",), host="worker-1", last_heartbeat=beat,
                     rss_bytes=50 * MB, successes=300, failures=4, **common),
        WorkerSample(name="worker-2.1", state="busy" if before == 60 else "idle", queues=("mails",), host="worker-2",
                     successes=20, failures=1,
                     rss_bytes=None, **(gone if before < 60 else {**common, "last_heartbeat": beat})),
    )  # fmt: skip


def _crons(at: datetime) -> tuple[CronSample, ...]:
    return (
        CronSample(name=NEVER_SEEN, function="shop.build_report", queue="reports", cron="0 3 * * *",
                   scheduler="cron-1:12", host="cron-1",
                   last=at - timedelta(hours=25), next=at - timedelta(hours=1), beat_at=at),
        CronSample(name="hourly-mail", function="shop.send_mail", queue="mails", interval_s=3600,
                   scheduler="cron-1:12", host="cron-1",
                   last=at - timedelta(minutes=10), next=at + timedelta(minutes=50), beat_at=at),
    )  # fmt: skip
