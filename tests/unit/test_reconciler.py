"""What the reconciler concludes from the state of an open job in Redis."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shipper.watch.reconciler import OpenJob, RedisState, conclude

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
PUSHED = NOW - timedelta(hours=1)
JOB = OpenJob(
    job_id="j",
    state="queued",
    queue="payments",
    function="f",
    worker=None,
    context={},
    attempt=1,
    pushed_at=PUSHED,
    created_at=PUSHED,
    updated_at=PUSHED,
    expires_at=None,
)
STARTED = replace(JOB, state="started")
HERE = RedisState(status="queued", pushed_at=PUSHED, in_queue=True)
RUNNING = RedisState(status="started", pushed_at=PUSHED, execution_id="e", lease_until=NOW + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("job", "seen", "ending"),
    [
        (replace(JOB, expires_at=NOW - timedelta(seconds=1)), RedisState(), "expired"),
        (replace(JOB, expires_at=NOW + timedelta(hours=1)), RedisState(), "deleted"),
        (JOB, RedisState(), "deleted"),
        (replace(JOB, state="scheduled"), RedisState(), "deleted"),
        (STARTED, RedisState(), "lost"),
        (JOB, replace(HERE, status="finished"), "finished"),
        (STARTED, replace(HERE, status="canceled"), "canceled"),
        (STARTED, replace(HERE, status="failed"), "lost"),
        (JOB, replace(HERE, in_queue=False), "lost"),
        (STARTED, replace(RUNNING, execution_id=None, lease_until=None), "lost"),
        (STARTED, replace(RUNNING, lease_until=NOW - timedelta(hours=1)), "abandoned"),
    ],
)
def test_what_nobody_told_is_concluded(job: OpenJob, seen: RedisState, ending: str) -> None:
    finding = conclude(job, seen, NOW)
    assert finding is not None
    assert finding.ending == ending


@pytest.mark.parametrize(
    ("job", "seen"),
    [
        (JOB, HERE),
        (STARTED, RUNNING),
        (STARTED, replace(RUNNING, lease_until=NOW - timedelta(seconds=60))),
        (replace(JOB, state="scheduled"), RedisState(status="scheduled")),
        (replace(JOB, state="retrying"), replace(HERE, pushed_at=NOW)),
        (STARTED, replace(HERE, status="finished", pushed_at=NOW)),
    ],
    ids=["waits", "runs", "RQ's maintenance will see", "is scheduled", "was retried", "was pushed again"],
)
def test_what_is_as_it_should_be_is_left_alone(job: OpenJob, seen: RedisState) -> None:
    assert conclude(job, seen, NOW) is None


@pytest.mark.parametrize("seen", [replace(HERE, in_queue=False, in_flight=True), replace(HERE, status="deferred")])
def test_what_may_still_come_right_is_only_a_word(seen: RedisState) -> None:
    finding = conclude(JOB, seen, NOW)
    assert finding is not None
    assert finding.ending is None
