"""Two hours of a small shop, in two forms: as records, made by the real functions, and as plain happenings to count.

What a panel has to show follows from the happenings by plain Python; what it does show is asked of Elasticsearch,
which holds the records. Neither is made from the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from elasticsearch import Elasticsearch

from shipper import client, records, settings
from shipper.emit import job_records
from shipper.emit.events import ExceptionInfo, ExitStatus, Failure, Success
from shipper.emit.snapshot import JobSnapshot
from shipper.index import setup
from shipper.job_fields import Progress
from shipper.service import ServiceInfo
from shipper.settings import Settings
from shipper.ship.reader.document import Document, Place, document
from shipper.watch import alert_records
from shipper.watch.alarms import Alarm, Finding, Severity, Transition
from tests import known_watch
from tests.conftest import indices_of_their_own
from tests.programs import patient

LASTS = timedelta(hours=2)
RETRY_AFTER = timedelta(seconds=30)
RSS_KB = 900_000
DUE_IN = timedelta(minutes=30)  # after the day's end, a scheduled job


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution: how long, and how it ended. `how` is the reason of a failure."""

    seconds: float
    end: str = "finished"
    how: str | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One job. `minute` is when it is pushed, `lag_s` how long each of its executions waits."""

    function: str
    queue: str
    minute: int
    runs: tuple[Run, ...] = ()
    customer: str | None = None
    version: str = "1.0"
    size: int = 300
    lag_s: float = 1.0
    fate: str = "ended"
    parent: str | None = None
    root: str | None = None


def _died(seconds: float, how: str, error: str | None = None) -> tuple[Run, ...]:
    return (Run(seconds=seconds, end="dead", how=how, error=error),)


_DECLINED = {"how": "exception", "error": "shop.CardDeclined"}
_CHARGE, _MAIL, _LETTER = "shop.charge_card", "shop.send_mail", "shop.send_newsletter"
_REPORT, _EXPORT, _WAIT = "shop.build_report", "shop.export_everything", "shop.wait_for_supplier"

PLANS = (
    Plan(function=_CHARGE, queue="payments", minute=0, customer="42", runs=(Run(seconds=0.2),)),
    Plan(function=_CHARGE, queue="payments", minute=3, customer="42", lag_s=2, runs=(
        Run(seconds=0.3, end="retried", **_DECLINED), Run(seconds=0.4))),
    Plan(function=_CHARGE, queue="payments", minute=27, customer="7", version="1.1", lag_s=3, parent="job-01",
         root="job-00", runs=(
        Run(seconds=0.3, end="retried", **_DECLINED), Run(seconds=0.35, end="retried", **_DECLINED),
        Run(seconds=0.5, end="dead", **_DECLINED))),
    Plan(function=_CHARGE, queue="payments", minute=41, customer="7", version="1.1", fate="canceled", parent="job-02",
         root="job-00"),
    Plan(function=_MAIL, queue="mails", minute=1, customer="42", runs=(Run(seconds=0.02),)),
    Plan(function=_MAIL, queue="mails", minute=2, customer="7", size=320, runs=(Run(seconds=0.03),)),
    Plan(function=_MAIL, queue="mails", minute=28, customer="8", version="1.1", lag_s=4, runs=(Run(seconds=0.05),)),
    Plan(function=_MAIL, queue="mails", minute=29, customer="42", version="1.1", runs=_died(
        0.04, "exception", "shop.AddressUnknown")),
    Plan(function=_MAIL, queue="mails", minute=118, customer="8", version="1.1", fate="waiting"),
    Plan(function=_LETTER, queue="mails", minute=11, customer="42", size=250_000, lag_s=90, runs=(Run(seconds=1.5),)),
    Plan(function=_LETTER, queue="mails", minute=33, customer="7", size=260_000, version="1.1", runs=(
        Run(seconds=1.75),)),
    Plan(function=_REPORT, queue="reports", minute=14, runs=(Run(seconds=12),)),
    Plan(function=_REPORT, queue="reports", minute=45, version="1.1", lag_s=120, runs=(Run(seconds=30),)),
    Plan(function=_REPORT, queue="reports", minute=117, version="1.1", lag_s=5, fate="running"),
    Plan(function=_EXPORT, queue="reports", minute=50, version="1.1", runs=_died(5, "killed")),
    Plan(function=_WAIT, queue="reports", minute=52, version="1.1", runs=_died(60, "timeout", "rq.JobTimeout")),
    Plan(function=_WAIT, queue="reports", minute=57, version="1.1", runs=_died(61, "abandoned")),
    Plan(function=_WAIT, queue="reports", minute=61, version="1.1", fate="expired"),
    Plan(function=_LETTER, queue="mails", minute=119, customer="8", version="1.1", fate="scheduled"),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Happening:
    """One record, in words of its own. Fields that do not belong to its kind are None."""

    at: datetime
    dataset: str
    action: str | None = None
    outcome: str | None = None
    reason: str | None = None
    service: str = "shop"
    job: str | None = None
    function: str | None = None
    queue: str | None = None
    customer: str | None = None
    user: str | None = None
    version: str | None = None
    execution: str | None = None
    seconds: float | None = None
    lag_ms: int | None = None
    size: int | None = None
    stored: int | None = None
    attempt: int | None = None
    verdict: str | None = None
    error: str | None = None
    signal: str | None = None
    rss_kb: int | None = None
    final: bool = False
    host: str = "worker-1"
    actor: str | None = None
    resource: str | None = None
    resource_id: str | None = None
    parent: str | None = None
    root: str | None = None
    depends_on: str | None = None
    before_now: float = 0.0
    due_ms: float | None = None
    status: dict[str, Any] | None = None

    @property
    def ms(self) -> float:
        """The time as Elasticsearch counts it."""
        return self.at.timestamp() * 1000


@dataclass(frozen=True)
class Day:
    """`happenings` and the `records` of the same; `states` is the last word on each job: (job's plan, state)."""

    start: datetime
    now: datetime
    happenings: list[Happening]
    records: list[dict[str, Any]]
    states: list[tuple[Plan, str, Happening]]

    def add(self, happening: Happening, record: dict[str, Any]) -> None:
        self.happenings.append(replace(happening, before_now=(self.now - happening.at).total_seconds()))
        self.records.append(record)

    def of(self, dataset: str) -> list[Happening]:
        return [one for one in self.happenings if one.dataset == dataset]


def made(now: datetime) -> Day:
    """The two hours before `now`."""
    start = (now - LASTS).replace(second=0, microsecond=0)
    day = Day(start, now, [], [], [])
    for number, plan in enumerate(PLANS):
        last = None
        for happening, record in _job(number, plan, start):
            day.add(happening, record)
            last = happening
        assert last is not None
        ended = (
            plan.runs[-1].end if plan.runs else {"waiting": "queued", "running": "started"}.get(plan.fate, plan.fate)
        )
        day.states.append((plan, ended, last))
    for happening, record in (
        *_audit(start),
        *_log_lines(day),
        *_statuses(start, now),
        *_gauges(start, now),
        *_alarms(now),
    ):
        day.add(happening, record)
    return day


def _job(number: int, plan: Plan, start: datetime) -> Iterator[tuple[Happening, dict[str, Any]]]:
    job = f"job-{number:02}"
    pushed = start + timedelta(minutes=plan.minute)
    most = max(len(plan.runs), 1)
    user = f"user-{plan.customer}" if plan.customer else "office"
    context = {"user": user, **({"customer": plan.customer} if plan.customer else {})}
    service = ServiceInfo(service="shop", version=plan.version, environment="test", host="worker-1", pid=1)
    snapshot = JobSnapshot(
        job_id=job,
        queue=plan.queue,
        function=plan.function,
        payload_bytes=plan.size,
        created_at=pushed,
        enqueued_at=pushed,
        max_attempts=most,
        payload_stored_bytes=plan.size // 2,
        context=context,
        parent_job_id=plan.parent,
        root_job_id=plan.root,
    )
    common = Happening(
        at=pushed,
        dataset="rq.job",
        job=job,
        function=plan.function,
        queue=plan.queue,
        customer=plan.customer,
        user=user,
        version=plan.version,
        size=plan.size,
        stored=plan.size // 2,
        attempt=1,
        parent=plan.parent,
        root=plan.root,
    )

    def enqueued(attempt: int) -> tuple[Happening, dict[str, Any]]:
        pushed_job = snapshot._replace(enqueued_at=pushed, attempt=attempt)
        record = job_records.enqueued(pushed_job, "api" if attempt == 1 else "retry", pushed, service)
        if plan.parent:
            record["rq"]["depends_on"] = [plan.parent]
        return replace(
            common, depends_on=plan.parent, at=pushed, action="job-enqueued", outcome="success", attempt=attempt
        ), record

    if plan.fate == "scheduled":
        due = start + LASTS + DUE_IN
        happening = replace(common, at=pushed, action="job-scheduled", outcome="success", due_ms=due.timestamp() * 1000)
        yield happening, job_records.scheduled(snapshot._replace(scheduled_at=due), "api", pushed, service)
        return
    yield enqueued(1)
    if plan.fate == "canceled":
        at = pushed + timedelta(seconds=20)
        happening = replace(common, at=at, action="job-canceled", outcome="unknown", final=True)
        yield happening, job_records.removed(snapshot, "canceled", at, service)
    if plan.fate == "expired":
        at = pushed + timedelta(minutes=5)
        happening = replace(
            common, at=at, action="job-dead", outcome="failure", reason="expired", verdict="no_retry", final=True
        )
        gone = Failure(execution_id=None, worker="", concluded=True, inferred=True, reason="expired", text="It waited.")
        yield happening, job_records.failed(snapshot, gone, at, service)
    if plan.fate == "running":
        happening, record, began = _started(snapshot, common, plan, pushed, f"{job}-1", service)
        yield happening, record
        at, progress = began + timedelta(seconds=30), Progress(percent=40.0, message="", count=1)
        report = job_records.progressed(snapshot, progress, f"{job}-1", at, service)
        yield replace(happening, at=at, action="job-progressed", lag_ms=None, seconds=None), report
    for attempt, run in enumerate(plan.runs, start=1):
        if attempt > 1:
            yield enqueued(attempt)
        execution = f"{job}-{attempt}"
        snapshot = snapshot._replace(enqueued_at=pushed, attempt=attempt, retries_left=most - attempt)
        this_attempt = replace(common, attempt=attempt)
        happening, record, began = _started(snapshot, this_attempt, plan, pushed, execution, service)
        yield happening, record
        ended = began + timedelta(seconds=run.seconds)
        happening, record = _ended(snapshot._replace(started_at=began, ended_at=ended), happening, run, ended, service)
        record["rq"] |= {"args": {"0": 33}, "kwargs": {"currency": "EUR"}}
        yield happening, record
        pushed = ended + RETRY_AFTER


def _started(
    snapshot: JobSnapshot, common: Happening, plan: Plan, pushed: datetime, execution: str, service: ServiceInfo
) -> tuple[Happening, dict[str, Any], datetime]:
    began = pushed + timedelta(seconds=plan.lag_s)
    happening = replace(
        common, at=began, action="job-started", outcome="unknown", lag_ms=int(plan.lag_s * 1000), execution=execution
    )
    return (
        happening,
        job_records.started(snapshot._replace(started_at=began), execution, "worker-1.1", began, service),
        began,
    )


def _ended(
    snapshot: JobSnapshot, began: Happening, run: Run, ended: datetime, service: ServiceInfo
) -> tuple[Happening, dict[str, Any]]:
    common = replace(began, at=ended, action=f"job-{run.end}", seconds=run.seconds, final=run.end != "retried")
    if run.end == "finished":
        success = Success(execution_id=began.execution, worker="worker-1.1")
        return replace(common, outcome="success"), job_records.finished(snapshot, success, ended, service)
    raised = ExceptionInfo(run.error, "no luck", "Traceback …") if run.error else None
    killed = ExitStatus(9, RSS_KB) if run.how == "killed" else None
    failure = Failure(
        execution_id=began.execution,
        worker="worker-1.1",
        text="it went",
        raised=raised,
        killed=killed,
        reason=run.how if run.how in ("timeout", "abandoned") else None,
        inferred=run.how == "abandoned",
        retry_in_s=RETRY_AFTER.total_seconds() if run.end == "retried" else None,
    )
    verdict = "will_retry" if run.end == "retried" else "exhausted" if snapshot.max_attempts > 1 else "no_retry"
    happening = replace(
        common,
        outcome="failure",
        reason=run.how,
        error=run.error,
        verdict=verdict,
        signal="SIGKILL" if killed else None,
        rss_kb=RSS_KB if killed else None,
    )
    return happening, job_records.failed(snapshot, failure, ended, service)


# (minute, user, customer, actor, action, outcome, reason, resource type, resource id)
_ACTS = (
    (5, "eve", "42", "user", "session-login", "failure", "wrong_password", "session", "s1"),
    (6, "eve", "42", "user", "session-login", "failure", "wrong_password", "session", "s2"),
    (9, "bob", "42", "user", "order-refund", "success", None, "order", "o3"),
    (31, "ann", None, "operator", "queue-emptied", "success", None, "queue", "mails"),
    (44, "ann", None, "operator", "job-requeued", "success", None, "job", "job-03"),
    (47, "key-1", "7", "api_key", "order-export", "failure", "forbidden", "order", "o9"),
    (55, "bob", "42", "user", "profile-changed", "unknown", None, "user", "bob"),
)


def _audit(start: datetime) -> Iterator[tuple[Happening, dict[str, Any]]]:
    for number, (minute, user, customer, actor, action, outcome, reason, kind, which) in enumerate(_ACTS):
        at = start + timedelta(minutes=minute, seconds=number)
        happening = Happening(
            at=at,
            dataset="rq.audit",
            action=action,
            outcome=outcome,
            reason=reason,
            user=user,
            customer=customer,
            actor=actor,
            resource=kind,
            resource_id=which,
        )
        record = _frame(happening, number) | {
            "user": {"id": user},
            "audit": {"actor": {"type": actor}, "resource": {"type": kind, "id": which}},
            "source": {"ip": "192.0.2.7"},
        }
        record["event"] |= {key: value for key, value in (("reason", reason),) if value}
        if customer:
            record["organization"] = {"id": customer}
        yield happening, record


def _log_lines(day: Day) -> Iterator[tuple[Happening, dict[str, Any]]]:
    """A line of its own from each job as it starts, and one from outside of all jobs, read from a text log."""
    starts = [one for one in day.happenings if one.action == "job-started"]
    for number, started in enumerate(starts):
        at = started.at + timedelta(milliseconds=10)
        happening = Happening(
            at=at,
            dataset="rq.app",
            job=started.job,
            function=started.function,
            queue=started.queue,
            customer=started.customer,
            user=started.user,
        )
        record = _frame(happening, number) | {
            "messaging": {"message": {"id": started.job}, "destination": {"name": started.queue}},
            "code": {"function": {"name": started.function}},
            "user": {"id": started.user},
            "log": {"level": "info"},
        }
        if started.customer:
            record["organization"] = {"id": started.customer}
        yield happening, record
    old = Happening(at=day.start + timedelta(minutes=100), dataset="rq.app")
    yield old, _frame(old, len(starts)) | {"tags": ["legacy"], "message": "mails: job-99 OK"}


def _statuses(start: datetime, now: datetime) -> Iterator[tuple[Happening, dict[str, Any]]]:
    """Two shippers, a status every ten minutes. The second has a backlog, puts a record aside, and falls silent."""
    for number in range(25):
        host, step = f"host-{number % 2 + 1}", number // 2
        busy = host == "host-2"
        status = {
            "backlog_bytes": 5_000_000 * (12 - step) if busy else 0,
            "backlog_age_s": 60.5 * (12 - step) if busy else 0.0,
            "lag_ms": 900.0 + 100 * step if busy else 300.0,
            "records_per_s": 250.5 if busy else 20.0,
            "bytes_per_s": 100_000.0,
            "indexed": 1000 * (step + 1),
            "duplicates": step if busy else 0,
            "dead_letters": int(busy and step >= 6),
            "retries": step * 2 if busy else 0,
            "memory_bytes": 53_000_000 + number,
            "files": 3,
            "retrying_s": 12.5 if busy and step == 3 else 0.0,
            "state": "waiting" if busy and step == 3 else "shipping",
        }
        at = start + timedelta(minutes=10 * step, seconds=number % 2) if number < 24 else now - timedelta(minutes=1)
        happening = Happening(
            at=at, dataset="rq.shipper", action="shipper-status", service="shipper", host=host, status=status
        )
        record = _frame(happening, number) | {"shipper": status}
        record["event"]["kind"] = "metric"
        yield happening, record


def _gauges(start: datetime, now: datetime) -> Iterator[tuple[Happening, dict[str, Any]]]:
    for one in known_watch.seen(start, now):
        happening = Happening(
            at=one.at,
            dataset=one.dataset,
            queue=one.queue,
            function=one.function,
            job=one.job,
            host=one.host,
            status=one.figures,
        )
        yield happening, one.record


# (its last record, rule, subject, severity, minutes before now since when it is so, and when that record was written)
_ALARMS: tuple[tuple[str, str, str, Severity, int, int], ...] = (
    ("closed", "shipper_backlog", "host-2", "warning", 50, 40),
    ("opened", "oldest_job", "mails", "critical", 21, 2),
)


def _alarms(now: datetime) -> Iterator[tuple[Happening, dict[str, Any]]]:
    """Two alarms, as the watch writes them: one is over, and one is open since 21 minutes and was noticed 2 ago."""
    service = ServiceInfo(service="shop", version=None, environment="test", host="worker-1", pid=1)
    for kind, rule, subject, severity, since, noticed in _ALARMS:
        finding = Finding(rule=rule, subject=subject, message=f"{subject}: {rule}", severity=severity, value=2.0)
        began, told = now - timedelta(minutes=since), now - timedelta(minutes=noticed)
        alarm = Alarm(id=f"alarm-{rule}", finding=finding, since=began, opened_at=began)
        steps: tuple[Literal["opened", "closed"], ...] = ("opened",) if kind == "opened" else ("opened", "closed")
        for step in steps:
            at = began if step == "opened" else told
            record = alert_records.record(Transition(alarm=alarm, at=told, kind=step), service, told)
            status = {
                "alarm": alarm.id,
                "rule": rule,
                "subject": subject,
                "severity": severity,
                "noticed": told,
                "state": "open" if step == "opened" else "closed",
            }
            yield Happening(at=at, dataset="rq.alert", action=f"alarm-{step}", status=status), record


def _frame(happening: Happening, number: int) -> dict[str, Any]:
    """What every record begins with."""
    identifier = records.record_id(happening.at, happening.dataset, str(number))
    event = {"id": identifier, "dataset": happening.dataset, "kind": "event"}
    for name in ("action", "outcome"):
        if value := getattr(happening, name):
            event[name] = value
    return {
        "@timestamp": records.timestamp(happening.at),
        "event": event,
        "message": f"{happening.dataset} {number}",
        "service": {"name": happening.service},
        "host": {"name": happening.host},
    }


def index(day: Day, search: Elasticsearch, own: Settings) -> None:
    """Ship the day as the shipper would: its own documents, and the states that follow from them."""
    with client.connect(own) as cluster:
        setup.apply(cluster, setup.plan(cluster, own))
    lines: list[bytes] = []
    now = datetime.now(UTC)
    for record in day.records:
        record_document, state = document(records.encode(record), Place("h", "", 0), own, now)
        made = [record_document]
        if state:
            action, source = state.body.split(b"\n")[:2]
            made.append(Document(action, source))
        lines += [part for one in made for part in (one.action, one.source)]
    answer = search.perform_request(
        "POST",
        "/_bulk?refresh=true",
        body=b"\n".join(lines) + b"\n",
        headers={"content-type": "application/x-ndjson", "accept": "application/json"},
    ).body
    wrong = [item for item in answer["items"] for one in item.values() if one["status"] not in (200, 201, 409)]
    assert not wrong, orjson.dumps(wrong[:3])


@dataclass(frozen=True)
class Shown:
    """A day that Elasticsearch holds."""

    day: Day
    search: Elasticsearch
    namespace: str

    def indices(self, title: str) -> str:
        """A data view's indices, those of this test alone."""
        return ",".join(f"{one.removesuffix('*')}{self.namespace}*" for one in title.split(","))


@contextmanager
def shown(elasticsearch_url: str) -> Iterator[Shown]:
    """A day that has just ended, in indices of its own."""
    day = made(datetime.now(UTC))
    with patient(elasticsearch_url) as search, indices_of_their_own(search) as namespace:
        environment = {"SHIPPER_NAMESPACE": namespace, "SHIPPER_ELASTICSEARCH": elasticsearch_url}
        index(day, search, settings.load(environment={"XDG_STATE_HOME": "/s", **environment}))
        yield Shown(day, search, namespace)
