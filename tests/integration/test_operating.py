"""What operators do to RQ, with RQ's own commands and API, is on the audit trail; what RQ does by itself is not."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path

import pytest
import redis
from rq import Queue
from rq.command import send_shutdown_command, send_stop_job_command
from rq.exceptions import InvalidJobOperation
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.suspension import resume, suspend
from rq.worker import Worker

import shipper
from shipper import context
from shipper.audit.writer import login_name
from tests import work
from tests.programs import HOUR_S, LIMIT_S, Programs, wait_for
from tests.trail import follow

OURS = {"RQ_JOB_CLASS": "shipper.LoggedJob", "SHIPPER_ACTOR": "olga"}


def done(programs: Programs) -> list[tuple[str, str | None]]:
    """(action, id of the resource) of each."""
    return [(one["event"]["action"], one["audit"]["resource"].get("id")) for one in programs.audit()]


def failed_job(queue: Queue, programs: Programs) -> Job:
    with shipper.log_context(user="ann", customer="42"):
        job = queue.enqueue(work.fail)
    programs.work("letters")
    return job


def test_rq_requeue_is_an_operator_s_action_on_somebody_s_job(queue: Queue, programs: Programs) -> None:
    job = failed_job(queue, programs)
    programs.run("rq", "requeue", "--queue", "letters", "--url", programs.environment["SHIPPER_REDIS"], job.id, **OURS)
    (record,) = programs.audit()
    assert (record["event"]["action"], record["event"]["outcome"]) == ("job-requeued", "success")
    assert record["audit"] | {"chain": {}} == {
        "actor": {"type": "operator"},
        "chain": {},
        "resource": {"type": "job", "id": job.id, "name": "tests.work.fail"},
    }
    assert record["user"] == {"id": "olga", "target": {"id": "ann"}}
    assert record["organization"]["id"] == "42"
    assert record["messaging"]["message"]["id"] == job.id
    assert record["message"] == "olga: job-requeued job tests.work.fail"


def test_rq_s_commands_for_queues_and_workers(queue: Queue, programs: Programs) -> None:
    url = programs.environment["SHIPPER_REDIS"]
    with shipper.log_context(user="ann"):
        jobs = [queue.enqueue(work.add, 1, 2) for _ in range(2)]
    programs.run("rq", "empty", "letters", "--url", url, **OURS)
    programs.run("rq", "suspend", "--url", url, **OURS)
    programs.run("rq", "resume", "--url", url, **OURS)
    assert done(programs) == [
        ("job-deleted", jobs[0].id),  # each job's own record, as after deleting it by itself
        ("job-deleted", jobs[1].id),
        ("queue-emptied", "letters"),
        ("workers-suspended", "all"),
        ("workers-resumed", "all"),
    ]
    assert [record["event"].get("reason") for record in programs.audit()[1:3]] == [
        "the queue letters was emptied",
        "2 jobs",
    ]
    assert [record["user"].get("target") for record in programs.audit()[:3]] == [{"id": "ann"}, {"id": "ann"}, None]
    assert {record["user"]["id"] for record in programs.audit()} == {"olga"}


def test_where_nobody_is_named_it_was_who_is_logged_in(queue: Queue, programs: Programs) -> None:
    job = failed_job(queue, programs)
    where = "--url", programs.environment["SHIPPER_REDIS"]
    programs.run("rq", "requeue", "--queue", "letters", *where, job.id, RQ_JOB_CLASS="shipper.LoggedJob")
    programs.run("rq", "empty", "letters", *where, RQ_JOB_CLASS="shipper.LoggedJob")
    assert done(programs) == [("job-requeued", job.id), ("job-deleted", job.id), ("queue-emptied", "letters")]
    assert {(one["user"]["id"], one["audit"]["actor"]["type"]) for one in programs.audit()} == {
        (login_name(), "operator")
    }


def test_the_api_of_rq(queue: Queue, programs: Programs, connection: redis.Redis) -> None:
    jobs = [queue.enqueue(work.add, 1, 2) for _ in range(3)]
    jobs[0].cancel()
    jobs[1].delete()
    suspend(connection)
    resume(connection)
    queue.empty()
    assert done(programs) == [
        ("job-canceled", jobs[0].id),
        ("job-deleted", jobs[1].id),
        ("workers-suspended", "all"),
        ("workers-resumed", "all"),
        ("job-deleted", jobs[2].id),
        ("queue-emptied", "letters"),
    ]


def test_what_was_tried_in_vain_is_a_failure(queue: Queue, programs: Programs) -> None:
    job = queue.enqueue(work.add, 1, 2)
    job.cancel()
    with pytest.raises(InvalidJobOperation):
        job.cancel()
    with pytest.raises(InvalidJobOperation):
        FailedJobRegistry("letters", queue.connection).requeue(job)
    assert [record["event"]["outcome"] for record in programs.audit()] == ["success", "failure", "failure"]
    assert "Cannot cancel already canceled job" in programs.audit()[1]["error"]["message"]


def test_a_pipeline_that_is_not_executed_is_no_action(queue: Queue, programs: Programs) -> None:
    job, other = queue.enqueue(work.add, 1, 2), queue.enqueue(work.add, 1, 2)
    with queue.connection.pipeline() as pipeline:
        job.cancel(pipeline=pipeline)
    with queue.connection.pipeline() as pipeline:
        other.cancel(pipeline=pipeline)
        assert done(programs) == []
        pipeline.execute()
    assert done(programs) == [("job-canceled", other.id)]


def test_stopping_a_job_and_ending_a_worker(queue: Queue, programs: Programs, connection: redis.Redis) -> None:
    job = queue.enqueue(work.sleep, HOUR_S, job_timeout=HOUR_S)
    worker = programs.start(
        "rq", "worker", "letters", "--url", programs.environment["SHIPPER_REDIS"], RQ_JOB_CLASS="shipper.LoggedJob"
    )
    wait_for(lambda: "job-started" in programs.actions(), "the job to start")
    send_stop_job_command(connection, job.id)
    wait_for(lambda: "job-stopped" in programs.actions(), "the job to stop")
    (name,) = [one.name for one in Worker.all(connection)]
    send_shutdown_command(connection, name)
    assert worker.wait(LIMIT_S) in (0, -signal.SIGINT)
    assert done(programs) == [("job-stop-requested", job.id), ("worker-shutdown-requested", name)]


def test_what_rq_does_by_itself_is_nobody_s_action(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.add, 1, 2, result_ttl=0)  # deleted by RQ when it has finished
    queue.enqueue(work.fail, failure_ttl=1)
    programs.work("letters")
    programs.work("letters", "--with-scheduler")
    assert programs.audit() == []


def test_an_operation_from_a_job_or_for_a_user_carries_them(queue: Queue, programs: Programs) -> None:
    victim = queue.enqueue(work.add, 1, 2)
    with shipper.actor(id="ann"):
        victim.cancel()
        other = queue.enqueue(work.add, 1, 2)
        before = context.running.set(context.RunningJob("j-1", "f", "letters", 1, None, "j-1"))
        try:
            other.cancel()
        finally:
            context.running.reset(before)
    by_user, by_job = programs.audit()
    assert (by_user["audit"]["actor"], by_user["user"]["id"]) == ({"type": "user"}, "ann")
    assert by_job["audit"]["actor"] == {"type": "job", "requester": "user"}
    follow([by_user, by_job])


class Trap:
    """A payload that leaves a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self._path),)


def test_emptying_a_queue_unpickles_nothing_of_its_jobs(queue: Queue, programs: Programs, tmp_path: Path) -> None:
    job = queue.enqueue(work.add, 1, 2)
    trap = pickle.dumps(Trap(tmp_path / "sprung"))
    queue.connection.hset(job.key, mapping={"meta": trap, "result": trap})
    programs.run("rq", "empty", "letters", "--url", programs.environment["SHIPPER_REDIS"], **OURS)
    assert not (tmp_path / "sprung").exists()
    (deleted,) = [one for one in programs.records() if one["event"]["action"] == "job-deleted"]
    assert deleted["messaging"]["message"]["id"] == job.id
