"""Redis connections: through a Sentinel, to a cluster, and with `decode_responses`.

RQ's workers run neither on a `RedisCluster` nor with `decode_responses` (docs/beside.md). Two tests show that, and fail
once an RQ supports it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import redis
import rq
from redis.sentinel import Sentinel as SentinelClient
from rq import Queue, Retry, SimpleWorker
from rq.command import send_stop_job_command
from rq.job import Job
from rq.registry import FailedJobRegistry

import shipper
from stack.redis import Cluster, Sentinel
from tests import work
from tests.programs import HOUR_S, LIMIT_S, ROOT, Programs, wait_for

HAS_PREFIX = hasattr(rq.defaults, "RQ_KEY_PREFIX")


# --- Sentinel -------------------------------------------------------------------------------------------


@pytest.fixture
def through(sentinel: Sentinel) -> Iterator[redis.Redis]:
    client = SentinelClient([("127.0.0.1", sentinel.port)])
    with client.master_for("mymaster") as connection:
        yield connection
    for one in client.sentinels:
        one.close()


@pytest.fixture
def config(sentinel: Sentinel, programs: Programs) -> str:
    """The name of RQ's settings file, written as RQ's documentation shows for a Sentinel."""
    (programs.folder / "sentinel_settings.py").write_text(
        f"SENTINEL = {{'INSTANCES': [('127.0.0.1', {sentinel.port})], 'MASTER_NAME': 'mymaster'}}\n"
    )
    programs.environment["PYTHONPATH"] = f"{programs.folder}{os.pathsep}{ROOT}"
    return "sentinel_settings"


def test_through_a_sentinel_every_job_is_told(
    queue: Queue, programs: Programs, through: redis.Redis, config: str
) -> None:
    letters = Queue(queue.name, connection=through)
    expected = {
        letters.enqueue(work.add, 1, 2).id: ["enqueued", "started", "finished"],
        letters.enqueue(work.fail, retry=Retry(max=1)).id: [
            "enqueued",
            "started",
            "retried",
            "enqueued",
            "started",
            "dead",
        ],
        letters.enqueue(work.be_killed).id: ["enqueued", "started", "dead"],
        letters.enqueue(work.tell_progress).id: ["enqueued", "started", "progressed", "progressed", "finished"],
        (canceled := letters.enqueue(work.add, 1, 2)).id: ["enqueued", "canceled"],
    }
    canceled.cancel()
    programs.run("shipper", "worker", "letters", "--burst", "--config", config)
    for job_id, actions in expected.items():
        records = sorted(_of(programs, job_id), key=lambda record: record["@timestamp"])
        assert [record["event"]["action"].removeprefix("job-") for record in records] == actions
    dead = list(expected)[1]
    state = shipper.jobs.get(dead, redis=through)
    assert state is not None
    assert (state.state, state.attempt, state.live) == ("dead", 2, True)
    half = shipper.jobs.get(list(expected)[3], redis=through)
    assert half is not None
    assert (half.state, half.percent, half.message) == ("finished", 100, "done")


def test_through_a_sentinel_operators_are_told(
    queue: Queue, programs: Programs, through: redis.Redis, config: str
) -> None:
    letters = Queue(queue.name, connection=through)
    gate = str(programs.folder / "gate")
    failed, running = letters.enqueue(work.fail), letters.enqueue(work.wait_for, gate, job_timeout=HOUR_S)
    flags = "--config", config, "--max-jobs", "2"
    worker = programs.start("rq", "worker", "letters", *flags, RQ_JOB_CLASS="shipper.LoggedJob")
    wait_for(lambda: len(_of(programs, running.id)) == len(("enqueued", "started")), "the job to start")
    send_stop_job_command(through, running.id)
    worker.wait(LIMIT_S)
    assert "job-stopped" in programs.actions()
    FailedJobRegistry(queue=letters).requeue(failed.id)
    letters.empty()
    assert [(one["event"]["action"], one["audit"]["resource"].get("id")) for one in programs.audit()] == [
        ("job-stop-requested", running.id),
        ("job-requeued", failed.id),
        ("job-deleted", failed.id),
        ("queue-emptied", "letters"),
    ]
    assert [record["event"]["action"] for record in _of(programs, failed.id)][-2:] == ["job-enqueued", "job-deleted"]


# --- a cluster ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    nodes = Cluster(tmp_path_factory.mktemp("cluster"))
    yield nodes
    nodes.stop()


@pytest.fixture
def spread(cluster: Cluster) -> Iterator[Any]:
    """A `redis.RedisCluster`. Typed as Any because RQ does not accept one."""
    with redis.RedisCluster("127.0.0.1", cluster.nodes[0].port) as connection:
        connection.flushall(target_nodes=redis.RedisCluster.ALL_NODES)
        yield connection


@pytest.mark.slow
def test_on_a_cluster_what_is_enqueued_and_taken_away_is_told(queue: Queue, programs: Programs, spread: Any) -> None:
    letters = Queue(queue.name, connection=spread)
    with shipper.log_context(user="bob"):
        job = letters.enqueue(work.add, 1, 2)
    later = letters.enqueue_in(timedelta(hours=1), work.add, 3, 4)
    (one_of_many,) = letters.enqueue_many([Queue.prepare_data(work.add, (5, 6))])
    one_of_many.delete()
    assert programs.actions() == ["job-enqueued", "job-scheduled", "job-enqueued", "job-deleted"]
    assert programs.audit()[0]["event"]["action"] == "job-deleted"
    assert Job.fetch(job.id, connection=spread).id == job.id
    waiting, scheduled = shipper.jobs.get(job.id, redis=spread), shipper.jobs.get(later.id, redis=spread)
    assert waiting is not None
    assert scheduled is not None
    assert (waiting.state, waiting.user, scheduled.state) == ("queued", "bob", "scheduled")


@pytest.mark.slow
def test_rq_s_own_workers_do_not_run_on_a_cluster_yet(spread: Any) -> None:
    with pytest.raises(AttributeError, match="connection_pool"):
        SimpleWorker(["letters"], connection=spread)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_PREFIX, reason="this RQ has no RQ_KEY_PREFIX yet")
def test_with_all_keys_in_one_slot_workers_run_on_its_node(programs: Programs, cluster: Cluster) -> None:
    """RQ's keys and ours: the node would refuse a key of another slot."""
    with redis.RedisCluster("127.0.0.1", cluster.nodes[0].port) as connection:
        connection.flushall(target_nodes=redis.RedisCluster.ALL_NODES)
        node = connection.get_node_from_key("{rq}:")
        url = f"redis://127.0.0.1:{node.port}/0"
        programs.environment |= {"SHIPPER_REDIS": url, "RQ_KEY_PREFIX": "{rq}", "RQ_JOB_CLASS": "shipper.LoggedJob"}
        for name in ("tell_progress", "be_killed", "enqueue_another"):
            programs.run("rq", "enqueue", "--queue", "letters", "--url", url, f"tests.work.{name}")
        programs.run("rq", "enqueue", "--queue", "letters", "--url", url, "tests.work.exit_with", ":0")
        programs.work("letters")
        keys = {key.split(b":")[0] for key in connection.scan_iter("*")}
    ends = [record["event"]["action"] for record in programs.records() if record["rq"].get("final")]
    assert sorted(ends) == ["job-dead", "job-dead", "job-finished", "job-finished", "job-finished"]
    assert programs.actions().count("job-progressed") == 2
    assert keys == {b"{rq}"}
    ours = {**os.environ, **programs.environment}
    done = next(record for record in programs.records() if record["event"]["action"] == "job-progressed")
    ask = f"import shipper; print(shipper.jobs.get({done['messaging']['message']['id']!r}))"
    answer = subprocess.run([sys.executable, "-c", ask], env=ours, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "percent=100.0" in answer.stdout


# --- decoded answers ------------------------------------------------------------------------------------


@pytest.fixture
def decoded(connection: redis.Redis, redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as texts:
        yield texts


def test_with_decoded_answers_what_is_enqueued_and_taken_away_is_told(
    queue: Queue, programs: Programs, decoded: redis.Redis
) -> None:
    letters = Queue(queue.name, connection=decoded)
    with shipper.log_context(user="bob"):
        job = letters.enqueue(work.add, 1, 2)
    letters.enqueue_in(timedelta(hours=1), work.add, 3, 4)
    letters.enqueue(work.add, 5, 6).cancel()
    letters.enqueue(work.add, 7, 8).delete()
    letters.empty()
    assert programs.actions() == [
        "job-enqueued",
        "job-scheduled",
        "job-enqueued",
        "job-canceled",
        "job-enqueued",
        "job-deleted",
        "job-deleted",
    ]
    emptied = programs.records()[-1]
    assert (emptied["messaging"]["message"]["id"], emptied["user"]["id"]) == (job.id, "bob")
    assert emptied["code"]["function"]["name"] == "tests.work.add"


def test_with_decoded_answers_a_job_is_answered_for(queue: Queue, programs: Programs, decoded: redis.Redis) -> None:
    with shipper.log_context(user="bob"):
        job = queue.enqueue(work.tell_progress)
    programs.work("letters")
    state = shipper.jobs.get(job.id, redis=decoded)
    assert state is not None
    assert (state.state, state.user, state.percent, state.message) == ("finished", "bob", 100, "done")


@pytest.mark.skipif(not hasattr(rq, "RateLimit"), reason="this RQ has no rate limits yet")
def test_with_decoded_answers_a_rate_limited_job_is_told(
    queue: Queue, programs: Programs, decoded: redis.Redis
) -> None:
    letters = Queue(queue.name, connection=decoded)
    limit = rq.RateLimit("post", concurrency=1)
    first = letters.enqueue(work.add, 1, 2, rate_limit=limit)
    letters.enqueue(work.add, 3, 4, rate_limit=limit)
    assert [(one["event"]["action"], one["messaging"]["message"]["id"] == first.id) for one in programs.records()] == [
        ("job-enqueued", True),
        ("job-rate-limited", False),
    ]


def test_rq_s_own_workers_do_not_run_with_decoded_answers(queue: Queue, decoded: redis.Redis) -> None:
    job = queue.enqueue(work.add, 1, 2)
    with suppress(UnicodeDecodeError):  # a worker logs it and exits
        SimpleWorker(["letters"], connection=decoded).work(burst=True, logging_level="CRITICAL")
    assert job.get_status() == "queued"


def _of(programs: Programs, job_id: str) -> list[dict[str, Any]]:
    return [record for record in programs.records() if record["messaging"]["message"]["id"] == job_id]
