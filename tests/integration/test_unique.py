"""Jobs that are there once: a second enqueue returns the first job, on every RQ."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from rq import Queue, Retry
from rq.job import Job

import shipper
from shipper import SectionError
from shipper.sections import unique
from tests import work
from tests.programs import LIMIT_S, Programs


@pytest.fixture
def environment(without_elasticsearch: dict[str, str]) -> dict[str, str]:
    """Nothing here needs it."""
    return without_elasticsearch


NAME = "{function}:{left}"


@shipper.unique("sum:{left}", until="started")
def declared(left: int, right: int) -> int:
    return left + right


def refused(programs: Programs) -> list[dict[str, Any]]:
    return [one for one in programs.records() if one["event"]["action"] == "job-refused"]


def test_a_second_enqueue_returns_the_first_job_and_is_recorded(queue: Queue, programs: Programs) -> None:
    first = queue.enqueue(work.add, 1, 2, unique=NAME)
    with shipper.log_context(user="eve"):
        second = queue.enqueue(work.add, left=1, right=3, unique=NAME)
    other = queue.enqueue(work.add, 2, 2, unique=NAME)
    assert second.id == first.id != other.id
    assert second.args == (1, 2)
    assert queue.job_ids == [first.id, other.id]
    (record,) = refused(programs)
    assert record["messaging"]["message"]["id"] == first.id
    assert (record["event"]["reason"], record["event"]["outcome"], record["user"]["id"]) == (
        "duplicate",
        "failure",
        "eve",
    )


@pytest.mark.parametrize(("until", "is_held"), [("started", False), ("finished", True), (3600, True)])
def test_for_how_long_a_job_keeps_its_name_while_it_runs(
    queue: Queue, connection: redis.Redis, until: Any, is_held: bool
) -> None:
    first = queue.enqueue(work.add, 1, 2, unique=NAME, unique_until=until)
    connection.hset(first.key, "status", "started")
    assert (queue.enqueue(work.add, 1, 2, unique=NAME, unique_until=until).id == first.id) == is_held


@pytest.mark.parametrize(("until", "is_held"), [("finished", False), (3600, True), (0.01, False)])
def test_for_how_long_a_job_keeps_its_name_after_its_end(
    queue: Queue, programs: Programs, until: Any, is_held: bool
) -> None:
    first = queue.enqueue(work.add, 1, 2, unique=NAME, unique_until=until)
    programs.work(queue.name)
    assert first.get_status() == "finished"
    assert (queue.enqueue(work.add, 1, 2, unique=NAME, unique_until=until).id == first.id) == is_held


@pytest.mark.parametrize("end", ["cancel", "delete"])
def test_a_job_that_is_gone_frees_its_name(queue: Queue, end: str) -> None:
    first = queue.enqueue(work.add, 1, 2, unique=NAME)
    getattr(first, end)()
    assert queue.enqueue(work.add, 1, 2, unique=NAME).id != first.id


def test_a_name_declared_on_the_function_holds_for_each_way_of_enqueueing(queue: Queue) -> None:
    first = queue.enqueue_in(timedelta(hours=1), declared, 1, 2)
    assert queue.enqueue(declared, 1, 2).id == first.id
    assert queue.enqueue_in(timedelta(hours=2), declared, 1, 2).id == first.id
    (many,) = queue.enqueue_many([Queue.prepare_data(declared, (1, 2))])
    assert many.id == first.id
    assert queue.count == 0
    dependent = queue.enqueue(declared, 1, 2, depends_on=first)
    assert dependent.id == first.id
    assert dependent.get_status() == "scheduled"


def test_a_retry_is_no_second_enqueue(queue: Queue, programs: Programs) -> None:
    first = queue.enqueue(work.fail, unique="{function}", retry=Retry(max=1))
    programs.work(queue.name)
    assert first.get_status() == "failed"
    assert refused(programs) == []
    assert [one["event"]["action"] for one in programs.records()].count("job-started") == 2


def test_a_job_whose_enqueuer_has_not_saved_it_yet_counts(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unique, "_GRACE_S", LIMIT_S)  # for so long: the machine may be busy
    with queue.connection.pipeline() as pipeline:
        first = queue.enqueue(work.add, 1, 2, unique=NAME, pipeline=pipeline)
        second: Job = queue.enqueue(work.add, 1, 2, unique=NAME)
        assert second.id == first.id
        pipeline.execute()
    assert queue.job_ids == [first.id]


def test_a_name_that_cannot_be_filled_is_an_error(queue: Queue) -> None:
    with pytest.raises(SectionError, match="the argument 'nobody'"):
        queue.enqueue(work.add, 1, 2, unique="{nobody}")
    with pytest.raises(SectionError, match="'left', which elsewhere"):
        queue.enqueue("elsewhere.add", 1, 2, unique=NAME)
    assert queue.enqueue("elsewhere.add", left=1, right=2, unique=NAME).id in queue.job_ids
