"""What a web view asks before it enqueues: one round trip each, and right when workers are killed, hang or are busy."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.connection import AbstractConnection
from rq import Queue
from rq.suspension import resume, suspend
from rq.worker import Worker

from shipper import queues, settings
from shipper.live import asking
from shipper.live import queues as live_queues
from shipper.live.workers import WorkerSample
from tests import work
from tests.integration.test_live import dump
from tests.programs import LIMIT_S, Programs, wait_for


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is sent to Redis meanwhile: an element for each round trip."""
    sent: list[object] = []
    original = AbstractConnection.send_packed_command

    def counted(self: AbstractConnection, command: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(command)
        return original(self, command, *args, **kwargs)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", counted)
    return sent


@pytest.fixture(params=["bytes", "text", "no scripts"])
def view(request: pytest.FixtureRequest, connection: redis.Redis) -> Iterator[redis.Redis]:
    """The connection of a web process; of the last kind scripts are refused."""
    options = {key: connection.get_connection_kwargs().get(key) for key in ("host", "port", "db", "path")}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if request.param == "no scripts":
        connection.execute_command("ACL", "SETUSER", "view", "on", ">pw", "~*", "&*", "+@all", "-@scripting")
        given |= {"username": "view", "password": "pw"}
    client = redis.Redis(**given, decode_responses=request.param == "text")
    client.ping()
    yield client
    client.close()
    if request.param == "no scripts":
        connection.execute_command("ACL", "DELUSER", "view")


def test_each_question_is_one_round_trip_and_changes_nothing(
    queue: Queue, connection: redis.Redis, trips: list[object]
) -> None:
    for number in range(40):
        queue.enqueue(work.add, number, 1, at_front=number % 2 == 0)
    Worker([queue], connection=connection).register_birth()
    before = dump(connection)
    ask: list[Callable[..., Any]] = [queues.has_workers, queues.depth, queues.oldest, queues.eta]
    for question in ask:
        trips.clear()
        question(queue)
        assert len(trips) == 1, question.__name__
        question(queue.name, redis=connection)
        assert len(trips) == 2
    assert dump(connection) == before


def test_depth_and_the_oldest_are_what_rq_says(queue: Queue, view: redis.Redis) -> None:
    assert queues.depth("letters", redis=view) == 0
    assert queues.oldest("letters", redis=view) is None
    jobs = [queue.enqueue(work.add, number, 1, at_front=number > 2) for number in range(30)]
    assert queues.depth("letters", redis=view) == queue.count == 30
    assert jobs[0].enqueued_at is not None
    age_s = (datetime.now(UTC) - jobs[0].enqueued_at).total_seconds()
    found = queues.oldest("letters", redis=view)
    assert found is not None
    assert age_s <= found <= (datetime.now(UTC) - jobs[0].enqueued_at).total_seconds()
    oldest = asking.oldest(view, "letters")
    assert oldest is not None
    assert oldest.job_id == jobs[0].id
    jobs[0].delete(remove_from_queue=False)  # its key is gone, its id still waits
    oldest = asking.oldest(view, "letters")
    assert oldest is not None
    assert oldest.job_id == jobs[1].id


@pytest.mark.parametrize("count", [1, 2, 3, 17, 400])
@pytest.mark.parametrize("front", [0, 1, 9, 1000])
def test_the_script_finds_the_same_job_as_several_round_trips(
    queue: Queue, connection: redis.Redis, count: int, front: int
) -> None:
    """Of `count` jobs, up to `front` were pushed at the front, the last one first."""
    start = datetime(2026, 11, 1, tzinfo=UTC)
    pipeline = connection.pipeline()
    for number in range(count):
        at = (start + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        pipeline.hset(f"rq:job:j{number}", "enqueued_at", at)
        push = pipeline.lpush if number % 3 and number < front else pipeline.rpush
        push(queue.key, f"j{number}")
    pipeline.execute()
    found = asking.oldest(connection, "letters")
    assert found == live_queues.oldest_jobs(connection, {"letters": count})["letters"]
    assert found is not None
    assert found.job_id == "j0"


def test_a_worker_that_is_killed_is_missed_at_once(queue: Queue, view: redis.Redis, programs: Programs) -> None:
    assert not queues.has_workers("letters", redis=view)
    assert queues.eta("letters", redis=view) is None
    worker = programs.start("rq", "worker", "--url", programs.environment["SHIPPER_REDIS"], "letters")
    wait_for(lambda: queues.has_workers("letters", redis=view), "the worker")
    wait_for(lambda: queues.eta("letters", redis=view) == 0.0, "it to be idle")
    assert not queues.has_workers("parcels", redis=view)
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: not queues.has_workers("letters", redis=view), "the worker to be missed")
    assert queues.eta("letters", redis=view) is None


def test_suspended_workers_take_no_jobs(queue: Queue, connection: redis.Redis, programs: Programs) -> None:
    worker = programs.start("rq", "worker", "--url", programs.environment["SHIPPER_REDIS"], "letters")
    wait_for(lambda: queues.has_workers(queue), "the worker")
    suspend(connection)
    queue.enqueue(
        work.add, 1, 2
    )  # a waiting worker looks whether it is suspended when a job comes, or a minute is over
    wait_for(lambda: not queues.has_workers(queue), "the worker to be suspended")
    resume(connection)
    wait_for(lambda: queues.has_workers(queue), "the worker to go on")
    assert worker.poll() is None


def test_the_time_until_a_start_follows_from_what_jobs_took(
    queue: Queue, connection: redis.Redis, programs: Programs, tmp_path: Path
) -> None:
    for _ in range(2):
        queue.enqueue(work.sleep, 0.2)
    programs.start("rq", "worker", "--url", programs.environment["SHIPPER_REDIS"], "letters")
    wait_for(lambda: queue.count == 0 and queues.eta(queue) == 0.0, "an idle worker")
    file = tmp_path / "go"
    for _ in range(4):
        queue.enqueue(work.wait_for, str(file))

    def is_busy() -> bool:
        (worker,) = Worker.all(queue=queue)
        return queue.count == 3 and worker.get_state() == "busy"

    wait_for(is_busy, "the worker to be busy with the first of them")
    (worker,) = Worker.all(queue=queue)
    mean = worker.total_working_time / (worker.successful_job_count + worker.failed_job_count)
    assert mean >= 0.2
    assert queues.eta(queue) == pytest.approx(4 * mean)
    file.touch()


@pytest.mark.parametrize(
    ("waiting", "states", "expected"),
    [
        (0, ["idle"], 0.0),
        (0, ["busy"], 2.0),
        (1, ["idle"], 2.0),
        (9, ["busy", "busy"], 10.0),
        (1, ["idle", "idle", "busy"], 0.0),
        (1, ["busy", "gone"], 4.0),
        (1, ["suspended"], None),
        (1, ["gone"], None),
        (0, [], None),
    ],
)
def test_an_estimate(waiting: int, states: list[str], expected: float | None) -> None:
    samples = [
        WorkerSample(name=str(number), state=state, expires_in_s=90, successes=5, failures=5, working_s=20)
        for number, state in enumerate(states)
    ]
    assert asking.eta_s(waiting, samples) == expected


def test_nobody_knows_before_the_first_job() -> None:
    assert asking.eta_s(1, [WorkerSample(name="w", state="busy", expires_in_s=90)]) is None


def test_the_redis_of_the_settings_is_asked_over_one_connection(
    queue: Queue, programs: Programs, trips: list[object]
) -> None:
    config = settings.load(environment=programs.environment)
    queue.enqueue(work.add, 1, 2)
    assert queues.depth("letters", settings=config) == 1
    trips.clear()
    assert queues.depth("letters", settings=config) == 1
    assert len(trips) == 1
    started = time.monotonic()
    gone = settings.load(environment={"SHIPPER_REDIS": "redis://127.0.0.1:1"})
    with pytest.raises(redis.RedisError):
        queues.depth("letters", settings=gone)
    assert time.monotonic() - started < LIMIT_S
