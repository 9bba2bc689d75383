"""Asking Redis which jobs live now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job

import shipper
from shipper import settings
from shipper.live import jobs as live
from shipper.live.jobs import Criteria
from tests import sections_work, work
from tests.programs import Programs


@pytest.fixture
def environment(without_elasticsearch: dict[str, str]) -> dict[str, str]:
    """Nothing here needs it."""
    return without_elasticsearch


def find(environment: dict[str, str], **asked: Any) -> list[str]:
    made = settings.load(environment=environment)
    return sorted(state.job_id for state in shipper.jobs.find(settings=made, **asked))


def test_jobs_that_have_not_ended_are_found_in_redis(queue: Queue, environment: dict[str, str]) -> None:
    with shipper.log_context(user=7):
        waiting = queue.enqueue(sections_work.transfer, 7, "file", job_timeout=sections_work.TTL_S)
        later = queue.enqueue_in(timedelta(hours=1), work.add, 1, 2)
    other = queue.enqueue(work.add, 1, 2)
    dependent = queue.enqueue(work.add, 1, 2, depends_on=other)
    assert find(environment, state="queued") == sorted([waiting.id, other.id])
    assert find(environment, state=("queued", "scheduled"), user=7) == sorted([waiting.id, later.id])
    assert find(environment, state="deferred") == [dependent.id]
    assert find(environment, state="queued", family="financial") == [waiting.id]  # of its section
    assert find(environment, state="queued", family="tests.work") == [other.id]  # its module
    assert find(environment, state="queued", family="sections_work", user="7") == [waiting.id]
    assert find(environment, state="queued", function="tests.work.*") == [other.id]
    assert find(environment, state="queued", queue="others") == []


def ask_for_others(url: str) -> list[str]:
    made = settings.load(environment={"SHIPPER_REDIS": url})
    return [state.job_id for state in shipper.jobs.find(state="started", family="test_live_jobs", settings=made)]


def test_the_asking_job_is_left_out(queue: Queue, programs: Programs, redis_url: str, connection: redis.Redis) -> None:
    job = queue.enqueue("tests.integration.test_live_jobs.ask_for_others", redis_url)
    programs.work(queue.name)
    assert job.return_value() == []


def test_no_job_that_is_there_all_the_time_is_missed_while_others_come_and_go(
    queue: Queue, connection: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PAGE", 3)
    stay = [queue.enqueue(work.add, 1, 2).id for _ in range(10)]
    first = [queue.enqueue(work.add, 1, 2, at_front=True).id for _ in range(5)]
    found = []
    for number, state in enumerate(live.find(connection, Criteria(states=("queued",)))):
        found.append(state.job_id)
        if number < len(first):
            connection.lpop(queue.key)
            queue.enqueue(work.add, 1, 2)
    assert set(stay) <= set(found)


def test_errors_are_read_without_unpickling(queue: Queue, programs: Programs, connection: redis.Redis) -> None:
    job: Job = queue.enqueue(work.fail, "no such order")
    queue.enqueue(work.fail, "something else")
    programs.work(queue.name)
    (found,) = live.find(connection, Criteria(states=("dead",), error="SUCH order"))
    assert (found.job_id, found.error) == (job.id, "ValueError: no such order")


def test_odd_hashes_are_read_without_what_is_odd(queue: Queue, connection: redis.Redis) -> None:
    job = queue.enqueue(work.add, 1, 2)
    odd: dict[str, Any] = {
        "created_at": "soon",
        "retries_left": "many",
        "shipper": b'{"context": 7, "family": [], "function": {}}',
    }
    for name, value in odd.items():
        connection.hset(job.key, name, value)
    connection.xadd(f"rq:results:{job.id}", {"exc_string": "no base64"})
    (found,) = live.find(connection, Criteria(states=("queued",)), with_error=True)
    assert (found.function, found.user, found.family, found.created_at, found.error) == (
        "tests.work.add", None, None, None, None
    )  # fmt: skip
