"""Workers as applications have them: whatever they leave out of RQ's, each execution has its one true ending."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rq
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.job import Job
from rq.registry import StartedJobRegistry

from tests import own_workers, work
from tests.programs import HOUR_S, LIMIT_S, Programs, wait_for

pytestmark = pytest.mark.slow
RQ_3 = pytest.mark.skipif(rq.__version__.startswith("2."), reason="RQ 3 has it")
START = ["job-enqueued", "job-started"]


def summaries(programs: Programs) -> list[str]:
    """Action, and reason where there is one, of each record."""
    said = []
    for record in programs.records():
        event = record["event"]
        said.append(" ".join(filter(None, (event["action"], event.get("reason")))))
    return said


@pytest.fixture
def burst(programs: Programs) -> Callable[..., Any]:
    """Run a worker of a class until the queue is empty."""

    def burst(kind: type, *flags: str) -> Any:
        name = f"{kind.__module__}.{kind.__qualname__}"
        return programs.work("letters", "--worker-class", name, *flags)

    return burst


@pytest.mark.parametrize(
    ("kind", "function", "arguments", "options", "ending"),
    [
        (own_workers.WatchesByItself, work.exit_with, (0,), {}, "job-dead exited"),
        (own_workers.WatchesByItself, work.be_killed, (), {}, "job-dead killed"),
        (own_workers.WatchesByItself, work.add, (1, 2), {}, "job-finished"),
        (own_workers.ExecutesByItself, work.exit_with, (3,), {}, "job-dead exited"),
        (own_workers.ExecutesByItself, work.add, (1, 2), {}, "job-finished"),
        (own_workers.IsDecorated, work.exit_with, (3,), {}, "job-dead exited"),
        (own_workers.SwallowsExceptions, work.fail, (), {}, "job-dead exception"),
        (own_workers.HandlesFailuresByItself, work.fail, (), {}, "job-dead exception"),
        (own_workers.HandlesSuccessByItself, work.add, (1, 2), {}, "job-finished"),
        (own_workers.CallsPerform, work.fail, (), {}, "job-dead exception"),
        (own_workers.RaisesInHandler, work.sleep, (60,), {"job_timeout": 1}, "job-dead timeout"),
        (own_workers.RaisesInHandler, work.fail, (), {}, "job-dead exception"),
    ],
)
def test_an_execution_ends_once_and_truly(
    queue: Queue,
    programs: Programs,
    burst: Callable[..., Any],
    kind: type,
    function: Any,
    arguments: Any,
    options: dict[str, Any],
    ending: str,
) -> None:
    queue.enqueue(function, *arguments, **options)
    burst(kind)
    assert summaries(programs) == [*START, ending]
    if "exception" in ending:
        assert programs.records()[-1]["error"]["type"] == "ValueError"
    StartedJobRegistry(queue=queue).cleanup(timestamp=4_000_000_000)  # RQ comes across what it was not told of
    assert summaries(programs) == [*START, ending]


def test_a_timeout_whose_handler_raised_is_retried_as_rq_will(
    queue: Queue, programs: Programs, burst: Callable[..., Any]
) -> None:
    queue.enqueue(work.sleep, 60, job_timeout=1, retry=Retry(max=1))
    burst(own_workers.RaisesInHandler)
    assert summaries(programs) == [*START, "job-retried timeout"]
    StartedJobRegistry(queue=queue).cleanup(timestamp=4_000_000_000)
    assert summaries(programs) == [*START, "job-retried timeout", "job-enqueued"]
    assert programs.records()[-1]["rq"]["cause"] == "retry"


@pytest.mark.parametrize("kind", [own_workers.ForgetsTheStop, own_workers.ForksSlowly])
def test_a_stopped_job_is_stopped_whatever_the_worker_forgets_or_does_not_know_yet(
    queue: Queue, programs: Programs, kind: type
) -> None:
    job = queue.enqueue(work.sleep, HOUR_S, job_timeout=HOUR_S)
    url, name = programs.environment["SHIPPER_REDIS"], f"tests.own_workers.{kind.__name__}"
    worker = programs.start(
        "rq", "worker", "letters", "--url", url, "--worker-class", name, RQ_JOB_CLASS="shipper.LoggedJob"
    )
    wait_for(lambda: "job-started" in programs.actions(), "the start")
    send_stop_job_command(queue.connection, job.id)
    wait_for(lambda: len(programs.records()) > 2, "the end")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(LIMIT_S) == 0
    assert summaries(programs) == [*START, "job-stopped"]


def test_a_worker_that_is_told_to_end_while_an_ending_is_recorded_ends(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.be_killed)
    url, name = programs.environment["SHIPPER_REDIS"], "tests.own_workers.IsToldToEndMeanwhile"
    worker = programs.start(
        "rq", "worker", "letters", "--url", url, "--worker-class", name, RQ_JOB_CLASS="shipper.LoggedJob"
    )
    assert worker.wait(LIMIT_S) == 0
    assert summaries(programs) == [*START, "job-dead killed"]


@RQ_3
def test_executions_that_run_at_once_name_their_own(
    queue: Queue, programs: Programs, burst: Callable[..., Any]
) -> None:
    for number in range(12):
        queue.enqueue(work.sleep, 0.1 + (number % 5) / 10)
    burst(own_workers.FourAtOnce)
    by_job: dict[str, list[str]] = {}
    for record in programs.records():
        if record["event"]["action"] != "job-enqueued":
            by_job.setdefault(record["messaging"]["message"]["id"], []).append(record["rq"]["execution_id"])
    assert len(by_job) == 12
    assert all(len(ids) == 2 and len(set(ids)) == 1 for ids in by_job.values())


def test_a_spawned_work_horse_needs_no_job_class(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.add, 1, 2)
    queue.enqueue(work.fail)
    programs.run("shipper", "worker", "letters", "--burst", "--worker-class", "rq.worker.SpawnWorker")
    assert sorted(summaries(programs)) == sorted([*START * 2, "job-finished", "job-dead exception"])


class Runner:
    @classmethod
    def handle(cls, number: int) -> int:
        return number

    def go(self, number: int) -> int:
        return number

    def __call__(self, number: int) -> int:
        return number


def test_methods_and_callables_are_named_with_their_class(queue: Queue, programs: Programs) -> None:
    for function in (Runner.handle, Runner().go, Runner()):
        queue.enqueue(function, 1)
    programs.work("letters")
    names = {record["code"]["function"]["name"] for record in programs.records()}
    here = f"{__name__}.Runner"
    assert names == {f"{here}.handle", f"{here}.go", f"{here}.__call__"}


def test_a_job_that_is_made_first_and_pushed_later_carries_who_made_it(queue: Queue, programs: Programs) -> None:
    import shipper

    with shipper.log_context(user="bob"):
        job = Job.create(work.enqueue_another, connection=queue.connection, origin=queue.name, timeout=60)
    queue.enqueue_job(job)
    programs.work("letters")
    assert {record["user"]["id"] for record in programs.records()} == {"bob"}
    child = [record for record in programs.records() if record["messaging"]["message"]["id"] != job.id]
    assert {record["rq"]["parent_job_id"] for record in child} == {job.id}


@RQ_3
def test_a_job_waits_for_its_rate_limit_and_is_pushed_by_whoever_frees_a_slot(queue: Queue, programs: Programs) -> None:
    limit = rq.RateLimit("bank", 1)
    first, second, third = (queue.enqueue(work.add, number, 1, rate_limit=limit) for number in range(3))
    third.delete()
    programs.work("letters", "--worker-class", "rq.SimpleWorker")

    def of(job: Job) -> list[str]:
        return [r["event"]["action"] for r in programs.records() if r["messaging"]["message"]["id"] == job.id]

    assert of(first) == ["job-enqueued", "job-started", "job-finished"]
    assert of(second) == ["job-rate-limited", "job-enqueued", "job-started", "job-finished"]
    assert of(third) == ["job-rate-limited", "job-deleted"]
    records = {r["event"]["action"]: r for r in programs.records() if r["messaging"]["message"]["id"] == second.id}
    assert records["job-enqueued"]["rq"]["cause"] == "rate_limit"
    waited = records["job-started"]["rq"]
    assert waited["lag_ms"] >= _ms(waited["started_at"]) - _ms(waited["rate_limited_at"]) - 1


@RQ_3
def test_a_dependent_job_with_a_rate_limit_is_told_as_it_goes(queue: Queue, programs: Programs) -> None:
    limit = rq.RateLimit("bank", 1)
    first = queue.enqueue(work.add, 1, 2)
    job = queue.enqueue(work.add, 3, 4, depends_on=first, rate_limit=limit)
    programs.work("letters")
    actions = [r["event"]["action"] for r in programs.records() if r["messaging"]["message"]["id"] == job.id]
    assert actions == ["job-deferred", "job-enqueued", "job-started", "job-finished"]


def _ms(moment: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(moment).timestamp() * 1000


def test_a_dependent_job_is_pushed_for_that_reason(queue: Queue, programs: Programs) -> None:
    first = queue.enqueue(work.add, 1, 2)
    queue.enqueue(work.add, 3, 4, depends_on=first)
    programs.work("letters")
    pushed = [record for record in programs.records() if record["event"]["action"] == "job-enqueued"]
    assert [record["rq"]["cause"] for record in pushed] == ["api", "dependent"]


@pytest.mark.skipif(not hasattr(rq, "Webhook"), reason="this RQ has no webhooks yet")
def test_a_webhook_that_could_not_be_sent_is_told_and_costs_the_job_nothing(
    queue: Queue, programs: Programs, tmp_path: Path
) -> None:
    hook = rq.Webhook("http://user:secret@127.0.0.1:9/x?token=y", "finished", timeout=1)
    queue.enqueue(work.add, 1, 2, webhooks=[hook])
    programs.work("letters")
    assert summaries(programs) == [*START, "job-finished", "job-webhook-failed"]
    failed = programs.records()[-1]
    assert "127.0.0.1" in failed["message"]
    assert "secret" not in failed["message"]
    assert "token" not in failed["message"]


def test_a_synchronous_queue_makes_no_second_attempt(queue: Queue, programs: Programs) -> None:
    Queue("now", connection=queue.connection, is_async=False).enqueue(work.fail, retry=Retry(max=2))
    assert programs.records()[-1]["rq"]["retry_verdict"] == "no_retry"
