"""The attempts of a job, from its records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from shipper.read.attempts import attempts, phase
from shipper.read.chart import Dot, chart
from shipper.read.clock import Clock

START = datetime(2026, 11, 21, 3, 17, tzinfo=UTC)


def record(second: float, action: str, execution: str | None = None, attempt: int = 1, **fields: Any) -> dict[str, Any]:
    at = (START + timedelta(seconds=second)).isoformat()
    event = {"dataset": "rq.job", "action": action, **fields.pop("event", {})}
    rq = {"attempt": attempt, **({"execution_id": execution} if execution else {}), **fields.pop("rq", {})}
    return {"@timestamp": at, "event": event, "rq": rq, "messaging": {"client": {"id": "w1"}}, **fields}


def closing(
    second: float, action: str, execution: str, attempt: int = 1, seconds: float = 2, **fields: Any
) -> dict[str, Any]:
    at = START + timedelta(seconds=second)
    event = {
        "start": (at - timedelta(seconds=seconds)).isoformat(),
        "end": at.isoformat(),
        "duration": int(seconds * 1e9),
        "reason": fields.pop("reason", "exception"),
    }
    return record(second, action, execution, attempt, event=event, **fields)


RETRIED = [
    record(0, "job-enqueued"),
    record(3, "job-started", "e1"),
    closing(5, "job-retried", "e1", error={"type": "Timeout", "message": "no answer"}),
    record(5, "job-scheduled", attempt=2),
    record(35, "job-enqueued", attempt=2),
    record(36, "job-started", "e2", 2),
    closing(38, "job-dead", "e2", 2),
]


def test_each_attempt_has_its_wait_its_run_and_its_end() -> None:
    first, second = attempts(RETRIED)
    assert (first.attempt, first.waited_s, first.ran_s, first.end, first.reason) == (1, 3, 2, "retried", "exception")
    assert (first.worker, first.error) == ("w1", "Timeout: no answer")
    assert (second.attempt, second.waited_s, second.ran_s, second.end) == (2, 31, 2, "dead")


def test_what_runs_has_no_end_yet() -> None:
    (one,) = attempts(RETRIED[:2])
    assert (one.waited_s, one.end, one.ran_s) == (3, None, None)


def test_a_start_that_was_not_recorded_is_known_from_the_end() -> None:
    (one,) = attempts([RETRIED[0], RETRIED[2]])
    assert (one.started, one.waited_s, one.ran_s) == (START + timedelta(seconds=3), 3, 2)


def test_what_was_seen_overrides_what_was_inferred() -> None:
    inferred = closing(60, "job-dead", "e1", reason="abandoned", rq={"inferred": True})
    seen = closing(50, "job-finished", "e1", seconds=47)
    for records in ([*RETRIED[:2], inferred, seen], [*RETRIED[:2], seen, inferred]):
        (one,) = attempts(records)
        assert (one.end, one.inferred, one.ran_s) == ("finished", False, 47)
    (one,) = attempts([*RETRIED[:2], inferred])
    assert (one.end, one.reason, one.inferred) == ("dead", "abandoned", True)


def test_a_job_that_never_ran_has_no_attempt() -> None:
    expired = record(90, "job-dead", event={"reason": "expired"})
    assert attempts([RETRIED[0], expired]) == []
    assert attempts([]) == []


PUT_BACK = [
    record(0, "job-enqueued"),
    record(3, "job-started", "e1"),
    record(4, "job-busy", "e1", rq={"retry_at": (START + timedelta(seconds=9)).isoformat()}),
    record(9, "job-enqueued"),
    record(10, "job-started", "e2"),
]
GOES_ON = [*PUT_BACK[:2], record(4, "job-busy", "e1", rq={"section": {"on_busy": "skip"}})]


def test_a_job_that_a_section_put_back_has_ended_its_attempt_and_one_that_goes_on_has_not() -> None:
    first, second = attempts(PUT_BACK)
    assert (first.end, first.ran_s, second.waited_s, second.end) == ("busy", 1, 6, None)
    (one,) = attempts(GOES_ON)
    assert (one.end, one.ran_s) == (None, None)


def test_the_chart_of_a_job_that_was_put_back_has_a_bar_for_each_time_it_ran() -> None:
    records = [*PUT_BACK, closing(12, "job-finished", "e2")]
    dots = [Dot(datetime.fromisoformat(one["@timestamp"]), phase(one), "unknown", "") for one in records]
    picture = "".join(chart([("lane-0", "transfer", dots)], Clock.utc()))
    assert (picture.count('<rect class="wait"'), picture.count('<rect class="run"')) == (2, 2)


def test_records_of_odd_types_end_nothing() -> None:
    odd = {"event": {"dataset": "rq.job", "action": "job-dead", "start": [], "duration": "x"}, "rq": 7, "error": []}
    attempts([odd, {"event": None}])
