"""What jobs of real workers did, as Prometheus, StatsD and OpenTelemetry get it, with a real Elasticsearch between."""

from __future__ import annotations

import json
import socket
import urllib.error
from collections import Counter
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue, Retry

from stack.processes import free_port
from tests import work
from tests.integration.test_shipping import indexed
from tests.integration.test_status import _get
from tests.programs import Programs, wait_for
from tests.unit.test_otlp import attributes, collecting

EXPECTED = {
    ("rq_jobs_enqueued_total", "tests.work.add"): 2,
    ("rq_jobs_finished_total", "tests.work.add"): 2,
    ("rq_jobs_enqueued_total", "tests.work.fail"): 2,  # and once for its retry
    ("rq_jobs_started_total", "tests.work.fail"): 2,
    ("rq_jobs_retried_total", "tests.work.fail"): 1,
    ("rq_jobs_dead_total", "tests.work.fail"): 1,
    ("rq_jobs_failed_total", "tests.work.fail"): 2,
    ("rq_job_duration_seconds_count", "tests.work.fail"): 2,
    ("rq_jobs_started_total", "tests.work.be_killed"): 1,
    ("rq_jobs_dead_total", "tests.work.be_killed"): 1,
    ("rq_job_duration_seconds_count", "tests.work.be_killed"): 1,
    ("rq_jobs_timeouts_total", "tests.work.sleep"): 1,
    ("rq_jobs_dead_total", "tests.work.sleep"): 1,
    ("rq_job_lag_seconds_count", "tests.work.add"): 2,
    ("rq_job_total_seconds_count", "tests.work.add"): 2,
}


def told(address: str) -> str:
    try:
        return _get(address, "/metrics")
    except urllib.error.URLError:  # it does not listen yet
        return ""


def metrics(address: str) -> dict[tuple[str, str], float]:
    """(name, function) → value of the metrics of jobs. Asked until there is an answer: a slow one is cut off."""
    answer = ""

    def is_answered() -> bool:
        nonlocal answer
        answer = told(address)
        return bool(answer)

    wait_for(is_answered, "an answer")
    return {
        (sample.name, sample.labels["function"]): sample.value
        for family in text_string_to_metric_families(answer)
        for sample in family.samples
        if sample.labels.get("queue") == "letters" and "le" not in sample.labels
    }


@pytest.fixture
def worked(queue: Queue, programs: Programs) -> Queue:
    """Jobs that finished, failed, were killed and ran into their timeout."""
    for _ in range(2):
        queue.enqueue(work.add, 1, 2)
    queue.enqueue(work.fail, retry=Retry(max=1))
    queue.enqueue(work.be_killed)
    queue.enqueue(work.sleep, 60, job_timeout=1)
    programs.work("letters")
    assert queue.count == 0
    return queue


def test_jobs_are_counted_once_whatever_happens_to_the_shipper(
    worked: Queue, programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    address, saved = f"127.0.0.1:{free_port()}", programs.folder / "state/counters.json"
    given = {"SHIPPER_JOB_METRICS": "true", "SHIPPER_LISTEN": address}
    shipper = programs.start("shipper", "run", **given)
    wait_for(lambda: EXPECTED.items() <= metrics(address).items(), "the metrics")
    written = len(programs.records())
    assert indexed(search, namespace) == written
    total = sum(value for (name, _), value in metrics(address).items() if name == "rq_jobs_finished_total")
    wait_for(lambda: saved.exists() and "be_killed" in saved.read_text(), "the counters to be saved")
    before = metrics(address)
    wait_for(lambda: counted(saved) == written, "all of them to be saved")
    shipper.kill()
    shipper.wait()
    (programs.folder / "state/registry.json").unlink()  # as if no position had been saved: all is sent again
    programs.start("shipper", "run", **given)
    log = programs.folder / "shipper.log"
    wait_for(lambda: f"shipper_duplicates_total {written}.0" in told(address), "the duplicates")
    assert metrics(address) == before, log.read_text()
    worked.enqueue(work.add, 3, 4)
    programs.work("letters")
    wait_for(lambda: metrics(address).get(("rq_jobs_finished_total", "tests.work.add")) == total + 1, "one more")


def counted(saved: Path) -> int:
    """How many records the saved counters have counted: all events but timeouts, which are counted beside."""
    content = json.loads(saved.read_text())
    events = len(content["layout"][0]) - 1
    return sum(sum(numbers[:events]) for _, numbers in content["series"])


def test_statsd_and_a_collector_are_told_of_all_jobs(worked: Queue, programs: Programs) -> None:
    written = Counter(record["event"]["action"] for record in programs.records())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, collecting() as collector:
        server.bind(("127.0.0.1", 0))
        server.settimeout(30)
        statsd = f"127.0.0.1:{server.getsockname()[1]}"
        given = {"SHIPPER_STATSD": statsd, "SHIPPER_STATSD_TAGS": "true", "SHIPPER_OTLP": collector.url}
        programs.run("shipper", "run", "--once", **given)
        lines = server.recv(65_536).decode().splitlines()
        server.setblocking(False)
        try:
            while True:
                lines += server.recv(65_536).decode().splitlines()
        except BlockingIOError:
            pass
    tags = "|#service:tests,queue:letters,function:tests.work."
    assert f"rq.job.finished:2|c{tags}add" in lines
    assert f"rq.job.timeouts:1|c{tags}sleep" in lines
    assert sum(line.startswith("rq.job.duration:") for line in lines) == 6
    spans = [one for _, one in collector.spans]
    assert Counter(one.name for one in spans) == {"enqueue letters": written["job-enqueued"], "run letters": 6}
    (killed,) = [
        one
        for one in spans
        if one.name == "run letters" and attributes(one)["code.function.name"] == "tests.work.be_killed"
    ]
    assert killed.status.code == Status.STATUS_CODE_ERROR
    assert attributes(killed)["rq.signal"] == "SIGKILL"
    pushes = {one.span_id: one for one in spans if one.name == "enqueue letters"}
    for run in (one for one in spans if one.name == "run letters"):
        push = pushes[run.parent_span_id]
        assert push.trace_id == run.trace_id
        assert push.start_time_unix_nano <= run.start_time_unix_nano <= run.end_time_unix_nano
    assert {metric.name for _, metric in collector.metrics} >= {"rq.jobs.dead", "messaging.process.duration"}
