"""The table of samples, a real Logstash, and the real Elasticsearch. LOGSTASH_HOME says where a Logstash is."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from stack.processes import free_port, start, stop_group
from tests import legacy_kinds
from tests.programs import ROOT, Programs, count, wait_for

HOME = os.environ.get("LOGSTASH_HOME", "")
START_LIMIT_S = 600.0  # it takes a quarter of a minute where nothing else runs
GOLDEN = [line for path in sorted((ROOT / "tests/golden").glob("*.jsonl")) for line in path.read_bytes().splitlines()]

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
        self.tcp = free_port()
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
                str(ROOT / "logstash"),
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
                "LEGACY_BEATS_PORT": str(free_port()),
                "LEGACY_TCP_PORT": str(self.tcp),
                **environment,
            },
        )

    @property
    def output(self) -> Path:
        return self.folder / "logstash.log"

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def stop(self) -> None:
        if self._process:
            stop_group(self._process.pid, 60.0)
            self._process.wait()
            self._process = None

    def send(self, lines: bytes) -> None:
        """Send it lines by TCP, as soon as it listens."""

        def listens() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.said()[-3000:]
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.tcp)) as connection:
                connection.sendall(lines)
                return True
            return False

        wait_for(listens, "Logstash to listen", START_LIMIT_S)


@pytest.fixture
def logstash(programs: Programs, tmp_path: Path) -> Iterator[Logstash]:
    programs.run("shipper", "setup")
    (tmp_path / "logstash").mkdir()
    made = Logstash(tmp_path / "logstash", programs.environment)
    yield made
    made.stop()


def test_every_kind_by_logstash(logstash: Logstash, search: Elasticsearch, namespace: str) -> None:
    """By the table in docs/legacy.md. Times are not compared: those without a date are of today."""
    kinds = set(legacy_kinds.documented("Logstash"))
    cases = [one for one in legacy_kinds.CASES if one.kind in kinds and not one.settings]
    for number, case in enumerate(cases):
        (logstash.logs / f"{number}.log").write_bytes(case.data)
    wanted, index = sum(case.count or 0 for case in cases), f"rq-*-{namespace}-*"
    logstash.start(SHIPPER_TIMEZONE=legacy_kinds.ZONE)
    wait_for(lambda: count(search, index) >= wanted, "every record", START_LIMIT_S)
    search.indices.refresh(index=index)
    found = [hit["_source"] for hit in search.search(index=index, size=10_000)["hits"]["hits"]]
    wrong = {}
    for number, case in enumerate(cases):
        records = [one for one in found if Path(one["log"]["file"]["path"]).name == f"{number}.log"]
        if bad := [one for one in case.wrong(records, combined=False) if "time is" not in one]:
            wrong[case.log[:100]] = bad
    assert not wrong
