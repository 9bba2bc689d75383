"""`shipper now` and `shipper inspect` show what RQ has, change nothing, and show nothing secret."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend

from shipper.live import inspection, present
from shipper.redact import Redactor
from tests import work
from tests.integration import test_live
from tests.integration.test_live import dump
from tests.programs import HOUR_S, Programs, wait_for, whole_lines

letters = test_live.letters  # a fixture
HOSTILE = "ev\x1b]0;il\x07[red]x"


def now(programs: Programs, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(programs.run("shipper", "now", "--json", *arguments).stdout)
    return found


def inspect(programs: Programs, *arguments: str) -> Any:
    return json.loads(programs.run("shipper", "inspect", "--json", *arguments).stdout)


def test_now_is_what_rq_has(letters: Queue, programs: Programs, connection: redis.Redis) -> None:
    before = dump(connection)
    found = now(programs)
    people = programs.run("shipper", "now").stdout
    assert dump(connection) == before
    assert set(found) == {"at", "suspended", "queues", "workers", "running", "redis", "cron"}
    (queue,) = [one for one in found["queues"] if one["name"] == "letters"]
    assert queue["depth"] == letters.count
    assert queue["failed"] == 2
    assert queue["oldest_age_s"] > 0
    assert (queue["workers"], queue["eta_s"]) == (0, None)
    (server,) = found["redis"]["servers"]
    assert server["used_bytes"] > 0
    assert found["redis"]["estimated_jobs_by_function"]["tests.work.add"]["jobs"] >= 2
    assert "letters" in people
    assert "No workers." in people
    assert "tests.work.add" in people


def test_sections_are_chosen_by_name(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.add, 1, 2)
    assert set(now(programs, "redis", "workers")) == {"at", "suspended", "workers", "redis"}
    done = programs.run("shipper", "now", "queue", check=False)
    assert done.returncode == 2
    assert "'queues'" in done.stderr


def test_what_runs_is_shown_with_its_worker(
    queue: Queue, programs: Programs, connection: redis.Redis, tmp_path: Path
) -> None:
    file = tmp_path / "go"
    job = queue.enqueue(work.wait_for, str(file), job_timeout=HOUR_S)
    worker = programs.start("rq", "worker", "--url", programs.environment["SHIPPER_REDIS"], "letters")
    wait_for(lambda: job.get_status() == "started", "the job to run")  # its worker is busy a moment earlier
    sample = now(programs, "running", "workers", "queues")
    (running,) = sample["running"]
    assert (running["job_id"], running["function"], running["queue"]) == (job.id, "tests.work.wait_for", "letters")
    assert running["timeout_s"] == HOUR_S
    assert running["running_s"] >= 0
    (found,) = sample["workers"]
    assert (found["is_live"], found["pid"], found["state"]) == (True, worker.pid, "busy")
    assert sample["queues"][0]["workers"] == 1
    people = programs.run("shipper", "now", "workers", "running").stdout
    assert job.id in people
    assert "busy" in people
    file.touch()
    wait_for(lambda: not present.read(connection, ["running"]).running(), "the job's end")
    os.kill(worker.pid, signal.SIGKILL)
    wait_for(lambda: not present.read(connection, ["workers"]).workers[0].is_live, "the worker to be missed")
    assert "not alive" in programs.run("shipper", "now", "workers").stdout


def test_that_workers_are_suspended_is_said(queue: Queue, programs: Programs, connection: redis.Redis) -> None:
    suspend(connection)
    assert now(programs, "queues")["suspended"]
    assert "rq suspend" in programs.run("shipper", "now").stdout
    resume(connection)


def test_names_do_not_control_the_terminal(programs: Programs, connection: redis.Redis) -> None:
    Queue(HOSTILE, connection=connection).enqueue("tests.work.add", 1, 2)
    shown = programs.run("shipper", "now").stdout + programs.run("shipper", "inspect", "queue").stdout
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown
    assert "[red]x" in shown


def test_without_redis_it_says_what_to_do(programs: Programs) -> None:
    for name in ("now", "inspect"):
        done = programs.run("shipper", name, "--redis", "redis://127.0.0.1:1", check=False)
        assert done.returncode == 1
        assert "SHIPPER_REDIS" in done.stderr


def test_it_is_shown_again_and_again(queue: Queue, programs: Programs) -> None:
    programs.start("shipper", "now", "queues", "--watch", "--every", "0.2", "--json")
    log = programs.folder / "shipper.log"

    def depths() -> list[int]:
        lines = [line for line in whole_lines(log) if line.endswith(b"}")]
        return [one["depth"] for line in lines for one in json.loads(line)["queues"] if one["name"] == "letters"]

    queue.enqueue(work.add, 1, 2)
    wait_for(lambda: 1 in depths(), "the first job")
    queue.enqueue(work.add, 1, 2)
    wait_for(lambda: 2 in depths(), "the second one")


# --- inspect ---


def test_the_overview_counts_all_keys(letters: Queue, programs: Programs, connection: redis.Redis) -> None:
    before = dump(connection)
    found = inspect(programs)
    assert dump(connection) == before
    assert found["total"] == found["looked_at"] == len(before)
    kinds = {one["kind"]: one for one in found["kinds"]}
    assert sum(one["keys"] for one in kinds.values()) == len(before)
    jobs = [key for key in before if key.startswith(b"rq:job:") and not key.endswith((b"dependents", b"dependencies"))]
    assert kinds["job"]["keys"] == len(jobs)
    usages = [int(connection.memory_usage(key) or 0) for key in jobs]
    assert kinds["job"]["size_bytes"] == sum(usages)
    assert kinds["job"]["largest"]["size_bytes"] == max(usages)
    assert kinds["job"]["oldest"]
    people = programs.run("shipper", "inspect").stdout
    assert f"{len(before)} keys" in people
    assert "registry" in people


def test_of_more_keys_than_are_looked_at_numbers_are_estimated(
    queue: Queue, programs: Programs, connection: redis.Redis
) -> None:
    pipeline = connection.pipeline()
    for number in range(3000):
        pipeline.set(f"cache:{number}", "x" * 100)
    pipeline.execute()
    queue.enqueue(work.add, 1, 2)
    found = inspect(programs, "--limit", "500")
    assert found["total"] >= 3000
    assert found["looked_at"] <= 500
    others = next(one for one in found["kinds"] if one["kind"] == "other")
    assert 2900 < others["keys"] <= found["total"]
    assert "estimated" in programs.run("shipper", "inspect", "--limit", "500").stdout


def test_keys_of_a_kind_are_listed_by_size(queue: Queue, programs: Programs) -> None:
    small, large = queue.enqueue(work.add, 1, 2), queue.enqueue(work.fail, os.urandom(5000).hex())
    found = inspect(programs, "job")
    assert [one["key"] for one in found] == [large.key, small.key]
    assert [one["function"] for one in found] == ["tests.work.fail", "tests.work.add"]
    assert len(inspect(programs, "job", "--size", "1")) == 1


def shown(programs: Programs, name: str) -> dict[str, str]:
    found = {**inspect(programs, name)}
    return dict(found["content"])


def test_a_job_is_shown_without_its_arguments(queue: Queue, programs: Programs, connection: redis.Redis) -> None:
    job = queue.enqueue(work.add, "hush-argument", 2, meta={"password": "hush-meta"})
    before = dump(connection)
    found = shown(programs, job.id)
    people = programs.run("shipper", "inspect", job.id).stdout
    assert dump(connection) == before
    assert found["function"] == "tests.work.add"
    assert found["description"] == "tests.work.add(…)"
    assert found["origin"] == "letters"
    assert "not unpickled" in found["data"]
    assert "hush" not in json.dumps(found) + people
    assert "not unpickled" in people


def test_json_payloads_are_decoded_and_redacted(programs: Programs, connection: redis.Redis) -> None:
    queue = Queue("letters", connection=connection, serializer=JSONSerializer)
    job = queue.enqueue("tests.work.add", left=42, password="hush", meta={"token": "hush", "step": 3})  # noqa: S106
    found = shown(programs, job.id)
    assert '"left":42' in found["data"]
    assert '"password":"[redacted]"' in found["data"]
    assert '"step":3' in found["meta"]
    assert "hush" not in json.dumps(found)


def test_a_payload_that_would_run_is_not_loaded(queue: Queue, connection: redis.Redis, tmp_path: Path) -> None:
    job = queue.enqueue(work.add, 1, 2)
    file = tmp_path / "ran"
    bomb = b"cos\nsystem\n(S'touch " + str(file).encode() + b"'\ntR."
    connection.hset(job.key, mapping={"data": bomb, "meta": bomb, "result": bomb, "exc_info": bomb})
    (facts,) = inspection.facts_of(connection, [job.key])
    content = dict(inspection.content(connection, facts, Redactor()))
    assert "not unpickled" in content["data"]
    assert not file.exists()


def test_queues_registries_results_and_workers_are_shown(
    letters: Queue,
    programs: Programs,
    connection: redis.Redis,
) -> None:
    content = inspect(programs, "letters")["content"]
    assert [element for _, element in content] == letters.job_ids
    failed = inspect(programs, letters.failed_job_registry.key)
    assert failed["length"] == 2
    assert all(name.startswith("20") for name, _ in failed["content"])  # scores are times
    (first, *_) = [Job.fetch(one, connection=connection) for one in letters.failed_job_registry.get_job_ids()]
    results = inspect(programs, f"rq:results:{first.id}")
    assert results["kind"] == "result"
    assert "exc_string: " in results["content"][0][1]
    assert "Traceback" not in json.dumps(results)


def test_other_programs_keys_are_not_shown(programs: Programs, connection: redis.Redis) -> None:
    connection.set("session:1", "hush")
    found = inspect(programs, "session:1")
    assert (found["kind"], found["type"], found["length"]) == ("other", "string", 4)
    assert "hush" not in json.dumps(found)


def test_what_is_not_there_is_said(programs: Programs) -> None:
    done = programs.run("shipper", "inspect", "nothing-of-this-name", check=False)
    assert done.returncode == 1
    assert "no key, job, queue or worker 'nothing-of-this-name'" in done.stderr


@pytest.mark.parametrize("options", [{}, {"decode_responses": True}], ids=["bytes", "text"])
def test_each_key_can_be_looked_at(
    letters: Queue,
    connection: redis.Redis,
    options: dict[str, Any],
) -> None:
    given = {key: value for key, value in connection.get_connection_kwargs().items() if key in ("host", "port", "db")}
    with redis.Redis(**given, **options) as client:
        names = [key.decode() for key in dump(connection)]
        found = inspection.facts_of(client, names)
        assert [one.key for one in found] == names
        for one in found:
            assert inspection.content(client, one, Redactor()), one
