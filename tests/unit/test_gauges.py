"""The records of the watch: each is its golden line, and the templates hold every field of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shipper import records, settings
from shipper.live.cron import CronSample
from shipper.live.flow import Flow
from shipper.live.queues import Oldest, QueueSample
from shipper.live.server import KeySample, ServerSample
from shipper.live.workers import Running, WorkerSample
from shipper.records import Record
from shipper.service import ServiceInfo
from shipper.ship.reader.document import Place, document
from shipper.watch import alert_records, crons, gauges
from shipper.watch.alarms import Alarm, Finding, Transition
from shipper.watch.sampling import Snapshot, slot
from tests.unit.test_ecs import ALLOWED
from tests.unit.test_templates import leaves, mapped

GOLDEN = Path(__file__).parent.parent / "golden_watch"

AT = datetime(2026, 11, 21, 3, 17, 30, tzinfo=UTC)
SERVICE = ServiceInfo(service="shop", version="1.4.0", environment="production", host="watch-1", pid=7)
QUEUE = QueueSample(
    name="payments",
    depth=120,
    oldest=Oldest(job_id="3f2b8c1e", at=AT - timedelta(seconds=42)),
    in_flight=1,
    scheduled=2,
    deferred=3,
    started=1,
    abandoned=1,
    finished=40,
    failed=5,
    canceled=6,
    rate_limited=7,
)
BUSY = WorkerSample(
    name="worker-1.4700",
    state="busy",
    queues=("payments",),
    host="worker-1",
    pid=4700,
    birth=AT - timedelta(hours=2),
    last_heartbeat=AT - timedelta(seconds=12),
    expires_in_s=78.0,
    is_subscribed=True,
    running=(
        Running(
            job_id="3f2b8c1f",
            execution_id="e1",
            function="shop.jobs.charge_card",
            queue="payments",
            since=AT - timedelta(seconds=9),
        ),
    ),
    successes=310,
    failures=4,
    working_s=512.25,
    rq_version="3.0.0",
    rss_bytes=48_000_000,
)
SERVER = ServerSample(
    address="redis.internal:6379",
    database=0,
    run_id="d345e1553b2dbf8a7fb6a7d9f8234f958ae234dd",
    version="7.2.4",
    used_bytes=850_000_000,
    peak_bytes=900_000_000,
    maxmemory_bytes=1_000_000_000,
    policy="noeviction",
    fragmentation=1.2,
    evicted_keys=0,
    expired_keys=77,
    rejected_commands=3,
    rejected_oom=2,
    rejected_connections=0,
    clients=31,
    blocked_clients=8,
    max_clients=10_000,
    commands=4_000_300,
    cpu_s=100.3,
    uptime_s=86_400,
    keys=5000,
    role="master",
    clock_offset_s=0.0,
)
CRON = CronSample(
    name="nightly report",
    function="shop.jobs.report",
    queue="low",
    cron="0 3 * * *",
    last=AT - timedelta(days=1, minutes=17, seconds=30),
    next=AT - timedelta(minutes=17, seconds=30),
    scheduler="cron-1:12:abc",
    host="cron-1",
    beat_at=AT - timedelta(minutes=20),
    outcomes=(("failed", 1), ("finished", 9)),
)
KEYS = KeySample(
    taken=100,
    population=5000,
    by_kind={"job": 800_000, "queue": 9000, "registry": 1000},
    jobs_by_function={"shop.jobs.render": (20, 700_000, 90_000), "shop.jobs.charge_card": (60, 100_000, 900)},
)
SNAPSHOT = Snapshot(
    at=AT,
    queues=(QUEUE,),
    workers=(BUSY,),
    servers=(SERVER,),
    crons=(CRON,),
    keys=KEYS,
    elapsed_s=15.0,
    flows={"payments": Flow(enqueued=30, dequeued=45)},
    growth={SERVER.run_id: 50_000.0},
    read_at=AT,
)
BEFORE = replace(
    SNAPSHOT,
    at=AT - timedelta(seconds=15),
    servers=(replace(SERVER, commands=4_000_000, cpu_s=100.0, uptime_s=86_385),),
)
ALARM = Alarm(
    id=records.record_id(AT, "alert", "default", "oldest_job", "payments"),
    finding=Finding(
        rule="oldest_job",
        subject="payments",
        message="payments: the oldest of 120 jobs has waited for 42 s, the limit is 30 s.",
        since=AT,
        value=42.0,
        limit=30.0,
        unit="s",
        fields={"messaging.destination.name": "payments"},
        facts={"job": "3f2b8c1e", "depth": 120},
    ),
    since=AT,
    opened_at=AT + timedelta(seconds=15),
)


def gauge(dataset: str) -> Record:
    known = crons.advance({}, SNAPSHOT.crons, AT)
    found = gauges.records(SNAPSHOT, BEFORE, SERVICE, {"payments": 30.0}, known)
    return next(record for record in found if record["event"]["dataset"] == dataset)


def alert(kind: str) -> Record:
    at = AT + timedelta(seconds=15 if kind == "opened" else 615)
    transition = Transition(alarm=ALARM, at=at, kind="opened" if kind == "opened" else "closed")
    return alert_records.record(transition, SERVICE, at)


KINDS: dict[str, Callable[[], Record]] = {
    "queue-sampled": lambda: gauge("rq.queue"),
    "worker-sampled": lambda: gauge("rq.worker"),
    "redis-sampled": lambda: gauge("rq.redis"),
    "cron-sampled": lambda: gauge("rq.cron"),
    "alarm-opened": lambda: alert("opened"),
    "alarm-closed": lambda: alert("closed"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_record_is_its_golden_line(kind: str) -> None:
    assert records.encode(KINDS[kind]()).decode() == (GOLDEN / f"{kind}.jsonl").read_text(encoding="utf-8")


def test_there_is_no_golden_line_that_nothing_writes() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_time_id_and_dataset_stand_at_fixed_places(kind: str) -> None:
    written, record = records.encode(KINDS[kind]()), KINDS[kind]()
    assert written[records.TIME_AT].decode() == record["@timestamp"]
    assert written[records.ID_AT].decode() == record["event"]["id"]
    assert written[records.DATASET_START :].startswith(f'{record["event"]["dataset"]}"'.encode())


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_is_mapped_with_a_type_that_holds_it(kind: str) -> None:
    known = mapped("rq-alert" if kind.startswith("alarm") else "rq-metric")
    for path, value in leaves(KINDS[kind]()):
        if path.startswith("rq.alert.facts."):
            continue
        if path == "rq.redis.fattest":
            assert all(f"{path}.{name}" in known for one in value for name in one)
            continue
        kinds = {bool: ("boolean",), int: ("long", "double"), float: ("double",)}
        assert known[path]["type"] in kinds.get(type(value), ("keyword", "text", "date")), path


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_that_ecs_allows(kind: str) -> None:
    event = KINDS[kind]()["event"]
    for field, allowed in ALLOWED.items():
        value = event.get(field.removeprefix("event."))
        assert value is None or set(value if isinstance(value, list) else [value]) <= allowed, field


@pytest.mark.parametrize(
    ("kind", "index"), [("queue-sampled", "rq-metric-d-2026.11.21"), ("alarm-opened", "rq-alert-d-2026.11")]
)
def test_gauges_share_daily_indices_and_alerts_have_monthly_ones(kind: str, index: str) -> None:
    config = settings.load(environment={"XDG_STATE_HOME": "/s", "SHIPPER_NAMESPACE": "d"})
    line = records.encode(KINDS[kind]()).rstrip()
    found, _ = document(line, Place("h", "f", 0), config, AT)
    assert f'"_index":"{index}"'.encode() in found.action
    assert found.source == line


def test_two_watchers_give_one_sample_one_id() -> None:
    other = ServiceInfo(service="shop", version="1.4.0", environment="production", host="watch-2", pid=8)
    first = {record["event"]["id"] for record in gauges.records(SNAPSHOT, None, SERVICE, {}, {})}
    second = {record["event"]["id"] for record in gauges.records(SNAPSHOT, BEFORE, other, {}, {})}
    assert first == second
    crm = ServiceInfo(service="crm", version=None, environment=None, host="watch-2", pid=8)
    assert not first & {record["event"]["id"] for record in gauges.records(SNAPSHOT, None, crm, {}, {})}


def test_samples_are_at_multiples_of_the_interval() -> None:
    assert slot(AT.timestamp() + 14.9, 15) == AT
    assert slot(AT.timestamp() + 15.1, 15) == AT + timedelta(seconds=15)


def test_a_queue_in_which_nothing_happens_rests() -> None:
    idle = QueueSample(name="idle", finished=3)
    written = 0
    for number in range(gauges.REST):
        now = replace(SNAPSHOT, at=AT + timedelta(seconds=15 * number), queues=(idle,))
        before = replace(now, at=now.at - timedelta(seconds=15))
        found = gauges.records(now, before, SERVICE, {}, {})
        written += sum(record["event"]["dataset"] == "rq.queue" for record in found)
    assert written == 1
    changed = replace(SNAPSHOT, queues=(replace(idle, finished=4),))
    found = gauges.records(changed, replace(BEFORE, queues=(idle,)), SERVICE, {}, {})
    assert next(record["event"]["dataset"] for record in found) == "rq.queue"


@pytest.mark.parametrize(
    ("depth", "came", "left", "seconds"),
    [(0, 5.0, 1.0, 0.0), (10, 1.0, 2.0, 10.0), (10, 2.0, 2.0, None), (10, None, None, None)],
)
def test_the_time_to_empty(depth: int, came: float | None, left: float | None, seconds: float | None) -> None:
    assert gauges.time_to_empty_s(depth, came, left) == seconds
