"""Real jobs, the real `rq` command, real signals: what is written in the end."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from rq import Queue, Retry

import shipper
from shipper import records
from tests import work
from tests.programs import Programs


def test_a_job_that_works_is_enqueued_started_and_finished(queue: Queue, programs: Programs) -> None:
    with shipper.log_context(user="bob", customer="42", region="eu"):
        job = queue.enqueue(work.add, 1, 2)
    programs.work("letters")
    enqueued, started, finished = programs.records()
    assert programs.actions() == ["job-enqueued", "job-started", "job-finished"]
    assert job.enqueued_at is not None
    for record in (enqueued, started, finished):
        assert record["messaging"]["message"] == {"id": job.id, "body": {"size": len(job.data)}}
        assert record["messaging"]["destination"]["name"] == "letters"
        assert record["code"]["function"]["name"] == "tests.work.add"
        assert record["rq"]["enqueued_at"] == records.timestamp(job.enqueued_at)
        assert (record["user"]["id"], record["organization"]["id"]) == ("bob", "42")
        assert record["labels"] == {"region": "eu"}
        assert record["service"]["name"] == "tests"
    assert started["process"]["pid"] == finished["process"]["pid"] != enqueued["process"]["pid"]
    assert started["rq"]["lag_ms"] >= 0
    assert finished["event"]["duration"] > 0
    assert finished["rq"]["execution_id"] == started["rq"]["execution_id"]
    assert finished["rq"]["final"] is True
    assert (finished["rq"]["result_type"], finished["rq"]["args"]) == ("int", {"0": 1, "1": 2})
    assert finished["rq"]["result_bytes"] == len(pickle.dumps(3, protocol=pickle.HIGHEST_PROTOCOL))
    assert finished["rq"]["payload_stored_bytes"] == queue.connection.hstrlen(job.key, "data")


def test_a_job_that_raises_is_dead_with_its_error(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.fail, "no such order")
    programs.work("letters")
    dead = programs.records()[-1]
    assert programs.actions() == ["job-enqueued", "job-started", "job-dead"]
    assert dead["error"]["type"] == "ValueError"
    assert dead["error"]["message"] == "no such order"
    assert "in fail" in dead["error"]["stack_trace"]
    assert "shipper/emit" not in dead["error"]["stack_trace"]
    assert (dead["event"]["reason"], dead["rq"]["retry_verdict"]) == ("exception", "no_retry")


def test_each_attempt_of_a_job_ends_once(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.fail, retry=Retry(max=1))
    programs.work("letters")
    ends = [record for record in programs.records() if "end" in record["event"]]
    assert [end["event"]["action"] for end in ends] == ["job-retried", "job-dead"]
    assert [end["rq"]["attempt"] for end in ends] == [1, 2]
    assert [end["rq"]["retries_left"] for end in ends] == [0, 0]
    assert [end["rq"]["final"] for end in ends] == [False, True]
    assert ends[1]["rq"]["retry_verdict"] == "exhausted"
    causes = [record["rq"]["cause"] for record in programs.records() if record["event"]["action"] == "job-enqueued"]
    assert causes == ["api", "retry"]


def test_a_work_horse_that_was_killed_is_told_of_by_its_parent(queue: Queue, programs: Programs) -> None:
    with shipper.log_context(user="bob"):
        queue.enqueue(work.be_killed)
    programs.work("letters")
    dead = programs.records()[-1]
    assert dead["event"]["reason"] == "killed"
    assert dead["rq"]["signal"] == "SIGKILL"
    assert dead["rq"]["max_rss_kb"] > 1000
    assert dead["code"]["function"]["name"] == "tests.work.be_killed"
    assert dead["user"]["id"] == "bob"


def test_a_job_that_takes_too_long_timed_out(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.sleep, 30, job_timeout=1)
    programs.work("letters")
    assert programs.records()[-1]["event"]["reason"] == "timeout"


def test_a_job_that_cannot_be_imported_is_dead(queue: Queue, programs: Programs) -> None:
    queue.enqueue("tests.work.not_there")
    programs.work("letters")
    assert programs.actions()[-1] == "job-dead"


def test_a_payload_that_cannot_be_read_is_dead(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.add, work.Picky(), 1)
    programs.work("letters")
    dead = programs.records()[-1]
    assert (dead["event"]["action"], dead["event"]["reason"]) == ("job-dead", "undecodable")


def test_jobs_of_a_pipeline_are_recorded_when_it_is_executed(queue: Queue, programs: Programs) -> None:
    with queue.connection.pipeline() as pipeline:
        queue.enqueue(work.add, 1, 2, pipeline=pipeline)
        queue.enqueue(work.add, 3, 4, pipeline=pipeline)
        assert programs.actions() == []
        pipeline.execute()
    assert programs.actions() == ["job-enqueued"] * 2


def test_jobs_of_a_pipeline_that_is_given_up_are_not_recorded(queue: Queue, programs: Programs) -> None:
    with queue.connection.pipeline() as pipeline:
        queue.enqueue(work.add, 1, 2, pipeline=pipeline)
        pipeline.reset()
        pipeline.ping()
        pipeline.execute()
    assert programs.actions() == []


def test_many_jobs_at_once_are_recorded_one_by_one(queue: Queue, programs: Programs) -> None:
    queue.enqueue_many([Queue.prepare_data(work.add, (number, 1)) for number in range(5)])
    assert programs.actions() == ["job-enqueued"] * 5
    assert len({record["event"]["id"] for record in programs.records()}) == 5


def test_a_plain_job_gets_no_field_of_ours_in_redis(queue: Queue) -> None:
    job = queue.enqueue(work.add, 1, 2)
    assert b"shipper" not in queue.connection.hgetall(job.key)


def test_the_simple_worker_writes_the_same_records(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.add, 1, 2)
    queue.enqueue(work.fail)
    programs.work("letters", "--worker-class", "rq.SimpleWorker")
    assert programs.actions()[2:] == ["job-started", "job-finished", "job-started", "job-dead"]


def test_secrets_in_arguments_are_never_written(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.sign_in, "bob", "s3cret-1", headers={"Authorization": "s3cret-2"}, meta={"token": "s3cret-3"})
    queue.enqueue("tests.work.sign_in", "bob", "s3cret-4", headers={})
    programs.work("letters")
    assert programs.actions().count("job-finished") == 2
    assert "s3cret" not in programs.log.read_text()


@pytest.mark.parametrize("description", [None, "Sign in bob with s3cret-3"])
def test_a_payload_that_nobody_else_can_read_shows_no_secret_by_its_description(
    description: str | None, queue: Queue, programs: Programs
) -> None:
    """The process that records a killed or deleted job has its description, which contains the arguments."""
    theirs = Queue(queue.name, connection=queue.connection, serializer=work.ReversedPickle)
    named = {"user": "bob", "password": "s3cret-1", "headers": {"Authorization": "s3cret-2"}}
    theirs.enqueue(work.sign_in_and_be_killed, *named.values(), job_id="kept", description=description)
    theirs.enqueue(work.sign_in_and_be_killed, kwargs=named, description=description)
    programs.work("letters", "--serializer", "tests.work.ReversedPickle")
    theirs.enqueue(work.sign_in_and_be_killed, *named.values(), description=description)
    queue.empty()
    ends = [record for record in programs.records() if record["event"]["type"] == ["end"]]
    assert [record["event"]["action"] for record in ends] == ["job-dead", "job-dead", "job-deleted"]
    assert "s3cret" not in programs.log.read_text()
    name = "tests.work.sign_in_and_be_killed" if description is None else "kept"
    assert ends[0]["message"].startswith(f"{name} failed for good after ")


def test_a_log_that_cannot_be_written_changes_no_job(queue: Queue, programs: Programs) -> None:
    job = queue.enqueue(work.add, 1, 2)
    done = programs.work("letters", SHIPPER_LOG="/dev/full")
    assert job.return_value() == 3
    assert "Job records cannot be written to /dev/full: No space left on device" in done.stderr


def test_a_wrong_setting_is_said_and_changes_no_job(queue: Queue, programs: Programs) -> None:
    job = queue.enqueue(work.add, 1, 2)
    done = programs.work("letters", SHIPPER_NAMESPACE="NO-GOOD")
    assert job.return_value() == 3
    assert "namespace" in done.stderr
    assert programs.actions()[-1] == "job-finished"


def test_the_worker_says_where_the_records_go(queue: Queue, programs: Programs) -> None:
    done = programs.work("letters")
    said = done.stdout + done.stderr
    assert said.count(f"Job records go to {programs.log} (SHIPPER_LOG)") == 1


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (work.fail, ["job-retried exception bob", "job-dead exception bob"]),
        (work.be_killed, ["job-retried killed bob", "job-dead killed bob"]),
    ],
)
def test_callbacks_are_told_of_every_failure_kills_included(
    function: Callable[..., None], calls: list[str], queue: Queue, programs: Programs, tmp_path: Path
) -> None:
    with shipper.log_context(user="bob"):
        queue.enqueue(function, retry=Retry(max=1))
    path = tmp_path / "notes"
    programs.work(
        "letters",
        NOTES=str(path),
        SHIPPER_ON_FAIL="tests.work:failing_callback, tests.work:note_failure, nowhere:to_be_found",
        SHIPPER_ON_DEAD="tests.work.note_failure",
    )
    assert path.read_text().splitlines() == [*calls, calls[-1]]


def test_callbacks_are_told_of_abandonment(queue: Queue, programs: Programs) -> None:
    calls: list[object] = []
    shipper.on_dead(lambda record: calls.append(record["event"]["reason"]))
    job = queue.enqueue(work.add, 1, 2)
    queue.connection.hset(job.key, mapping={"status": "started"})
    queue.connection.zadd(queue.started_job_registry.key, {f"{job.id}:execution": 1})
    queue.started_job_registry.cleanup()
    assert calls == ["abandoned"]
    assert programs.actions() == ["job-enqueued", "job-dead"]


def test_the_worker_command_takes_the_redis_of_the_settings(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.add, 1, 2)
    programs.run("shipper", "worker", "letters", "--burst")
    assert programs.actions() == ["job-enqueued", "job-started", "job-finished"]


@pytest.mark.parametrize("way", ["flag", "variable"])
def test_what_rq_is_told_comes_before_the_settings(queue: Queue, programs: Programs, way: str) -> None:
    url = programs.environment["SHIPPER_REDIS"]
    queue.enqueue(work.add, 1, 2)
    flags, variables = (("-u", url), {}) if way == "flag" else ((), {"RQ_REDIS_URL": url})
    programs.run(
        "shipper", "worker", "letters", "--burst", *flags, **{"SHIPPER_REDIS": "redis://127.0.0.1:1/0", **variables}
    )
    assert programs.actions() == ["job-enqueued", "job-started", "job-finished"]
