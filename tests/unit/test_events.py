"""The boundary: what observers raise stays here, what RQ's alarm raises goes through."""

from __future__ import annotations

from typing import Any

import pytest
from rq.exceptions import StopRequested
from rq.timeouts import JobTimeoutException

from shipper.emit.events import Hooks, Observers
from shipper.guard import never_raise


class Broken(Hooks):
    def worker_started(self, worker: object) -> None:
        raise RuntimeError("broken")


class Counting(Hooks):
    calls = 0

    def worker_started(self, worker: object) -> None:
        self.calls += 1


def test_an_observer_that_fails_hides_nothing_from_the_next() -> None:
    observers, counting = Observers(), Counting()
    observers.add(Broken())
    observers.add(counting)
    nobody: Any = None
    observers.worker_started(nobody)
    assert counting.calls == 1


@pytest.mark.parametrize("kind", [JobTimeoutException, StopRequested])
def test_what_a_signal_raises_in_an_observer_is_passed_on(kind: type[Exception]) -> None:
    class Interrupted(Hooks):
        def worker_started(self, worker: object) -> None:
            raise kind

    observers, nobody = Observers(), None
    observers.add(Interrupted())
    with pytest.raises(kind):
        observers.worker_started(nobody)  # type: ignore[arg-type]


def test_the_job_s_timeout_is_passed_on() -> None:
    with pytest.raises(JobTimeoutException), never_raise("enqueued"):
        raise JobTimeoutException("time is up")


def test_the_end_of_a_worker_is_passed_on() -> None:
    with pytest.raises(StopRequested), never_raise("enqueued"):
        raise StopRequested


def test_a_shutdown_is_passed_on() -> None:
    with pytest.raises(SystemExit), never_raise("enqueued"):
        raise SystemExit
