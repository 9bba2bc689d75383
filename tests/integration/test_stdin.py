"""`rq worker | shipper run --stdin`: records are records, all other lines are the application's, and nobody waits."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import redis
from elasticsearch import Elasticsearch
from rq import Queue

from tests import work
from tests.bulk_server import serving, status
from tests.integration.test_shipping import lines
from tests.programs import BIN, LIMIT_S, ROOT, Programs, count, wait_for


def pipe(programs: Programs, **environment: str) -> subprocess.Popen[bytes]:
    """A shipper whose standard input is a pipe of this test's."""
    return subprocess.Popen(
        [BIN / "shipper", "run", "--stdin"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **programs.environment, **environment},
    )


def ended(shipper: subprocess.Popen[bytes]) -> str:
    """What it said in the end."""
    if shipper.stdin and shipper.stdin.closed:
        shipper.stdin = None
    _, said = shipper.communicate(timeout=LIMIT_S)
    return said.decode()


def spool(programs: Programs) -> list[Path]:
    return list((programs.folder / "state/stdin").glob("*"))


def test_a_real_worker_of_which_only_the_output_is_kept(
    programs: Programs, connection: redis.Redis, search: Elasticsearch, namespace: str
) -> None:
    queue = Queue("letters", connection=connection)
    queue.enqueue(work.add, 1, 2)
    queue.enqueue(work.fail, "it says no")
    queue.enqueue(work.be_killed)
    command = f"{BIN}/rq worker --burst --url $SHIPPER_REDIS letters 2>&1 | {BIN}/shipper run --stdin"
    environment = {
        **os.environ,
        **programs.environment,
        "RQ_JOB_CLASS": "shipper.LoggedJob",
        "SHIPPER_LOG": "/dev/stdout",
    }
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b" 0 dead letters" in done.stderr
    search.indices.refresh(index=f"rq-*-{namespace}*")
    jobs = [hit["_source"] for hit in search.search(index=f"rq-job-{namespace}-*", size=100)["hits"]["hits"]]
    actions = sorted(one["event"]["action"] for one in jobs)
    assert actions == ["job-dead", "job-dead", "job-finished", "job-started", "job-started", "job-started"]
    assert {one["event"].get("reason") for one in jobs if one["event"]["action"] == "job-dead"} >= {"killed"}
    texts = [hit["_source"] for hit in search.search(index=f"rq-app-{namespace}-*", size=500)["hits"]["hits"]]
    assert any("Job OK" in one["message"] for one in texts)
    assert any("ValueError: it says no" in one["message"] for one in texts)
    assert {one["service"]["name"] for one in texts} == {"tests"}
    assert count(search, f"rq-state-{namespace}") == 3
    assert spool(programs) == []


def test_while_elasticsearch_is_away_the_writer_does_not_wait_and_nothing_is_lost(programs: Programs) -> None:
    """A pipe holds 64 KiB; these are some megabytes."""
    shipper = pipe(programs, SHIPPER_ELASTICSEARCH="http://127.0.0.1:1")
    assert shipper.stdin
    with shipper.stdin:
        data = lines(5000)
        shipper.stdin.write(data)  # would block for ever
        shipper.stdin.flush()
        (file,) = spool(programs)
        wait_for(lambda: file.stat().st_size == len(data), "the spool")
        shipper.kill()
    ended(shipper)
    with serving() as back:
        done = programs.run("shipper", "run", "--stdin", stdin=lines(10, start=5000), SHIPPER_ELASTICSEARCH=back.url)
        assert done.stderr.splitlines()[-1].startswith("5010 records indexed")
        assert len(back.jobs) == 5010
    assert spool(programs) == []


def test_a_signal_to_all_processes_costs_no_record(programs: Programs) -> None:
    """As when a container is stopped: the worker goes on until its job has ended."""
    with serving() as server:
        shipper = pipe(programs, SHIPPER_ELASTICSEARCH=server.url)
        assert shipper.stdin
        with shipper.stdin:
            shipper.stdin.write(lines(10))
            shipper.stdin.flush()
            wait_for(lambda: len(server.jobs) == 10, "the first records")
            shipper.send_signal(signal.SIGTERM)
            shipper.send_signal(signal.SIGINT)
            shipper.stdin.write(lines(10, start=10))
        assert "20 records indexed" in ended(shipper)
        assert shipper.returncode == 0
        assert len(server.jobs) == 20


def test_what_cannot_be_sent_in_the_end_is_kept_and_said(programs: Programs) -> None:
    data = lines(10)
    with serving(*[status(401)] * 100) as server:
        done = programs.run("shipper", "run", "--stdin", stdin=data, check=False, SHIPPER_ELASTICSEARCH=server.url)
    assert done.returncode == 1
    assert f"{len(data)} bytes of standard input are kept in the state folder" in done.stderr
    (file,) = spool(programs)
    assert file.read_bytes() == data
    assert file.stat().st_mode & 0o777 == 0o600


def test_two_at_once_do_not_take_each_others_lines(programs: Programs) -> None:
    with serving() as server:
        first = pipe(programs, SHIPPER_ELASTICSEARCH=server.url)
        second = pipe(programs, SHIPPER_ELASTICSEARCH=server.url)
        for shipper, start in ((first, 0), (second, 10)):
            assert shipper.stdin
            shipper.stdin.write(lines(10, start=start))
        assert "10 records indexed, 0 were there already" in ended(first)
        assert "10 records indexed, 0 were there already" in ended(second)
        assert len(server.jobs) == 20
