"""The table of samples, a real Logstash, and the real Elasticsearch. LOGSTASH_HOME says where a Logstash is."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from stack.processes import free_port, start, stop_group
from tests import legacy_kinds, lumberjack
from tests.programs import ROOT, Programs, count, wait_for

HOME = os.environ.get("LOGSTASH_HOME", "")
START_LIMIT_S = 600.0  # it takes a quarter of a minute where nothing else runs
log = logging.getLogger(__name__)

pytestmark = pytest.mark.skipif(
    not HOME,
    reason="no Logstash: unpack a release of 8.19 or newer from https://www.elastic.co/downloads/logstash, "
    "and set LOGSTASH_HOME to its folder",
)


class Logstash:
    """A Logstash with this repository's pipeline, and a folder of logs of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.port = free_port()
        self.settings = ROOT / "logstash"
        self._environment = environment
        self._runs = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, anew: bool = True, **environment: str) -> None:
        """Start it; `anew` it knows nothing of what it read before."""
        self._runs += anew
        self._process = start(
            [
                f"{HOME}/bin/logstash",
                "--path.settings",
                str(self.settings),
                "--api.enabled",
                "false",
                "--path.data",
                str(self.folder / f"data-{self._runs}"),
                "--path.logs",
                str(self.folder),
            ],
            self.output,
            environment={
                **self._environment,
                "LEGACY_HOME": str(ROOT / "logstash"),
                "LEGACY_FILES": f"{self.logs}/*.log",
                "LEGACY_BEATS_PORT": str(self.port),
                **environment,
            },
        )

    @property
    def output(self) -> Path:
        return self.folder / "logstash.log"

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """As wait_for; fails at once if it ends, and shows what it said if it takes too long."""

        def holds() -> object:
            assert self._process is not None
            assert self._process.poll() is None, self.said()
            return condition()

        try:
            wait_for(holds, what, START_LIMIT_S)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.said()}") from late

    def said(self) -> str:
        """Its last errors and warnings."""
        lines = self.output.read_text(errors="replace").splitlines()
        return "\n".join([line[:1000] for line in lines if line.startswith(("[ERROR", "[FATAL", "[WARN"))][-20:])

    def pair(self) -> None:
        """Take the two pipelines that are comments in pipelines.yml: those that combine starts with ends."""
        self.settings = self.folder / "settings"
        shutil.copytree(
            ROOT / "logstash", self.settings, ignore=shutil.ignore_patterns("[!lp]*", "pipeline", "patterns")
        )
        comments = (ROOT / "logstash/pipelines.yml").read_text().splitlines()
        pipelines = [line.removeprefix("# ") for line in comments if line.startswith(("# - ", "#   "))]
        (self.settings / "pipelines.yml").write_text("\n".join(pipelines))

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def send(self, records: Sequence[dict[str, Any]]) -> None:
        """Send records as Filebeat does, as soon as it listens."""

        def sent() -> bool:
            with contextlib.suppress(ConnectionRefusedError):
                lumberjack.send(self.port, records, START_LIMIT_S)
                return True
            return False

        self.wait_for(sent, "Logstash to listen")

    def stop(self) -> None:
        if self._process:
            stop_group(self._process.pid, 60.0)
            self._process.wait()
            self._process = None


@pytest.fixture
def logstash(programs: Programs, tmp_path: Path) -> Iterator[Logstash]:
    programs.run("shipper", "setup")
    (tmp_path / "logstash").mkdir()
    made = Logstash(tmp_path / "logstash", programs.environment)
    yield made
    made.stop()


def _records(search: Elasticsearch, index: str) -> list[dict[str, Any]]:
    search.indices.refresh(index=index)
    return [hit["_source"] for hit in search.search(index=index, size=10_000)["hits"]["hits"]]


def test_every_kind_by_logstash(logstash: Logstash, search: Elasticsearch, namespace: str) -> None:
    """By the table in docs/legacy.md. Times are not compared: those without a date are of today."""
    kinds = set(legacy_kinds.documented("Logstash"))
    cases = [one for one in legacy_kinds.CASES if one.kind in kinds and not one.settings]
    for number, case in enumerate(cases):
        (logstash.logs / f"{number}.log").write_bytes(case.data)
    wanted, index = sum(case.count or 0 for case in cases), f"rq-*-{namespace}-*"
    logstash.start(SHIPPER_TIMEZONE=legacy_kinds.ZONE)
    logstash.wait_for(lambda: count(search, index) >= wanted, f"{wanted} records")
    found = _records(search, index)
    wrong = {}
    for number, case in enumerate(cases):
        records = [one for one in found if Path(one["log"]["file"]["path"]).name == f"{number}.log"]
        if bad := [one for one in case.wrong(records, combined=False) if "time is" not in one]:
            wrong[case.log[:100]] = bad
    assert not wrong


def test_starts_and_ends_are_combined(logstash: Logstash, search: Elasticsearch, namespace: str) -> None:
    a, b, c = (legacy_kinds.job(number) for number in (1, 2, 3))
    (logstash.logs / "worker.log").write_text(
        f"2026-02-10 10:00:01,000 INFO rq.worker: default: jobs.f(1) ({a})\n"
        f"2026-02-10 10:00:02,000 INFO rq.worker: mails: jobs.g() ({b})\n"
        f"2026-02-10 10:00:04,250 INFO rq.worker: default: Job OK ({a})\n"
        f"2026-02-10 10:00:05,500 ERROR rq.worker: [Job {b}]: exception raised while executing (jobs.g)\n"
        'Traceback (most recent call last):\n  File "a.py", line 1, in g\n    x()\nValueError: no\n'
        f"2026-02-10 10:00:06,000 INFO rq.worker: default: Job OK ({c})\n"
        "2026-02-10 10:00:07,000 INFO shop: the last line\n"
    )
    logstash.pair()
    logstash.start(SHIPPER_TIMEZONE="UTC")
    index = f"rq-*-{namespace}-*"
    logstash.wait_for(lambda: count(search, index) >= 6, "6 records")
    found = {
        (one["messaging"]["message"]["id"], one["event"]["action"]): one
        for one in _records(search, index)
        if one["event"]["dataset"] == "rq.job"
    }
    assert set(found) == {
        (a, "job-started"),
        (b, "job-started"),
        (a, "job-finished"),
        (b, "job-dead"),
        (c, "job-finished"),
    }
    finished, dead = found[a, "job-finished"], found[b, "job-dead"]
    assert (finished["event"]["start"], finished["event"]["duration"]) == ("2026-02-10T10:00:01.000Z", 3_250_000_000)
    assert finished["code"]["function"]["name"] == "jobs.f"
    assert (dead["event"]["start"], dead["event"]["duration"]) == ("2026-02-10T10:00:02.000Z", 3_500_000_000)
    assert (dead["code"]["function"]["name"], dead["error"]["type"]) == ("jobs.g", "ValueError")
    assert dead["messaging"]["destination"]["name"] == "mails"
    assert "start" not in found[c, "job-finished"]["event"]


def test_what_a_kill_loses_and_what_it_doubles(logstash: Logstash, search: Elasticsearch, namespace: str) -> None:
    """As the table in logstash/README.md says: of what Filebeat sends nothing, of the file input's it can be both."""
    from_filebeat = [
        {
            "@timestamp": "2026-02-10T10:00:00.000Z",
            "message": f"2026-02-10 10:00:00,000 ERROR shop: sent {number}\nTraceback (most",
            "log": {"offset": 100 * number, "file": {"path": "/var/log/rq/worker.log"}, "flags": ["multiline"]},
            "host": {"name": "web1"},
            "agent": {"type": "filebeat", "version": "8.19.0"},
            "ecs": {"version": "8.0.0"},
            "input": {"type": "filestream"},
        }
        for number in range(300)
    ]
    lines, later = 4000, 20
    path = logstash.logs / "worker.log"
    path.write_text("".join(f"2026-02-10 10:00:00,000 INFO shop: read {number}\n" for number in range(lines)))
    index = f"rq-app-{namespace}-*"
    sent = {"term": {"host.name": "web1"}}

    logstash.start()
    logstash.wait_for(lambda: count(search, index) >= 500, "500 records of the file")
    before = {one["event"]["id"] for one in _records(search, index)}
    logstash.send(from_filebeat)
    logstash.kill()

    with path.open("a") as file:
        file.write(
            "".join(f"2026-02-10 10:00:00,000 INFO shop: read {lines + number}\n" for number in range(later + 1))
        )
    logstash.start(anew=False)
    logstash.wait_for(lambda: count(search, index, sent) >= len(from_filebeat), "what was acknowledged")
    logstash.send(from_filebeat)  # as Filebeat does if it did not get the acknowledgement
    last = {"match_phrase": {"message": f"read {lines + later - 1}"}}
    logstash.wait_for(lambda: count(search, index, last) >= 1, "the last line of the file")
    logstash.stop()  # it has sent all that it has
    found = _records(search, index)
    assert len([one for one in found if one["host"]["name"] == "web1"]) == len(from_filebeat)
    times = Counter(int(number) for one in found for number in re.findall(r"read (\d+)", one["message"]))
    assert before <= {one["event"]["id"] for one in found}
    assert [times[lines + number] for number in range(later)] == [1] * later
    lost = [number for number in range(lines) if not times[number]]
    again = [number for number in range(lines) if times[number] > 1]
    log.info("%s of %s lines are not there, %s more than once", len(lost), lines, len(again))
    assert _end(lost) == lost  # what was read just before
    # Read again: the end of what was read, whose position was not yet written down. Sent again: what the queue had not
    # yet noted as sent. It notes 1024 at once, and a worker has 125 in hand.
    assert len(again) - len(_end(again)) <= 1024 + 125 * (os.cpu_count() or 1)
    assert max(times.values()) <= 3


def _end(numbers: Sequence[int]) -> Sequence[int]:
    """The last of them that follow one another without a gap."""
    start = len(numbers) - 1
    while start > 0 and numbers[start - 1] == numbers[start] - 1:
        start -= 1
    return numbers[max(start, 0) :]
