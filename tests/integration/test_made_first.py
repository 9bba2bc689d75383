"""Jobs that are created in one process and pushed later by another: with rq-scheduler, and in the way of Flask-RQ2.

They carry the context of the process that created them. rq-scheduler is the real one; of Flask-RQ2 the test makes the
two calls of RQ.
"""

from __future__ import annotations

from typing import Any

import pytest
from rq import Queue
from rq.job import Job

import shipper
from tests import work
from tests.programs import Programs

TRACE = "0af7651916cd43dd8448eb211c80319c"
MAKE = """
import datetime, os, redis, shipper
from rq_scheduler import Scheduler
from tests import work
shipper.instrument()
scheduler = Scheduler("letters", connection=redis.Redis.from_url(os.environ["SHIPPER_REDIS"]))
now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)  # as rq-scheduler expects it
with shipper.actor(id="ann"), shipper.log_context(customer="42", trace_id={trace!r}):
    {call}
"""
CALLS = {
    "at": "scheduler.enqueue_at(now, work.add, 1, 2)",
    "in": "scheduler.enqueue_in(datetime.timedelta(0), work.add, 1, 2)",
    "repeated": "scheduler.schedule(now, work.add, [1, 2], interval=3600)",
}


def push_what_is_due(programs: Programs) -> None:
    """Run rq-scheduler's own program, which knows only our job class."""
    url = programs.environment["SHIPPER_REDIS"]
    programs.run(
        "python",
        "-m",
        "rq_scheduler.scripts.rqscheduler",
        "--url",
        url,
        "--burst",
        "--job-class",
        "shipper.LoggedJob",
        SHIPPER_ACTOR="cron",
    )


def of(programs: Programs, function: str) -> list[dict[str, Any]]:
    return [one for one in programs.records() if one["code"]["function"]["name"] == f"tests.work.{function}"]


@pytest.mark.usefixtures("queue")
@pytest.mark.parametrize("call", CALLS)
def test_a_job_of_rq_scheduler_s_carries_user_and_trace_of_where_it_was_made(programs: Programs, call: str) -> None:
    programs.run("python", "-c", MAKE.format(trace=TRACE, call=CALLS[call]))
    push_what_is_due(programs)
    programs.work("letters")
    assert [record["event"]["action"] for record in programs.records()] == [
        "job-enqueued",
        "job-started",
        "job-finished",
    ]
    for record in programs.records():
        assert (record["user"]["id"], record["organization"]["id"], record["trace"]["id"]) == ("ann", "42", TRACE)
    assert programs.audit() == []  # a scheduler is not an operator


def test_a_job_that_a_job_gives_to_rq_scheduler_knows_its_parent(queue: Queue, programs: Programs) -> None:
    with shipper.log_context(user="ann"):
        parent = queue.enqueue(work.schedule_another)
    programs.work("letters")
    push_what_is_due(programs)
    programs.work("letters")
    child = of(programs, "add")
    assert [record["event"]["action"] for record in child] == ["job-enqueued", "job-started", "job-finished"]
    assert {(one["rq"]["parent_job_id"], one["rq"]["root_job_id"]) for one in child} == {(parent.id, parent.id)}
    assert {record["user"]["id"] for record in child} == {"ann"}


def test_a_job_that_is_made_first_and_pushed_later_carries_where_it_was_made(queue: Queue, programs: Programs) -> None:
    with shipper.actor(id="ann"), shipper.log_context(customer="42", trace_id=TRACE):
        job = Job.create(work.add, args=(1, 2), connection=queue.connection, origin=queue.name, timeout=60)
        job.save()
    with shipper.actor(id="bob"), shipper.log_context(customer="43"):
        queue.enqueue_job(Job.fetch(job.id, connection=queue.connection))
    programs.work("letters")
    assert programs.actions() == ["job-enqueued", "job-started", "job-finished"]
    for record in programs.records():
        assert (record["user"]["id"], record["organization"]["id"], record["trace"]["id"]) == ("ann", "42", TRACE)
