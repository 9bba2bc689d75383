"""The reconciler of `shipper watch` on a real Redis: records what no hook can see, once, and changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from elasticsearch import Elasticsearch
from rq import Queue
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job

from tests import work
from tests.programs import HOUR_S, Programs, count, wait_for

pytestmark = pytest.mark.slow


def expired(queue: Queue, programs: Programs) -> Job:
    job = queue.enqueue(work.add, 1, 2, ttl=1)
    wait_for(lambda: not queue.connection.exists(job.key), "the job to expire")
    return job


def deleted_by_hand(queue: Queue, programs: Programs) -> Job:
    job = queue.enqueue(work.add, 1, 2)
    queue.connection.delete(job.key, queue.key)
    return job


def taken_by_a_worker_that_died(queue: Queue, programs: Programs) -> Job:
    job = queue.enqueue(work.add, 1, 2)
    queue.connection.delete(queue.key)
    return job


def finished_by_a_worker_without_records(queue: Queue, programs: Programs) -> Job:
    job = queue.enqueue(work.add, 1, 2)
    programs.run("rq", "worker", queue.name, "--burst", "--url", programs.environment["SHIPPER_REDIS"])
    return job


def stuck(queue: Queue, programs: Programs) -> Job:
    job = queue.enqueue(work.add, work.Picky(), 2)
    queue.connection.lmove(queue.key, IntermediateQueue(queue.key, connection=queue.connection).key)
    return job


def waiting(queue: Queue, programs: Programs) -> Job:
    return queue.enqueue(work.add, work.Picky(), 2)


def started(queue: Queue, lease: float | None) -> Job:
    """A job as a worker leaves it that went down with its machine."""
    job = queue.enqueue(work.add, 1, 2)
    queue.connection.delete(queue.key)
    queue.connection.hset(job.key, mapping={"status": "started", "worker_name": "gone"})
    if lease is not None:
        queue.connection.zadd(f"rq:wip:{queue.name}", {f"{job.id}:execution": lease})
    return job


def abandoned_with_nobody_to_find_it(queue: Queue, programs: Programs) -> Job:
    return started(queue, time.time() - 3600)


def running_by_nobody(queue: Queue, programs: Programs) -> Job:
    return started(queue, None)


def running(queue: Queue, programs: Programs) -> Job:
    return started(queue, time.time() + HOUR_S)


def everything(connection: redis.Redis) -> dict[bytes, Any]:
    return {key: connection.dump(key) for key in connection.scan_iter()}


@pytest.mark.parametrize(
    ("play", "action", "reason", "state"),
    [
        (expired, "job-dead", "expired", "expired"),
        (deleted_by_hand, "job-deleted", None, "deleted"),
        (taken_by_a_worker_that_died, "job-dead", "lost", "lost"),
        (finished_by_a_worker_without_records, "job-finished", None, "finished"),
        (abandoned_with_nobody_to_find_it, "job-dead", "abandoned", "dead"),
        (running_by_nobody, "job-dead", "lost", "lost"),
        (stuck, None, None, "queued"),
        (waiting, None, None, "queued"),
        (running, None, None, "queued"),
    ],
)
def test_what_no_hook_sees_is_told_once(
    play: Callable[[Queue, Programs], Job],
    action: str | None,
    reason: str | None,
    state: str,
    queue: Queue,
    programs: Programs,
    search: Elasticsearch,
    namespace: str,
) -> None:
    job = play(queue, programs)
    before = everything(queue.connection)
    for _ in range(2):  # the second pass finds the records of the first one
        programs.run("shipper", "run", "--once")
        count(search, f"rq-state-{namespace}")
        programs.run("shipper", "watch", "--reconcile", "--once", "--grace", "0")
    programs.run("shipper", "run", "--once")
    assert everything(queue.connection) == before
    inferred = [record for record in programs.records() if record["rq"].get("inferred")]
    assert [(record["event"]["action"], record["event"].get("reason")) for record in inferred] == (
        [(action, reason)] if action else []
    )
    assert search.get(index=f"rq-state-{namespace}", id=job.id)["_source"]["state"] == state


def test_a_witness_that_comes_later_is_neither_silenced_nor_overruled(
    queue: Queue, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    job = queue.enqueue(work.add, 1, 2)
    list_of_the_queue = queue.connection.dump(queue.key)
    assert list_of_the_queue is not None
    queue.connection.delete(queue.key)
    programs.run("shipper", "run", "--once")
    count(search, f"rq-state-{namespace}")
    programs.run("shipper", "watch", "--reconcile", "--once", "--grace", "0")
    queue.connection.restore(queue.key, 0, list_of_the_queue)
    programs.work("letters")
    programs.run("shipper", "run", "--once")
    assert programs.actions() == ["job-enqueued", "job-dead", "job-started", "job-finished"]
    assert count(search, f"rq-job-{namespace}-*") == 4
    assert search.get(index=f"rq-state-{namespace}", id=job.id)["_source"]["state"] == "finished"


def test_the_jobs_of_other_services_are_left_to_their_own_watch(
    queue: Queue, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    job = queue.enqueue(work.add, 1, 2)
    queue.connection.delete(job.key, queue.key)  # or it is on another Redis: it cannot be seen from here
    programs.run("shipper", "run", "--once")
    count(search, f"rq-state-{namespace}")
    watch = ("shipper", "watch", "--reconcile", "--once", "--grace", "0")
    programs.run(*watch, SHIPPER_SERVICE="crm")
    assert programs.actions() == ["job-enqueued"]
    programs.run(*watch, SHIPPER_SERVICE="crm", SHIPPER_SERVICES="letters=tests")
    assert programs.actions() == ["job-enqueued", "job-deleted"]


def test_trouble_is_said(programs: Programs) -> None:
    done = programs.run(
        "shipper", "watch", "--reconcile", "--once", check=False, SHIPPER_ELASTICSEARCH="http://127.0.0.1:1"
    )
    assert (done.returncode, "cannot be reached" in done.stderr) == (1, True)
