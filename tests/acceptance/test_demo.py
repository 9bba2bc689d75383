"""The demo, as `make demo` runs it, on the servers of this run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from demo.services import running
from stack.processes import stop
from tests.programs import ROOT, count, wait_for
from tests.saved_objects import empty_panels

pytestmark = pytest.mark.slow

LIMIT_S = 1200.0  # of a run that takes a minute where nothing else runs
# Its jobs do not wait for others and none was enqueued by another, and as it ends nothing is due.
NOT_IN_THE_SHOP = {
    "RQ: one job / Which jobs does it come from?",
    "RQ: one job / Which jobs does it wait for?",
    "RQ: queues now / What is retried or due next, and when?",
}


def test_the_demo_answers_and_a_killed_shipper_loses_and_doubles_nothing(
    tmp_path: Path, namespace: str, redis_url: str, elasticsearch_url: str, search: Elasticsearch
) -> None:
    folder = tmp_path / "demo"
    output = tmp_path / "output"
    with output.open("wb") as out:
        demo = subprocess.Popen(
            [sys.executable, "-m", "demo", "--folder", str(folder)],
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "REDIS_URL": redis_url.removesuffix("/0") + "/1",
                "ELASTICSEARCH_URL": elasticsearch_url,
                "SHIPPER_NAMESPACE": namespace,
            },
            start_new_session=True,
        )
    try:
        _kill_the_shipper_twice(folder, search, namespace)
        assert demo.wait(timeout=LIMIT_S) == 0, output.read_text()
    finally:
        stop(demo)
    said = output.read_text()
    written, indexed = _numbers(r"(\d+) records written by the shop and its workers, (\d+) in Elasticsearch", said)
    assert written == indexed
    later = (folder / "records.jsonl").read_bytes().splitlines()[written:]
    assert all(b'"seal":' in line for line in later)  # of the shippers that were stopped since
    assert _numbers(r"ended (\d) times", said) == [2]
    assert re.search(r"empty registry: 0 records indexed", said)
    assert "Functions that take the most time" in said
    assert "send_newsletter" in said
    assert "order 3: 12.90 declined" in said
    (p50, p99) = (float(figure) for figure in re.search(r"p50 (\S+) s, p99 (\S+) s", said).groups())  # type: ignore[union-attr]
    assert 0 < p50 <= p99
    assert not running(folder / "processes.json")
    assert set(empty_panels(search, namespace, {"rq-job-*", "rq-state-*"})) == NOT_IN_THE_SHOP


def _kill_the_shipper_twice(folder: Path, search: Elasticsearch, namespace: str) -> None:
    ledger = folder / "processes.json"
    killed: set[int] = set()
    for enough in (300, 600):
        wait_for(lambda: count(search, f"rq-job-{namespace}-*") > enough, f"{enough} records", LIMIT_S)  # noqa: B023
        wait_for(lambda: running(ledger).get("shipper") not in {None, *killed}, "a shipper to kill")
        pid = json.loads(ledger.read_text())["processes"]["shipper"][0]
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)


def _numbers(pattern: str, text: str) -> list[int]:
    found = re.search(pattern, text)
    assert found, f"{pattern} is not in:\n{text}"
    return [int(number) for number in found.groups()]
