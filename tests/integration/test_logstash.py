"""The table of samples, a real Logstash, and the real Elasticsearch. LOGSTASH_HOME says where a Logstash is."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from shipper.records import timestamp
from stack.processes import free_port, start, stop_group
from tests import legacy_samples
from tests.programs import ROOT, Programs, count, wait_for

HOME = os.environ.get("LOGSTASH_HOME", "")
START_LIMIT_S = 180.0  # it takes a quarter of a minute where nothing else runs
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

    def write(self, name: str) -> None:
        """A sample as a file that was last written to when the table says."""
        legacy_samples.write(self.logs / name, name)

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


def documents(search: Elasticsearch, namespace: str) -> list[dict[str, Any]]:
    """All there is, each checked to stand where its own time and dataset say."""
    index = f"rq-*-{namespace}-*"
    search.indices.refresh(index=index)
    hits = search.search(index=index, size=1000)["hits"]["hits"]
    for hit in hits:
        source = hit["_source"]
        dataset, day = source["event"]["dataset"].replace(".", "-"), source["@timestamp"][:10].replace("-", ".")
        assert hit["_index"] == f"{dataset}-{namespace}-{day}"
        assert hit["_id"] == source["event"]["id"]
        moment = datetime.fromisoformat(source["@timestamp"])
        source["@timestamp"] = timestamp(moment)  # it is written with as few digits as are needed
    return [hit["_source"] for hit in hits]


def compared(found: list[dict[str, Any]]) -> list[str]:
    """Records of the samples with their file, without what is the same on all, in an order of their own."""
    lines = []
    for record in found:
        assert record["service"] == {"name": "tests"}
        assert len(record["event"]["id"]) == 32
        milliseconds = int(record["event"]["id"][:12], 16)
        moment = datetime.fromisoformat(record["@timestamp"])
        assert milliseconds == int(moment.timestamp()) * 1000 + moment.microsecond // 1000
        if record["host"]["name"] == socket.gethostname():
            record["host"]["name"] = legacy_samples.HOST
        file = Path(record["log"]["file"]["path"]).name
        lines.append(f"{file} {json.dumps(legacy_samples.bare(record), sort_keys=True)}")
    return sorted(lines)


def expected(names: list[str]) -> list[str]:
    return sorted(
        f"{name} {json.dumps(sample.paired, sort_keys=True)}"
        for name in names
        for sample in legacy_samples.expected(name)
    )


@pytest.mark.parametrize("zone", sorted({zone for _, zone in legacy_samples.WRITTEN.values()}))
def test_samples_by_logstash_once_and_once_more(
    zone: str, logstash: Logstash, search: Elasticsearch, namespace: str
) -> None:
    names = [name for name, (_, its) in legacy_samples.WRITTEN.items() if its == zone]
    for name in names:
        logstash.write(name)
    wanted = expected(names)
    index = f"rq-*-{namespace}-*"
    logstash.start(SHIPPER_TIMEZONE=zone)
    wait_for(lambda: count(search, index) >= len(wanted), "every record", START_LIMIT_S)
    logstash.stop()
    assert compared(documents(search, namespace)) == wanted
    # With nothing remembered it reads all of it again; the last line to come tells that it has.
    (logstash.logs / "zz.log").write_text("2026-11-20 10:00:00 the end\n")
    logstash.start(SHIPPER_TIMEZONE=zone)
    wait_for(lambda: count(search, index) > len(wanted), "the last line", START_LIMIT_S)
    logstash.stop()
    found = documents(search, namespace)
    assert compared([one for one in found if one["message"] != "the end"]) == wanted
    assert len(found) == len(wanted) + 1
    assert "version_conflict" not in logstash.said()


def test_a_log_goes_on_where_it_was_when_logstash_comes_back(
    logstash: Logstash, search: Elasticsearch, namespace: str
) -> None:
    index = f"rq-*-{namespace}-*"
    log = logstash.logs / "worker.log"
    log.write_text("2026-11-20 10:00:00 default: Job OK (one)\n23:00:00 *** Listening on default...\n")
    logstash.start()
    wait_for(lambda: count(search, index) == 2, "two lines", START_LIMIT_S)
    logstash.stop()
    with log.open("a") as more:
        more.write(
            "10:00:00 *** Listening on default...\n10:00:00 *** Listening on default...\n"
            "10:00:01 ValueError: no\nTraceback (most recent call last):\n  File\n\nValueError: no\n"
            "10:00:02 a line that has no end"
        )
    logstash.start(anew=False)
    wait_for(lambda: count(search, index) == 6, "four more", START_LIMIT_S)
    found = documents(search, namespace)
    assert sorted(one["@timestamp"][:19] for one in found) == [
        "2026-11-20T10:00:00",
        "2026-11-20T23:00:00",
        "2026-11-21T10:00:00",
        "2026-11-21T10:00:00",
        "2026-11-21T10:00:01",
        "2026-11-21T10:00:02",
    ]
    (failed,) = [one for one in found if "error" in one]
    assert failed["error"]["stack_trace"].endswith("  File\n\nValueError: no")


def test_records_and_lines_by_tcp(logstash: Logstash, search: Elasticsearch, namespace: str) -> None:
    index = f"rq-*-{namespace}-*"
    lines = [
        *GOLDEN,
        b'{"message":"anything","@timestamp":"2026-11-20T10:00:00","event":{"id":"mine"}}',
        b"2026-11-20 10:00:01 default: Job OK (by-tcp)",
        b"2026-11-20 10:00:02 Result is kept for 500 seconds",
        b"2026-11-20 10:00:02 Result is kept for 500 seconds",
        b'2026-11-20 10:00:03 {"not": "json',
        b'{"not": "json',
        b'["no object"]',
        b'{"@timestamp":"no time","message":"x"}',
        b"caf\xe9",
    ]
    records = {json.loads(line)["event"]["id"]: json.loads(line) for line in reversed(GOLDEN)}
    logstash.start()
    logstash.send(b"\n".join(lines) + b"\n")
    wanted = len(records) + len(lines) - len(GOLDEN)
    wait_for(lambda: count(search, index) == wanted, "every line")
    found = {one["event"]["id"]: one for one in documents(search, namespace)}
    assert {name: found[name] for name in records} == records
    assert found["mine"] == {
        "@timestamp": "2026-11-20T10:00:00.000000Z",
        "message": "anything",
        "event": {"id": "mine", "dataset": "rq.app"},
    }
    texts = [one for name, one in found.items() if name not in records and name != "mine"]
    assert all(one["tags"][0] == "legacy" and set(one) <= {*compared_fields(), "messaging", "rq"} for one in texts)
    unparsed = sorted(one["message"] for one in texts if "unparsed" in one["tags"])
    assert unparsed == sorted(
        ['{"not": "json', '{"not": "json', '["no object"]', '{"@timestamp":"no time","message":"x"}', "caf\ufffd"]
    )


def compared_fields() -> set[str]:
    """What every text line's record has."""
    return {"@timestamp", "event", "ecs", "message", "service", "host", "tags"}
