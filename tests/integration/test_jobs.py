"""Asking for jobs: their state, their progress, their own log lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from elasticsearch import Elasticsearch
from rq import Queue, Retry

import shipper
from shipper.job_fields import progress_key
from shipper.settings import Settings
from tests import work
from tests.programs import Programs, count


def ship(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    programs.run("shipper", "run", "--once")
    assert count(search, f"rq-*-{namespace}*") > 0  # which refreshes


def test_a_job_that_lives_is_answered_for_by_redis(queue: Queue, made: Settings, programs: Programs) -> None:
    with shipper.log_context(user="bob", customer="42"):
        job = queue.enqueue(work.add, 1, 2, retry=Retry(max=2))
    state = shipper.jobs.get(job.id, settings=made)
    assert state is not None
    assert (state.state, state.live, state.queue, state.function) == ("queued", True, "letters", "tests.work.add")
    assert (state.user, state.customer, state.attempt) == ("bob", "42", 1)
    programs.work("letters")
    state = shipper.jobs.get(job.id, settings=made)
    assert state is not None
    assert state.state == "finished"
    assert state.worker


def test_a_job_that_is_gone_is_answered_for_by_elasticsearch(
    queue: Queue, made: Settings, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    with shipper.log_context(user="bob"):
        job = queue.enqueue(work.fail, "no such order", failure_ttl=1)
    programs.work("letters")
    ship(programs, search, namespace)
    queue.connection.flushdb()
    state = shipper.jobs.get(job.id, settings=made)
    assert state is not None
    assert (state.state, state.live, state.user) == ("dead", False, "bob")
    assert state.error == "ValueError: no such order"
    assert shipper.jobs.get("nobody-s", settings=made) is None


def test_jobs_are_found_by_what_they_are(
    queue: Queue, made: Settings, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    with shipper.log_context(user="bob"):
        good, bad = queue.enqueue(work.add, 1, 2), queue.enqueue(work.fail)
    with shipper.log_context(user="eve"):
        queue.enqueue(work.fail)
    programs.work("letters")
    ship(programs, search, namespace)

    def found(**asked: Any) -> set[str]:
        return {state.job_id for state in shipper.jobs.find(settings=made, **asked)}

    assert found(user="bob") == {good.id, bad.id}
    assert found(user="bob", state="dead") == {bad.id}
    assert found(function="tests.work.add") == {good.id}
    assert found(user="nobody") == set()


def test_jobs_of_one_moment_are_all_found_beyond_a_page_s_edge(
    made: Settings, programs: Programs, search: Elasticsearch, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(shipper.jobs.find(settings=made)) == []  # of an index that is not there
    programs.run("shipper", "run", "--once")  # which brings the mappings
    monkeypatch.setattr("shipper.read.states.PAGE", 3)
    moment = "2026-11-21T03:17:30Z"
    state = {"@timestamp": moment, "updated_at": moment, "created_at": moment, "state": "queued", "queue": "letters"}
    for number in range(10):
        search.index(index=f"rq-state-{namespace}", id=f"job-{number}", document=state, refresh=True)
    found = [job.job_id for job in shipper.jobs.find(settings=made)]
    assert sorted(found) == [f"job-{number}" for number in range(10)]
    assert next(shipper.jobs.find(settings=made)).state == "queued"  # who has seen enough may go


def test_progress_is_in_redis_at_once_and_in_few_records(queue: Queue, made: Settings, programs: Programs) -> None:
    job = queue.enqueue(work.tell_progress)
    programs.work("letters")
    written = [record for record in programs.records() if record["event"]["action"] == "job-progressed"]
    assert [record["rq"]["progress"]["percent"] for record in written] == [10, 100]
    assert [record["event"]["sequence"] for record in written] == [1, 4]
    state = shipper.jobs.get(job.id, settings=made)
    assert state is not None
    assert (state.percent, state.message) == (100, "done")
    assert 0 < queue.connection.ttl(progress_key(job.id)) <= 7 * 86_400


def test_progress_outlives_a_kill_and_a_retry(queue: Queue, made: Settings, programs: Programs) -> None:
    job = queue.enqueue(work.tell_progress, "be killed", retry=Retry(max=1, interval=3600))
    programs.work("letters")
    state = shipper.jobs.get(job.id, settings=made)
    assert state is not None
    assert (state.state, state.percent, state.message) == ("scheduled", 30, "at 30")


def test_progress_outside_of_a_job_does_nothing() -> None:
    shipper.progress(50, "nowhere")
    with pytest.raises(ValueError, match="float"):
        shipper.progress("half")  # type: ignore[arg-type]


def test_the_state_document_tells_the_progress(
    queue: Queue, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    job = queue.enqueue(work.tell_progress, "be killed")
    programs.work("letters")
    written = programs.log.read_text().splitlines(keepends=True)
    programs.log.write_text("".join(line for line in written if "job-dead" not in line))
    ship(programs, search, namespace)
    state = search.get(index=f"rq-state-{namespace}", id=job.id)["_source"]
    assert (state["state"], state["progress"]["percent"]) == ("started", 10)


def test_the_application_s_lines_belong_to_their_job(
    queue: Queue, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    path = programs.log.with_name("records.jsonl.app")
    with shipper.log_context(customer="42", region="eu"):
        job = queue.enqueue(work.write_log, str(path))
    programs.work("letters")
    warning, error = (json.loads(line) for line in path.read_text().splitlines())
    assert warning["message"] == "looking at order 7"
    assert warning["log"] == {"level": "warning", "logger": "shop"}
    assert warning["labels"] == {"region": "eu", "order": 7, "password": "[redacted]"}
    assert error["error"]["type"] == "KeyError"
    for line in (warning, error):
        assert line["messaging"]["message"]["id"] == job.id
        assert line["code"]["function"]["name"] == "tests.work.write_log"
        assert line["organization"]["id"] == "42"
        assert line["rq"]["attempt"] == 1
    ship(programs, search, namespace)
    said = programs.run("shipper", "job", job.id).stdout
    assert "looking at order 7" in said
    assert "job-finished" in said
    found = json.loads(programs.run("shipper", "job", job.id, "--json").stdout)
    assert found["state"]["state"] == "finished"
    assert len(found["records"]) == 5


def test_a_dead_job_tells_why_while_redis_still_has_it(
    queue: Queue, made: Settings, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    with shipper.log_context(user="bob", customer="42"):
        job = queue.enqueue(work.fail, "no such order, password=hunter2", retry=Retry(max=1))
    programs.work("letters")
    state = shipper.jobs.get(job.id, settings=made)
    assert state is not None
    assert (state.live, state.error) == (True, "ValueError: no such order, password=[redacted]")

    found = json.loads(programs.run("shipper", "job", job.id, "--json").stdout)  # nothing is indexed yet
    assert found["state"]["error"] == "ValueError: no such order, password=[redacted]"
    assert found["stack_trace"].startswith("Traceback")
    assert "hunter2" not in json.dumps(found)

    ship(programs, search, namespace)
    said = programs.run("shipper", "job", job.id[:8]).stdout
    for part in ("dead", "ValueError: no such order", "user bob", "customer 42", "Traceback", "'no such order", "on "):
        assert part in said
    found = json.loads(programs.run("shipper", "job", job.id[:8], "--json").stdout)
    assert [(one["attempt"], one["end"]) for one in found["attempts"]] == [(1, "retried"), (2, "dead")]
    assert all(one["waited_s"] >= 0 and one["ran_s"] >= 0 for one in found["attempts"])
    assert found["asked_by"]["service"] == "tests"
    assert found["state"]["live"] is True


def test_a_beginning_is_enough_if_it_is_that_of_one_job(
    queue: Queue, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    for name in ("report-1", "report-2", "repair_1"):
        queue.enqueue(work.add, 1, 2, job_id=name)
    assert "report-1" in programs.run("shipper", "job", "report-1").stdout
    assert "repair_1" in programs.run("shipper", "job", "repair").stdout
    several = programs.run("shipper", "job", "repo", check=False)
    assert (several.returncode, "report-1" in several.stderr, "report-2" in several.stderr) == (1, True, True)
    ship(programs, search, namespace)
    queue.connection.flushdb()
    assert "repair_1" in programs.run("shipper", "job", "repa").stdout
    assert "tests.work.add" in programs.run("shipper", "job", "rep", check=False).stderr
    assert "Nobody knows a job xyz" in programs.run("shipper", "job", "xyz", check=False).stderr


def test_a_beginning_is_enough_to_act(queue: Queue, programs: Programs) -> None:
    job = queue.enqueue(work.add, 1, 2)
    programs.run("shipper", "job", job.id[:8], "--cancel", "--reason", "not needed")
    assert job.get_status(refresh=True) == "canceled"


def test_parents_and_children_are_named(
    queue: Queue, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    first = queue.enqueue(work.add, 1, 2)
    second = queue.enqueue(work.add, 1, 2, depends_on=first)
    programs.work("letters")
    ship(programs, search, namespace)
    found = json.loads(programs.run("shipper", "job", first.id, "--json").stdout)
    assert [one["job_id"] for one in found["children"]] == [second.id]
    found = json.loads(programs.run("shipper", "job", second.id, "--json").stdout)
    assert [(one["job_id"], one["function"]) for one in found["parents"]] == [(first.id, "tests.work.add")]
    assert f"Comes from\n  {first.id}" in programs.run("shipper", "job", second.id).stdout


def test_a_job_is_shown_from_redis_alone_while_elasticsearch_is_away(queue: Queue, programs: Programs) -> None:
    job = queue.enqueue(work.add, 1, 2)
    done = programs.run("shipper", "job", job.id, SHIPPER_ELASTICSEARCH="http://127.0.0.1:1")
    assert "queued" in done.stdout
    assert "Only Redis was asked" in done.stderr


def test_a_job_that_nobody_knows_is_an_error(programs: Programs, connection: redis.Redis) -> None:
    done = programs.run("shipper", "job", "nobody-s", check=False)
    assert done.returncode == 1
    assert "Nobody knows a job nobody-s" in done.stderr


def test_a_redis_that_is_away_is_said(programs: Programs) -> None:
    done = programs.run("shipper", "job", "x", check=False, SHIPPER_REDIS="redis://127.0.0.1:1")
    assert done.returncode == 1
    assert "SHIPPER_REDIS" in done.stderr


def test_asking_never_unpickles(queue: Queue, made: Settings) -> None:
    job = queue.enqueue(work.add, work.Picky())
    assert shipper.jobs.get(job.id, settings=made) is not None


def test_exception_handlers_get_what_the_job_is_for(queue: Queue, programs: Programs) -> None:
    with shipper.log_context(user="bob", customer="42"):
        job = queue.enqueue(work.fail)
    notes = programs.folder / "notes"
    handler = ("--exception-handler", "tests.work.note_fields")
    programs.work("letters", *handler, *handler, NOTES=str(notes))
    written = [json.loads(line) for line in notes.read_text().splitlines()]
    assert len(written) == 2  # the chain goes on while handlers return true
    for fields in written:
        assert fields["job"] == fields["messaging"]["message"]["id"] == job.id
        assert (fields["user"], fields["organization"]) == ({"id": "bob"}, {"id": "42"})
        assert fields["code"]["function"]["name"] == "tests.work.fail"
