"""Acting on jobs, one or a whole set: exactly those that were chosen, once, and on the audit trail."""

from __future__ import annotations

import json
import os
import signal
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.registry import FailedJobRegistry

import shipper
from shipper import ShipperError, operate, settings
from shipper.live import jobs as live
from shipper.live.jobs import Criteria
from shipper.operate import bulk
from shipper.operate.bulk import Plan
from shipper.sections import caller, section
from tests import sections_work, work
from tests.programs import HOUR_S, LIMIT_S, Programs, wait_for

DEAD = Criteria(states=("dead",))


@pytest.fixture
def environment(without_elasticsearch: dict[str, str]) -> dict[str, str]:
    """Nothing here needs it."""
    return without_elasticsearch


@pytest.fixture
def here(environment: dict[str, str], redis_url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What calls in this process are given, to use the test's Redis."""
    monkeypatch.setattr(caller, "_own_connection", lambda: redis.Redis.from_url(redis_url))
    return {"settings": settings.load(environment=environment)}


def dead_jobs(queue: Queue, programs: Programs, *messages: str, user: str = "ann") -> list[Job]:
    with shipper.log_context(user=user):
        jobs = [queue.enqueue(work.fail, message) for message in messages]
    programs.work(queue.name, "--worker-class", "rq.worker.SimpleWorker")
    return jobs


def audited(programs: Programs) -> list[tuple[str, str | None, str | None]]:
    """(action, id of the resource, reason) of each."""
    return [
        (one["event"]["action"], one["audit"]["resource"].get("id"), one["event"].get("reason"))
        for one in programs.audit()
    ]


# --- one job --------------------------------------------------------------------------------------------


def test_a_dead_job_is_run_again_and_the_trail_says_who_did_it(
    queue: Queue, programs: Programs, here: dict[str, Any]
) -> None:
    (job,) = dead_jobs(queue, programs, "no such order")
    with shipper.actor(id="olga"):
        operate.requeue(job.id, reason="the order is there", **here)
    assert (job.get_status(), queue.job_ids) == ("queued", [job.id])
    assert FailedJobRegistry(queue=queue).count == 0
    assert audited(programs) == [("job-requeued", job.id, "the order is there")]
    assert programs.audit()[0]["user"] == {"id": "olga", "target": {"id": "ann"}}
    assert [one["rq"].get("cause") for one in programs.records()][-1] == "requeue"
    programs.work(queue.name)
    assert job.get_status() == "failed"
    with pytest.raises(ShipperError, match="There is no job nobody-s"):
        operate.requeue("nobody-s", **here)


def test_cancelling_discarding_and_stopping(queue: Queue, programs: Programs, here: dict[str, Any]) -> None:
    job, other = queue.enqueue(work.add, 1, 2), queue.enqueue(work.add, 1, 2)
    operate.cancel(job.id, reason="not wanted", **here)
    with pytest.raises(ShipperError, match="has ended already: it is canceled"):
        operate.cancel(job.id, **here)
    operate.requeue(job.id, **here)
    operate.discard(other.id, reason="twice", **here)
    assert queue.job_ids == [job.id]
    assert not Job.exists(other.id, queue.connection)
    with pytest.raises(ShipperError, match="nothing to stop"):
        operate.stop(job.id, **here)
    assert [(action, reason) for action, _, reason in audited(programs)] == [
        ("job-canceled", "not wanted"),
        ("job-requeued", None),
        ("job-deleted", "twice"),
    ]


def test_a_running_job_is_stopped_by_the_command(queue: Queue, programs: Programs) -> None:
    job = queue.enqueue(work.sleep, HOUR_S, job_timeout=HOUR_S)
    url = programs.environment["SHIPPER_REDIS"]
    programs.start("rq", "worker", queue.name, "--url", url, RQ_JOB_CLASS="shipper.LoggedJob")
    wait_for(lambda: "job-started" in programs.actions(), "the job to start")
    assert "is running" in programs.run("shipper", "job", job.id, "--cancel", check=False).stderr
    assert "is running" in programs.run("shipper", "job", job.id, "--discard", check=False).stderr
    programs.run("shipper", "job", job.id, "--stop", "--reason", "too long", "--actor", "olga")
    wait_for(lambda: "job-stopped" in programs.actions(), "the job to stop")
    assert audited(programs) == [("job-stop-requested", job.id, "too long")]
    assert programs.audit()[0]["user"]["id"] == "olga"


def test_no_payload_is_unpickled(queue: Queue, programs: Programs, here: dict[str, Any]) -> None:
    job = queue.enqueue(work.add, work.Picky(), meta={"x": work.Picky()})
    operate.cancel(job.id, **here)
    operate.requeue(job.id, **here)
    assert queue.job_ids == [job.id]
    operate.discard(job.id, **here)
    assert queue.count == 0


# --- a whole set ----------------------------------------------------------------------------------------


def test_exactly_the_set_that_was_listed_is_run_again(queue: Queue, programs: Programs, here: dict[str, Any]) -> None:
    timed_out = dead_jobs(queue, programs, "timed out: 1", "timed out: 2")
    dead_jobs(queue, programs, "no such order")
    dead_jobs(queue, programs, "timed out: 3", user="eve")
    listed = programs.run("shipper", "jobs", "--state", "dead", "--user", "ann", "--error", "Timed Out", "--json")
    assert {json.loads(line)["job_id"] for line in listed.stdout.splitlines()} == {job.id for job in timed_out}
    seen: list[tuple[int, int]] = []
    outcome = operate.requeue_all(
        user="ann", error="Timed Out", reason="mended", progress=lambda *done: seen.append(done), **here
    )
    assert (outcome.done, outcome.changed) == (2, 0)
    assert seen == [(1, 2), (2, 2)]
    assert sorted(queue.job_ids) == sorted(job.id for job in timed_out)
    assert FailedJobRegistry(queue=queue).count == 2
    *each, whole = audited(programs)
    assert {(action, reason) for action, _, reason in each} == {("job-requeued", "mended")}
    assert (whole[0], whole[2]) == ("jobs-requeued", "2 jobs: mended")


def test_what_changed_or_came_since_is_left_alone(
    queue: Queue, programs: Programs, here: dict[str, Any], connection: redis.Redis
) -> None:
    first, second, third = dead_jobs(queue, programs, "a", "b", "c")
    plan = Plan(connection, "requeue", DEAD)
    seen: list[tuple[int, int]] = []
    assert plan.choose(lambda *so_far: seen.append(so_far)) == 3
    assert seen == [(3, 0)]
    operate.requeue(first.id, **here)
    programs.work(queue.name)  # it failed again: that is another failure
    operate.discard(second.id, **here)
    (later,) = dead_jobs(queue, programs, "d")
    outcome = plan.run()
    assert (outcome.done, outcome.changed) == (1, 2)
    assert queue.job_ids == [third.id]
    assert {first.id, later.id} == set(FailedJobRegistry(queue=queue).get_job_ids())


def test_an_interrupted_run_is_gone_on_with_and_nothing_is_done_twice(
    queue: Queue, programs: Programs, here: dict[str, Any]
) -> None:
    jobs = dead_jobs(queue, programs, *"abcdef")
    # The first at once, and each of the others a minute after the one before: five of them until it would be done.
    command = ("shipper", "jobs", "--requeue", "--yes", "--rate", "1/m")
    running = programs.start(*command)
    wait_for(lambda: queue.count, "a job to be pushed")
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    pushed = queue.count
    assert 1 <= pushed < len(jobs)
    programs.work(queue.name, "--worker-class", "rq.worker.SimpleWorker")  # they fail again: not for this run
    wait_for(lambda: not queue.connection.keys("shipper:section:plan:*"), "the killed process's lease to run out")
    done = programs.run("shipper", "jobs", "--requeue", "--yes")
    assert "Going on with an interrupted run" in done.stderr
    assert queue.count == len(jobs) - pushed
    requeued = [str(identifier) for action, identifier, _ in audited(programs) if action == "job-requeued"]
    assert sorted(requeued) == sorted(job.id for job in jobs)


def test_it_asks_first_with_the_count(queue: Queue, programs: Programs) -> None:
    dead_jobs(queue, programs, "a", "b")
    asked = programs.run("shipper", "jobs", "--discard", check=False, stdin=b"n\n")
    assert "Discard 2 jobs (state=dead)?" in asked.stderr
    assert (asked.returncode, FailedJobRegistry(queue=queue).count) == (1, 2)
    assert programs.run("shipper", "jobs", "--discard", check=False).returncode == 1  # nobody answers
    done = programs.run("shipper", "jobs", "--discard", "--reason", "old", stdin=b"y\n")
    assert "2 jobs discarded" in done.stderr
    assert FailedJobRegistry(queue=queue).count == 0
    assert "There is no way to requeue jobs that are queued" in (
        programs.run("shipper", "jobs", "--state", "queued", "--requeue", check=False).stderr
    )


def test_memory_is_flat(connection: redis.Redis, queue: Queue, here: dict[str, Any], monkeypatch: Any) -> None:
    """Of ten times as many jobs a plan needs no more memory here."""
    monkeypatch.setattr(bulk, "_ACTS", {"discard": ("jobs-discarded", lambda *_: "done")})
    monkeypatch.setattr(bulk, "_PAGE", 50)
    # What extends the plan's lease needs memory of its own: however slow this is, it has nothing to do meanwhile.
    monkeypatch.setattr(bulk, "_LEASE_S", 3 * LIMIT_S)
    monkeypatch.setattr(section, "BEAT_S", LIMIT_S)
    monkeypatch.setattr(live, "PAGE", 50)

    def peak(count: int) -> int:
        with connection.pipeline(transaction=False) as pipeline:
            for number in range(count):
                pipeline.hset(f"rq:job:j{number}", "status", "failed")
                pipeline.zadd(f"rq:failed:{queue.name}", {f"j{number}": number})
            pipeline.sadd("rq:queues", queue.key)
            pipeline.execute()
        tracemalloc.start()
        plan = Plan(connection, "discard", DEAD)
        assert plan.choose() == count
        assert plan.run().done == count
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(300)  # which imports what it needs
    connection.flushdb()
    few = peak(300)
    connection.flushdb()
    assert peak(3000) < 1.5 * few


# --- sections -------------------------------------------------------------------------------------------


def test_locks_shows_who_holds_and_who_waits_and_releases(
    queue: Queue, programs: Programs, here: dict[str, Any], tmp_path: Path
) -> None:
    gate, file = str(tmp_path / "gate"), str(tmp_path / "notes")
    worker = ("rq", "worker", queue.name, "--url", programs.environment["SHIPPER_REDIS"])
    holder = queue.enqueue(sections_work.hold, 7, gate, file, job_timeout=sections_work.TTL_S)
    programs.start(*worker, RQ_JOB_CLASS="shipper.LoggedJob")
    wait_for(Path(file).exists, "the section to be held")  # before the other job could be in it
    waiter = queue.enqueue(sections_work.transfer, 7, file, job_timeout=sections_work.TTL_S)
    programs.start(*worker, RQ_JOB_CLASS="shipper.LoggedJob")
    wait_for(lambda: "job-busy" in programs.actions(), "the other job to be kept out")
    (shown,) = json.loads(programs.run("shipper", "locks", "--json").stdout)["sections"]
    assert (shown["name"], shown["holder"], shown["function"]) == ("financial:7", holder.id, "tests.sections_work.hold")
    assert [one["who"] for one in shown["waiters"]] == [waiter.id]
    said = programs.run("shipper", "locks").stdout
    assert f"financial:7  held by {holder.id}" in said
    assert waiter.id in said
    assert "--reason" in programs.run("shipper", "locks", "--release", "financial:7", check=False).stderr
    programs.run("shipper", "locks", "--release", "financial:7", "--reason", "it hangs", "--actor", "olga")
    wait_for(lambda: waiter.get_status() == "finished", "the other job to get in")
    (released,) = [one for one in programs.audit() if one["event"]["action"] == "section-released"]
    assert released["audit"]["resource"] == {
        "type": "section", "id": "financial:7", "name": "tests.sections_work.hold"
    }  # fmt: skip
    assert released["event"]["reason"] == f"held by job {holder.id}: it hangs"
    assert (released["user"]["id"], released["messaging"]["message"]["id"]) == ("olga", holder.id)
    Path(gate).touch()
    with pytest.raises(ShipperError, match="Nobody holds"):
        operate.release_section("nothing", reason="x", **here)


def test_a_list_shows_no_secret_and_obeys_nothing(queue: Queue, programs: Programs) -> None:
    dead_jobs(queue, programs, "password=hunter2 \x1b[31mred")
    for flags in ((), ("--json",)):
        said = programs.run("shipper", "jobs", *flags).stdout
        assert "hunter2" not in said
        assert "\x1b" not in said
        assert "ValueError" in said
