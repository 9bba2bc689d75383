"""Several batches fail: the state is healthy again when all are done, and failures are logged once a minute at most."""

from __future__ import annotations

import logging
import threading

import pytest

from shipper.errors import DestinationError, Refused
from shipper.ship.bulk import backoff
from shipper.ship.bulk.retry import RetryState, Stopped
from shipper.ship.status import Counts


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.001)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.001)


def error(counts: Counts, retry_timeout_s: float | None = None) -> RetryState:
    return RetryState(counts, threading.Event(), retry_timeout_s)


def test_it_is_over_when_all_that_met_it_are_through() -> None:
    counts = Counts()
    there = error(counts)
    one, other, lucky = there.attempts(), there.attempts(), there.attempts()
    one.failed("busy")
    other.failed("away")
    lucky.done()
    one.done()
    assert there
    assert counts.error == "away"
    assert counts.error_since is not None
    other.done()
    assert not there
    ended: tuple[object, ...] = counts.error, counts.error_since, counts.retries
    assert ended == (None, None, 2)


def test_what_comes_and_goes_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    there = error(Counts())
    for _ in range(5):
        attempts = there.attempts()
        attempts.failed("busy")
        attempts.done()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_whoever_runs_out_of_patience_says_what_it_was() -> None:
    attempts = error(Counts(), retry_timeout_s=0.0).attempts()
    with pytest.raises(DestinationError, match="busy"):
        attempts.failed("busy")


def test_credentials_are_waited_for_by_those_alone_who_have_all_the_time() -> None:
    refused = Refused("no", 401)
    error(Counts()).attempts().failed("no", refused)
    with pytest.raises(Refused):
        error(Counts(), retry_timeout_s=9.0).attempts().failed("no", refused)


def test_a_stop_ends_the_waiting() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        RetryState(Counts(), stop, None).attempts().failed("busy")


def test_what_others_met_before_may_be_over() -> None:
    counts = Counts(error="before the settings were loaded again", error_since=1.0)
    error(counts)
    assert counts.error is None
