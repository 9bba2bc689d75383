"""The golden lines: one for each kind of record, the reference for all that reads or makes records."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shipper import records, redact
from shipper.emit import job_arguments, job_records
from shipper.emit.events import Busy, ExceptionInfo, ExitStatus, Failure, Success
from shipper.emit.snapshot import JobSnapshot
from shipper.job_fields import Progress
from shipper.records import Record
from shipper.redact import Redactor
from shipper.service import ServiceInfo

GOLDEN = Path(__file__).parent.parent / "golden"

CREATED = datetime(2026, 11, 21, 3, 17, 30, tzinfo=UTC)
ENQUEUED = CREATED + timedelta(microseconds=250)
STARTED = ENQUEUED + timedelta(milliseconds=1200)
ENDED = STARTED + timedelta(milliseconds=345, microseconds=678)
WRITTEN = ENDED + timedelta(milliseconds=2)

SERVICE = ServiceInfo(service="shop", version="1.4.0", environment="production", host="worker-1", pid=4711)
JOB = JobSnapshot(
    job_id="3f2b8c1e-6d3a-4b52-9e0f-0a1b2c3d4e5f",
    queue="payments",
    function="shop.jobs.charge_card",
    payload_bytes=51,
    created_at=CREATED,
    enqueued_at=ENQUEUED,
    started_at=STARTED,
    ended_at=ENDED,
    attempt=2,
    max_attempts=3,
    retries_left=1,
    payload_stored_bytes=48,
    args=(42,),
    kwargs={"currency": "EUR", "card_number": "4111111111111111"},
    meta={"progress": 50},
    context={"user": "bob", "customer": "42", "region": "eu"},
)
WAITING = JOB._replace(started_at=None, ended_at=None, attempt=1, retries_left=2)
RUNNING = JOB._replace(ended_at=None)
EXECUTION, WORKER = "a6c8e5bb2923420488e76d50699b3386", "worker-1.4700"
DECLINED = ExceptionInfo(
    "shop.jobs.CardDeclined",
    "order 33 declined",
    'Traceback (most recent call last):\n  File "jobs.py", line 7, in charge_card\n'
    "shop.jobs.CardDeclined: order 33 declined\n",
)
KILL_TEXT = "Work-horse terminated unexpectedly; waitpid returned 9 (signal 9); "


BUSY = Busy(
    at=STARTED + timedelta(milliseconds=3),
    execution_id=EXECUTION,
    worker=WORKER,
    section="financial:42",
    holder="7c2e6f0a-93f1-4a47-8d0c-5b6a79c81e24",
    holder_function="shop.jobs.reconcile",
    since=CREATED,
    tries=2,
    waited_s=6.5,
    action="requeue",
    delay_s=4.2,
)

LAST_ATTEMPT = JOB._replace(attempt=3, retries_left=0)


def _failed(job: JobSnapshot = LAST_ATTEMPT, **changes: Any) -> Record:
    failure = Failure(execution_id=EXECUTION, worker=WORKER, text=DECLINED.stack_trace, raised=DECLINED)
    return job_records.failed(job, replace(failure, **changes), WRITTEN, SERVICE)


WRITTEN_BY_THE_PARENT = {"job-dead-killed", "job-stopped"}  # which never unpickles a payload
KINDS: dict[str, Callable[[], Record]] = {
    "job-enqueued": lambda: job_records.enqueued(WAITING, "api", ENQUEUED, SERVICE),
    "job-deferred": lambda: job_records.deferred(
        WAITING._replace(enqueued_at=None, depends_on=("first", "second")), CREATED, SERVICE
    ),
    "job-scheduled": lambda: job_records.scheduled(
        WAITING._replace(enqueued_at=None, scheduled_at=CREATED + timedelta(hours=1)), "api", CREATED, SERVICE
    ),
    "job-canceled": lambda: job_records.removed(WAITING, "canceled", STARTED, SERVICE),
    "job-deleted": lambda: job_records.removed(WAITING, "deleted", STARTED, SERVICE),
    "job-started": lambda: job_records.started(RUNNING, EXECUTION, WORKER, STARTED, SERVICE),
    "job-finished": lambda: job_records.finished(
        JOB,
        Success(execution_id=EXECUTION, worker=WORKER, result_type="dict", result_bytes=27),
        WRITTEN,
        SERVICE,
    ),
    "job-progressed": lambda: job_records.progressed(
        RUNNING, Progress(40, "2 of 5 rows", 7), EXECUTION, ENDED, SERVICE
    ),
    "job-busy": lambda: job_records.busy(RUNNING._replace(attempt=1, retries_left=2), BUSY, ENDED, SERVICE),
    "job-retried": lambda: _failed(JOB, retry_in_s=60),
    "job-dead": _failed,
    "job-dead-killed": lambda: _failed(raised=None, text=KILL_TEXT, killed=ExitStatus(9, 204_800)),
    "job-stopped": lambda: _failed(raised=None, stopped=True, text="Job stopped by user, work-horse terminated."),
}


def line(kind: str) -> bytes:
    """The record as the recorder writes it."""
    job = JOB._replace(args=None, kwargs=None) if kind in WRITTEN_BY_THE_PARENT else JOB
    return records.encode(job_arguments.add(KINDS[kind](), job, Redactor()))


@pytest.fixture(autouse=True)
def _the_function_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "parameter_names", lambda function: ("order",))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_record_is_its_golden_line(kind: str) -> None:
    assert line(kind).decode() == (GOLDEN / f"{kind}.jsonl").read_text(encoding="utf-8")


def test_there_is_no_golden_line_that_nothing_writes() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_time_id_and_dataset_stand_at_fixed_places(kind: str) -> None:
    written = line(kind)
    record = json.loads(written)
    assert written.startswith(records.LINE_START)
    assert written[records.TIME_AT].decode() == record["@timestamp"]
    assert written[records.ID_MARK_AT] == records.ID_MARK
    assert written[records.ID_AT].decode() == record["event"]["id"]
    assert written[records.DATASET_MARK_AT] == records.DATASET_MARK
    assert written[records.DATASET_START :].startswith(b'rq.job"')


def test_two_endings_of_one_execution_have_one_id() -> None:
    finished = job_records.finished(JOB, Success(execution_id=EXECUTION, worker=WORKER), WRITTEN, SERVICE)
    assert finished["event"]["id"] == _failed()["event"]["id"]


def test_a_job_that_is_put_back_closes_its_execution_and_one_that_is_not_does_not() -> None:
    returned = job_records.busy(JOB, BUSY, WRITTEN, SERVICE)
    skipped = job_records.busy(JOB, replace(BUSY, action="skip", delay_s=None), WRITTEN, SERVICE)
    assert returned["event"]["id"] == _failed()["event"]["id"] != skipped["event"]["id"]
    assert "retry_at" not in skipped["rq"]


def test_the_record_of_another_execution_has_another_id() -> None:
    other = job_records.finished(JOB, Success(execution_id="b" * 32, worker=WORKER), WRITTEN, SERVICE)
    assert other["event"]["id"] != _failed()["event"]["id"]


def test_clocks_that_differ_give_no_negative_times() -> None:
    ahead = JOB._replace(enqueued_at=ENDED + timedelta(hours=1))
    record = job_records.finished(ahead, Success(execution_id=EXECUTION, worker=WORKER), WRITTEN, SERVICE)
    assert record["rq"]["lag_ms"] == 0
    assert record["event"]["duration"] > 0


def test_success_that_redis_was_not_told_of_says_so() -> None:
    record = job_records.finished(
        JOB, Success(execution_id=EXECUTION, worker=WORKER, status_saved=False), WRITTEN, SERVICE
    )
    assert record["rq"]["status_saved"] is False


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        ("rq.timeouts.JobTimeoutException", "timeout"),
        ("rq.exceptions.DeserializationError", "undecodable"),
        ("KeyError", "exception"),
    ],
)
def test_the_reason_tells_kinds_of_failure_apart(raised: str, reason: str) -> None:
    assert _failed(raised=ExceptionInfo(raised, "", ""))["event"]["reason"] == reason


@pytest.mark.parametrize(("where", "reason"), [("callback", "callback"), ("import", "unimportable")])
def test_the_reason_tells_parts_of_the_work_apart(where: str, reason: str) -> None:
    assert _failed(raised=ExceptionInfo("KeyError", "", "", where))["event"]["reason"] == reason


def test_a_job_that_was_wanted_at_a_time_waits_from_then() -> None:
    wanted = RUNNING._replace(scheduled_at=ENQUEUED - timedelta(seconds=2))
    assert job_records.started(wanted, EXECUTION, WORKER, STARTED, SERVICE)["rq"]["lag_ms"] == 3200


def test_an_end_that_comes_after_the_abandonment_is_a_record_of_its_own() -> None:
    late = job_records.finished(JOB, Success(execution_id=EXECUTION, worker=WORKER, late=True), WRITTEN, SERVICE)
    assert late["event"]["id"] != _failed()["event"]["id"]


def test_a_work_horse_that_exited_by_itself_was_not_killed() -> None:
    record = _failed(raised=None, killed=ExitStatus(3 << 8, None))
    assert record["event"]["reason"] == "exited"
    assert record["process"]["exit_code"] == 3


def test_facts_that_are_missing_leave_a_valid_record() -> None:
    bare = JOB._replace(
        function=None,
        payload_bytes=None,
        created_at=None,
        enqueued_at=None,
        started_at=None,
        ended_at=None,
        context={},
    )
    record = job_records.finished(bare, Success(execution_id=None, worker=WORKER), WRITTEN, SERVICE)
    assert "duration" not in record["event"]
    assert "user" not in record
    assert record["message"].startswith(JOB.job_id)


def test_a_queue_with_a_prefix_belongs_to_a_service_of_its_own() -> None:
    services = {"pay": "billing", "payments-eu": "billing-eu"}
    service = ServiceInfo(service="shop", version="1", environment=None, host="h", pid=1, services=services)
    assert service.service_of("payments") == {"name": "billing", "version": "1"}
    assert service.service_of("payments-eu-fast")["name"] == "billing-eu"  # the longest prefix
    assert service.service_of("mail")["name"] == service.service_of(None)["name"] == "shop"
    assert job_records.started(RUNNING, EXECUTION, WORKER, STARTED, service)["service"]["name"] == "billing"
