"""Every way a job can end, on real worker processes: exactly these records, in this order.

The table is the documentation's too (docs/endings.md). An ending is written as `action reason verdict`, with
what is not there left out.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import pytest
import redis
import rq.exceptions
from elasticsearch import Elasticsearch
from rq import Callback, Queue, Repeat, Retry
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry

from shipper.emit import callbacks
from shipper.state import state_from_mapping
from stack.processes import birth
from stack.redis import Redis as OwnRedis
from tests import work
from tests.conftest import indices_of_their_own
from tests.programs import LIMIT_S, ROOT, Programs, count, patient, wait_for
from tests.recording import record_here

pytestmark = pytest.mark.slow

LONG = 2 * LIMIT_S  # seconds that a job would take which something else ends
YEARS = 10 * 365 * 86_400


class Scene:
    """What a row of the table plays with."""

    def __init__(self, queue: Queue, programs: Programs) -> None:
        self.queue = Queue(queue.name, connection=queue.connection, default_timeout=int(2 * LONG))
        self.programs = programs
        self.connection = queue.connection

    def burst(self, *flags: str) -> None:
        """A worker works until the queue is empty."""
        self.programs.work(self.queue.name, *flags)

    def worker(self, *flags: str) -> Any:
        """A worker that runs on, as a process."""
        url = self.programs.environment["SHIPPER_REDIS"]
        return self.programs.start(
            "rq", "worker", self.queue.name, "--url", url, *flags, RQ_JOB_CLASS="shipper.LoggedJob"
        )

    def running(self, job: Job) -> int:
        """Wait until the job runs; the work-horse's process id."""
        wait_for(lambda: "job-started" in self.actions(job), "the job to start")
        started = next(record for record in self.of(job) if record["event"]["action"] == "job-started")
        return int(started["process"]["pid"])

    def of(self, job: Job) -> list[dict[str, Any]]:
        return [record for record in self.programs.records() if record["messaging"]["message"]["id"] == job.id]

    def actions(self, job: Job) -> list[str]:
        return [record["event"]["action"] for record in self.of(job)]

    def declare_abandoned(self) -> None:
        """What RQ's maintenance does when all leases have run out."""
        StartedJobRegistry(queue=self.queue).cleanup(timestamp=time.time() + YEARS)

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        os.kill(pid, number)

    @property
    def gate(self) -> Path:
        """The jobs that wait for this file end when it is there."""
        return self.programs.folder / "gate"

    def wait_of(self, job: Job, action: str) -> None:
        wait_for(lambda: action in self.actions(job), action)


Play = Callable[[Scene], Job]


@pytest.fixture(scope="module")
def namespace(elasticsearch_url: str) -> Iterator[str]:
    """The same for all rows: each asks for its own job, and making indices is most of what the server has to do."""
    with patient(elasticsearch_url) as search, indices_of_their_own(search) as name:
        yield name


@pytest.fixture
def scene(queue: Queue, programs: Programs) -> Scene:
    return Scene(queue, programs)


# --- what is played -------------------------------------------------------------------------------------


def enqueued(function: Callable[..., Any], *args: Any, flags: tuple[str, ...] = (), **options: Any) -> Play:
    def play(scene: Scene) -> Job:
        job = scene.queue.enqueue(function, *args, **options)
        scene.burst(*flags)
        return job

    return play


def deaf(scene: Scene) -> Job:
    """RQ kills the work-horse a minute after its timeout; here, two seconds after it has become deaf."""
    file = str(scene.programs.folder / "deaf")
    job = scene.queue.enqueue(work.be_deaf, LONG, file, job_timeout=-58)
    flags = ("--job-monitoring-interval", "1", "--worker-class", "tests.own_workers.CountsOnceTheJobIsDeaf")
    scene.programs.work(scene.queue.name, *flags, DEAF=file)
    return job


def left_without_a_word(scene: Scene) -> Job:
    job = enqueued(work.exit_with, 0)(scene)
    scene.declare_abandoned()  # RQ finds it later; its closing record exists already
    return job


def stopped(scene: Scene, **options: Any) -> Job:
    job = scene.queue.enqueue(work.sleep, LONG, **options)
    worker = scene.worker()
    scene.running(job)
    send_stop_job_command(scene.connection, job.id)
    scene.wait_of(job, "job-stopped")
    with suppress(ProcessLookupError):  # before RQ 3 a callback that raises ends the worker
        scene.kill(worker.pid, signal.SIGTERM)
    worker.wait(LIMIT_S)
    return job


def stopped_with_a_failing_callback(scene: Scene) -> Job:
    return stopped(scene, on_stopped=Callback(work.raising_callback))


def warm_shutdown(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.wait_for, str(scene.gate))
    worker = scene.worker()
    scene.running(job)
    scene.kill(worker.pid, signal.SIGTERM)
    scene.gate.touch()
    worker.wait(LIMIT_S)
    return job


def cold_shutdown(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.sleep, LONG)
    worker = scene.worker()
    scene.running(job)
    while worker.poll() is None:  # RQ takes a second signal within a second for an echo of the first
        worker.send_signal(signal.SIGTERM)
        with suppress(TimeoutExpired):
            worker.wait(1.2)
    scene.declare_abandoned()
    return job


def parent_killed(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.wait_for, str(scene.gate))
    worker = scene.worker()
    horse = scene.running(job)
    worker.kill()
    worker.wait()
    scene.gate.touch()
    wait_for(lambda: not birth(horse), "the work-horse to end, and not to write to the next test's Redis")
    return job


def both_down(scene: Scene, **options: Any) -> Job:
    job = scene.queue.enqueue(work.sleep, LONG, **options)
    worker = scene.worker()
    horse = scene.running(job)
    worker.kill()
    scene.kill(horse)
    worker.wait()
    return job


def both_killed(scene: Scene, **options: Any) -> Job:
    job = both_down(scene, **options)
    scene.declare_abandoned()
    scene.declare_abandoned()
    return job


def both_killed_with_a_retry_left(scene: Scene) -> Job:
    job = both_killed(scene, retry=Retry(max=1))
    scene.queue.connection.delete(scene.queue.key)
    return job


def abandoned_by_another_s_count(scene: Scene) -> Job:
    job = both_down(scene)
    key = StartedJobRegistry(queue=scene.queue).key
    members: Any = scene.connection.zrange(key, 0, -1)
    for member in members:
        scene.connection.zadd(key, {member: time.time()})
    time.sleep(1.1)  # RQ looks at whole seconds
    assert StartedJobRegistry(queue=scene.queue).count == 0
    return job


def finished_and_yet_declared_abandoned(scene: Scene) -> Job:
    job = enqueued(work.add, 1, 2)(scene)
    key = StartedJobRegistry(queue=scene.queue).key
    execution = next(record["rq"]["execution_id"] for record in scene.of(job) if "execution_id" in record["rq"])
    scene.connection.zadd(key, {f"{job.id}:{execution}": 1})
    scene.declare_abandoned()
    return job


def stuck(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.add, 1, 2)
    intermediate = IntermediateQueue(scene.queue.key, connection=scene.connection)
    scene.connection.lmove(scene.queue.key, intermediate.key)
    scene.connection.set(intermediate.get_first_seen_key(job.id), time.time() - 120)
    scene.burst()
    return job


def canceled_while_waiting(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.add, 1, 2)
    job.cancel()
    with pytest.raises(InvalidJobOperation):
        job.cancel()
    scene.burst()
    return job


def canceled_while_running(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.wait_for, str(scene.gate))
    worker = scene.worker()
    scene.running(job)
    Job.fetch(job.id, connection=scene.connection).cancel()
    scene.gate.touch()
    scene.kill(worker.pid, signal.SIGTERM)
    worker.wait(LIMIT_S)
    return job


def deleted_while_waiting(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.add, 1, 2)
    job.delete()
    scene.burst()
    return job


def deleted_while_running(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.wait_for, str(scene.gate))
    worker = scene.worker()
    scene.running(job)
    Job.fetch(job.id, connection=scene.connection).delete()
    scene.gate.touch()
    scene.kill(worker.pid, signal.SIGTERM)
    worker.wait(LIMIT_S)
    return job


def deleted_after_its_end(scene: Scene) -> Job:
    job = enqueued(work.add, 1, 2)(scene)
    Job.fetch(job.id, connection=scene.connection).delete()
    return job


def emptied(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.add, 1, 2)
    scene.queue.empty()
    return job


def canceled_by_a_pipeline(scene: Scene) -> Job:
    job = scene.queue.enqueue(work.add, 1, 2)
    with scene.connection.pipeline() as pipeline:
        job.cancel(pipeline=pipeline)
        assert "job-canceled" not in scene.actions(job)
        pipeline.execute()
    return job


def synchronous(function: Callable[..., Any]) -> Play:
    def play(scene: Scene) -> Job:
        return Queue("letters", connection=scene.connection, is_async=False).enqueue(function)

    return play


def redis_full(scene: Scene) -> Job:
    try:
        job = scene.queue.enqueue(work.fill_redis)
        scene.programs.run(
            "rq",
            "worker",
            "--burst",
            "--url",
            scene.programs.environment["SHIPPER_REDIS"],
            scene.queue.name,
            check=False,
            RQ_JOB_CLASS="shipper.LoggedJob",
        )
    finally:
        scene.connection.config_set("maxmemory", "0")
    return job


def deferred(scene: Scene) -> Job:
    first = scene.queue.enqueue(work.add, 1, 2)
    second = scene.queue.enqueue(work.add, 3, 4, depends_on=first)
    scene.burst()
    return second


def deferred_for_ever(scene: Scene) -> Job:
    first = scene.queue.enqueue(work.fail)
    second = scene.queue.enqueue(work.add, 3, 4, depends_on=first)
    scene.burst()
    return second


def requeued(scene: Scene) -> Job:
    job = enqueued(work.fail)(scene)
    FailedJobRegistry(queue=scene.queue).requeue(job.id)
    scene.burst()
    return job


def scheduled(scene: Scene) -> Job:
    job = scene.queue.enqueue_in(timedelta(seconds=1), work.add, 1, 2)
    time.sleep(1.1)
    scene.burst("--with-scheduler")
    return job


@dataclass(frozen=True)
class Row:
    """A way to end, how to cause it, and the expected records. The resulting state is that of the last ending."""

    name: str
    play: Play
    expected: str

    @property
    def state(self) -> str:
        """What the job's state document says in the end."""
        actions = [part.split()[0] for part in self.expected.split(", ") if part]
        if "job-finished" in actions:
            return "finished"  # whatever else was said of it
        state = actions[-1].removeprefix("job-")
        return {"enqueued": "queued"}.get(state, state)


START = "job-enqueued, job-started, "
ROWS = (
    Row("finished", enqueued(work.add, 1, 2), START + "job-finished"),
    Row("exception", enqueued(work.fail), START + "job-dead exception no_retry"),
    Row("timeout", enqueued(work.sleep, LONG, job_timeout=1), START + "job-dead timeout no_retry"),
    Row("unimportable", enqueued("tests.work.not_there"), START + "job-dead unimportable no_retry"),  # type: ignore[arg-type]
    Row("undecodable", enqueued(work.add, work.Picky()), START + "job-dead undecodable no_retry"),
    Row("SystemExit", enqueued(work.leave), START + "job-dead exception no_retry"),
    Row(
        "retried, then dead", enqueued(work.fail, retry=Retry(max=1)),
        START + "job-retried exception will_retry, " + START + "job-dead exception exhausted",
    ),
    Row(
        "returned Retry, to its limit", enqueued(work.ask_for_retry),
        START + "job-retried will_retry, " + START + "job-dead retry_limit exhausted",
    ),
    Row(
        "on_success callback raises", enqueued(work.add, 1, 2, on_success=Callback(work.raising_callback)),
        START + "job-dead callback no_retry",
    ),
    Row("killed", enqueued(work.be_killed), START + "job-dead killed no_retry"),
    Row(
        "killed, with a retry", enqueued(work.be_killed, retry=Retry(max=1)),
        START + "job-retried killed will_retry, " + START + "job-dead killed exhausted",
    ),
    Row(
        "killed before its success was written", enqueued(work.be_killed_while_telling, "before"),
        START + "job-finished",
    ),
    Row(
        "killed before its success was written, no result kept",
        enqueued(work.be_killed_while_telling, "before", result_ttl=0), START + "job-finished",
    ),
    Row(
        "killed before its failure was written", enqueued(work.be_killed_while_telling, "before", "raised"),
        START + "job-dead exception no_retry",
    ),
    Row("exited", enqueued(work.exit_with, 3), START + "job-dead exited no_retry"),
    Row("exited as if all were well", left_without_a_word, START + "job-dead exited no_retry"),
    Row("hung past its timeout, deaf to the alarm", deaf, START + "job-dead timeout no_retry"),
    Row("stopped", stopped, START + "job-stopped"),
    Row("stopped, on_stopped raises", stopped_with_a_failing_callback, START + "job-stopped callback"),
    Row("warm shutdown", warm_shutdown, START + "job-finished"),
    Row("cold shutdown", cold_shutdown, START + "job-dead killed no_retry"),
    Row("parent killed, work-horse goes on", parent_killed, START + "job-finished"),
    Row("parent and work-horse killed", both_killed, START + "job-dead abandoned no_retry"),
    Row(
        "parent and work-horse killed, with a retry", both_killed_with_a_retry_left,
        START + "job-retried abandoned will_retry, job-enqueued",
    ),
    Row("abandoned, found by a count", abandoned_by_another_s_count, START + "job-dead abandoned no_retry"),
    Row("finished, and yet declared abandoned", finished_and_yet_declared_abandoned, START + "job-finished"),
    Row("stuck in the intermediate queue", stuck, "job-enqueued, job-dead abandoned no_retry"),
    Row("cancelled while waiting", canceled_while_waiting, "job-enqueued, job-canceled"),
    Row("cancelled by a pipeline", canceled_by_a_pipeline, "job-enqueued, job-canceled"),
    Row("cancelled while running", canceled_while_running, START + "job-canceled, job-finished"),
    Row("deleted while waiting", deleted_while_waiting, "job-enqueued, job-deleted"),
    Row("deleted while running", deleted_while_running, START + "job-deleted, job-finished"),
    Row("deleted after its end", deleted_after_its_end, START + "job-finished"),
    Row("emptied queue", emptied, "job-enqueued, job-deleted"),
    Row("no result kept", enqueued(work.add, 1, 2, result_ttl=0), START + "job-finished"),
    Row("synchronous queue", synchronous(work.leave_a_word), START + "job-finished"),
    Row("synchronous queue, exception", synchronous(work.fail), START + "job-dead exception no_retry"),
    Row("Redis full at the end", redis_full, START + "job-finished not-saved"),
    Row("deferred, then run", deferred, "job-deferred, " + START + "job-finished"),
    Row("deferred for ever", deferred_for_ever, "job-deferred"),
    Row("requeued", requeued, (START + "job-dead exception no_retry, ") * 2),
    Row("scheduled", scheduled, "job-scheduled, " + START + "job-finished"),
    Row("repeated", enqueued(work.add, 1, 2, repeat=Repeat(times=1)), (START + "job-finished, ") * 2),
    Row(
        "SpawnWorker, finished", enqueued(work.add, 1, 2, flags=("--worker-class", "rq.SpawnWorker")),
        START + "job-finished",
    ),
    Row(
        "SpawnWorker, exception", enqueued(work.fail, flags=("--worker-class", "rq.SpawnWorker")),
        START + "job-dead exception no_retry",
    ),
    Row(
        "SpawnWorker, killed", enqueued(work.be_killed, flags=("--worker-class", "rq.SpawnWorker")),
        START + "job-dead killed no_retry",
    ),
    Row(
        "SpawnWorker, killed before its success was written",
        enqueued(work.be_killed_while_telling, "before", flags=("--worker-class", "rq.SpawnWorker")),
        START + "job-finished",
    ),
    Row(
        "SpawnWorker, exited as if all were well",
        enqueued(work.exit_with, 0, flags=("--worker-class", "rq.SpawnWorker")),
        START + "job-dead exited no_retry",
    ),
    Row(
        "SimpleWorker, exception", enqueued(work.fail, flags=("--worker-class", "rq.SimpleWorker")),
        START + "job-dead exception no_retry",
    ),
)  # fmt: skip


def summary(record: dict[str, Any]) -> str:
    parts = [record["event"]["action"], record["event"].get("reason"), record["rq"].get("retry_verdict")]
    if record["rq"].get("status_saved") is False:
        parts.append("not-saved")
    return " ".join(part for part in parts if part)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_way_to_end_is_told_once_and_truly(row: Row, scene: Scene, search: Elasticsearch, namespace: str) -> None:
    job = row.play(scene)
    records = scene.of(job)
    in_order = sorted(records, key=lambda record: record["@timestamp"])
    expected = [part for part in row.expected.split(", ") if part]
    assert [summary(record) for record in in_order] == expected
    closing = [record["rq"]["execution_id"] for record in records if _closes(record)]
    assert len(closing) == len(set(closing)), "an execution was closed twice"
    assert len({record["event"]["id"] for record in records}) == len(records)
    # Shipped in the worst of orders, the documents are the same and the state is the last.
    scene.programs.log.write_bytes(b"".join(reversed(scene.programs.log.read_bytes().splitlines(keepends=True))))
    scene.programs.run("shipper", "run", "--once")
    query = {"term": {"messaging.message.id": job.id}}
    assert count(search, f"rq-job-{namespace}-*", query) == len(records)
    assert search.get(index=f"rq-state-{namespace}", id=job.id)["_source"]["state"] == row.state


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _closes(record: dict[str, Any]) -> bool:
    return record["event"]["type"] != ["start"] and "execution_id" in record["rq"]


# --- what single rows also say --------------------------------------------------------------------------


def test_a_kill_tells_signal_and_memory(scene: Scene) -> None:
    record = scene.of(enqueued(work.be_killed)(scene))[-1]
    assert record["rq"]["signal"] == "SIGKILL"
    assert record["rq"]["max_rss_kb"] > 1000
    assert record["code"]["function"]["name"] == "tests.work.be_killed"


def test_a_failure_that_the_work_horse_could_not_write_is_told_as_redis_has_it(scene: Scene) -> None:
    record = scene.of(enqueued(work.be_killed_while_telling, "before", "raised")(scene))[-1]
    assert (record["error"]["type"], record["error"]["message"]) == ("ValueError", "no such order")
    assert "be_killed_while_telling" in record["error"]["stack_trace"]
    assert "signal" not in record["rq"]


@pytest.mark.parametrize("how", ["returned", "raised"])
@pytest.mark.parametrize("kind", ["rq.Worker", "rq.SpawnWorker"])
def test_an_ending_that_was_written_an_instant_before_the_kill_is_one_document(
    how: str, kind: str, scene: Scene, search: Elasticsearch, namespace: str
) -> None:
    job = enqueued(work.be_killed_while_telling, "after", how, flags=("--worker-class", kind))(scene)
    closing = [record for record in scene.of(job) if _closes(record)]
    assert {summary(record) for record in closing} == {summary(closing[0])}
    assert {record["event"]["id"] for record in closing} == {closing[0]["event"]["id"]}
    scene.programs.run("shipper", "run", "--once")
    query = {"term": {"messaging.message.id": job.id}}
    assert count(search, f"rq-job-{namespace}-*", query) == len(("enqueued", "started", "ended"))


def test_a_kill_before_a_retry_is_written_leaves_no_execution_without_an_ending(scene: Scene) -> None:
    job = enqueued(work.be_killed_while_telling, "before", "raised", retry=Retry(max=1))(scene)
    started = [one["rq"]["execution_id"] for one in scene.of(job) if one["event"]["action"] == "job-started"]
    closed = [record["rq"]["execution_id"] for record in scene.of(job) if _closes(record)]
    assert len(started) > 1
    assert sorted(closed) == sorted(started)


@pytest.mark.parametrize("status", [0, 3])
def test_an_exit_tells_its_code(scene: Scene, status: int) -> None:
    record = scene.of(enqueued(work.exit_with, status)(scene))[-1]
    assert record["process"]["exit_code"] == status


def test_a_cold_shutdown_tells_of_the_signal(scene: Scene) -> None:
    assert scene.of(cold_shutdown(scene))[-1]["rq"]["signal"] == "SIGKILL"


def test_an_abandoned_execution_is_marked_as_inferred(scene: Scene) -> None:
    job = both_killed(scene)
    _, started, dead = scene.of(job)
    assert dead["rq"]["inferred"] is True
    assert dead["rq"]["execution_id"] == started["rq"]["execution_id"]
    assert dead["messaging"]["client"]["id"] == started["messaging"]["client"]["id"]


@pytest.mark.parametrize("retry", [None, Retry(max=1)])
def test_an_abandoned_execution_is_told_with_its_error_whatever_rq_hands_to_handlers(
    retry: Retry | None, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RQ 3 passes callbacks and handlers an exception that nobody raised, so it has no traceback."""
    given: list[tuple[Any, ...]] = []
    failures: list[dict[str, Any]] = []
    monkeypatch.setitem(callbacks._registered, "on_fail", [failures.append])
    job = both_down(scene, retry=retry, on_failure=Callback(work.note_nothing))
    handlers = [lambda job, *exc_info: given.append(exc_info)]
    StartedJobRegistry(queue=scene.queue).cleanup(timestamp=time.time() + YEARS, exception_handlers=handlers)
    ended = next(record for record in scene.of(job) if _closes(record))
    assert summary(ended) == f"job-{'retried' if retry else 'dead'} abandoned {'will_retry' if retry else 'no_retry'}"
    assert ended["error"] == {
        "type": "rq.exceptions.AbandonedJobError",
        "message": "its worker was not heard of any more",
    }
    assert ended["message"].endswith(": rq.exceptions.AbandonedJobError: its worker was not heard of any more")
    assert [record["event"]["id"] for record in failures] == [ended["event"]["id"]]
    ((kind, _, _),) = given
    assert kind.__name__ == "AbandonedJobError"
    assert job.get_status() == ("queued" if retry else "failed")
    scene.connection.delete(scene.queue.key)


def test_a_retry_with_a_wait_tells_when_it_comes(scene: Scene) -> None:
    job = enqueued(work.fail, retry=Retry(max=2, interval=[30, 60]))(scene)
    retried, waiting = scene.of(job)[-2:]
    if retried["event"]["action"] == "job-scheduled":
        retried, waiting = waiting, retried
    assert retried["rq"]["retries_left"] == 1
    assert waiting["event"]["action"] == "job-scheduled"
    assert waiting["rq"]["cause"] == "retry"
    later_s = _seconds(waiting["rq"]["scheduled_at"]) - _seconds(retried["rq"]["retry_at"])  # RQ counts from then on
    assert -1 < later_s < 1 + _seconds(waiting["@timestamp"]) - _seconds(retried["rq"]["ended_at"])
    assert abs(_seconds(retried["rq"]["retry_at"]) - _seconds(retried["rq"]["ended_at"]) - 30) < 1


def test_a_scheduled_job_waits_from_its_time(scene: Scene) -> None:
    job = scene.queue.enqueue_in(timedelta(seconds=0.5), work.add, 1, 2)
    time.sleep(2.5)
    scene.burst("--with-scheduler")
    started = next(record for record in scene.of(job) if record["event"]["action"] == "job-started")
    waited_s = _seconds(started["rq"]["started_at"]) - _seconds(started["rq"]["scheduled_at"])
    assert abs(started["rq"]["lag_ms"] / 1000 - waited_s) < 0.01
    assert waited_s > _seconds(started["rq"]["enqueued_at"]) - _seconds(started["rq"]["scheduled_at"]) > 1.9


def test_a_job_that_a_job_enqueues_knows_its_parent(scene: Scene) -> None:
    job = scene.queue.enqueue(work.enqueue_another)
    scene.burst()
    child = [record for record in scene.programs.records() if record["messaging"]["message"]["id"] != job.id]
    assert {record["rq"]["parent_job_id"] for record in child} == {job.id}
    assert {record["rq"]["root_job_id"] for record in child} == {job.id}
    assert len(child) == 3


def test_causes_are_told(scene: Scene) -> None:
    job = requeued(scene)
    causes = [record["rq"]["cause"] for record in scene.of(job) if record["event"]["action"] == "job-enqueued"]
    assert causes == ["api", "requeue"]


@pytest.mark.skipif(not hasattr(rq.exceptions, "DuplicateJobError"), reason="this RQ has no unique jobs yet")
def test_a_unique_job_that_is_refused_is_told_and_ends_nothing(scene: Scene) -> None:
    scene.queue.enqueue(work.add, 1, 2, job_id="only-one", unique=True)
    with pytest.raises(rq.exceptions.DuplicateJobError):
        scene.queue.enqueue(work.add, 1, 2, job_id="only-one", unique=True)
    assert scene.programs.actions() == ["job-enqueued", "job-refused"]
    refused = scene.programs.records()[-1]
    assert (refused["event"]["reason"], refused["event"]["outcome"]) == ("duplicate", "failure")
    assert state_from_mapping(refused, "shop") is None


@pytest.fixture
def own_redis(tmp_path: Path, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis.Redis]:
    """A Redis that the job may end."""
    server = OwnRedis(tmp_path)
    programs.environment["SHIPPER_REDIS"] = server.url
    record_here(programs, monkeypatch)
    with redis.Redis.from_url(server.url) as connection:
        yield connection
    server.stop()


def test_a_job_that_redis_could_not_be_told_of_finished_all_the_same(
    queue: Queue, own_redis: redis.Redis, programs: Programs
) -> None:
    scene = Scene(Queue(queue.name, connection=own_redis), programs)
    job = scene.queue.enqueue(work.end_redis)
    worker = scene.worker()
    wait_for(lambda: len(scene.of(job)) == 3, "the ending")
    assert [summary(record) for record in scene.of(job)] == [
        "job-enqueued",
        "job-started",
        "job-finished not-saved",
    ]
    worker.kill()


def table() -> str:
    """The rows as docs/endings.md shows them."""
    lines = ["| what happens | the records of the job, in order | its state |", "|---|---|---|"]
    lines += [
        f"| {row.name} | {', '.join(f'`{part}`' for part in row.expected.split(', ') if part)} | {row.state} |"
        for row in ROWS
    ]
    return "\n".join(lines) + "\n"


def test_the_documentation_has_this_table() -> None:
    assert table() in (ROOT / "docs/endings.md").read_text(encoding="utf-8")
