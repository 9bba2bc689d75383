"""What the shipper says of itself: status, metrics, health, its own records; and how it ends and begins again."""

from __future__ import annotations

import http.client
import json
import signal
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from stack.processes import free_port
from tests.bulk_server import Handler, serving, slow, status, well
from tests.integration.test_shipping import append, lines
from tests.programs import LIMIT_S, Programs, count, wait_for


def said(programs: Programs, *, check: bool = True) -> dict[str, Any]:
    out = programs.run("shipper", "status", "--json", check=check).stdout
    found: dict[str, Any] = json.loads(out)
    return found


def test_status_tells_how_far_each_file_is(programs: Programs) -> None:
    append(programs, lines(100))
    shipper = programs.start("shipper", "run")
    wait_for(lambda: programs.log.exists() and (programs.folder / "state/status.json").exists(), "a status")
    size, found = programs.log.stat().st_size, dict[str, Any]()

    def is_done() -> bool:
        found.update(said(programs, check=False))  # one that gets no processor for a while counts as not running
        return [one["position"] for one in found["files"]] == [size] and bool(found["running"])

    wait_for(is_done, "the records")
    (file,) = found["files"]
    assert (file["path"], file["backlog_bytes"], found["indexed"]) == (str(programs.log), 0, 100)
    assert (found["running"], found["state"], found["pid"]) == (True, "shipping", shipper.pid)
    assert 0 < found["memory_bytes"] < 200_000_000
    assert found["lag_ms"] is not None
    people = programs.run("shipper", "status").stdout
    assert "100 indexed" in people
    shipper.terminate()
    shipper.wait()
    done = programs.run("shipper", "status", check=False)
    assert done.returncode == 1
    assert "not running" in done.stdout


def test_without_a_shipper_there_is_a_word(programs: Programs) -> None:
    done = programs.run("shipper", "status", check=False)
    assert done.returncode == 1
    assert "No shipper has run" in done.stderr


def test_metrics_and_health_are_on_loopback(programs: Programs) -> None:
    address = f"127.0.0.1:{free_port()}"
    append(programs, lines(10))
    with serving(*[status(503)] * 3) as server:
        programs.start("shipper", "run", SHIPPER_LISTEN=address, SHIPPER_ELASTICSEARCH=server.url)
        wait_for(lambda: len(server.jobs) == 10, "the records")
        wait_for(lambda: "shipper_indexed_total 10.0" in _get(address, "/metrics"), "the metric")
        assert "shipper_retries_total" in _get(address, "/metrics")
        assert json.loads(_get(address, "/health"))["status"] == "ok"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            _get(address, "/")


def _get(address: str, path: str) -> str:
    """An answer, however often it takes: a client is disconnected after five seconds, also if the machine is busy."""
    answers: list[str] = []

    def is_answered() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}{path}", timeout=LIMIT_S) as answer:
                answers.append(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException):
            return False
        return True

    wait_for(is_answered, f"an answer of {address}")
    return answers[0]


def test_a_taken_port_is_said_and_stops_nothing(programs: Programs) -> None:
    append(programs, lines(10))
    with serving() as server:
        address = f"127.0.0.1:{server.server_port}"
        programs.start("shipper", "run", SHIPPER_LISTEN=address, SHIPPER_ELASTICSEARCH=server.url)
        wait_for(lambda: len(server.jobs) == 10, "the records")
    assert "SHIPPER_LISTEN" in (programs.folder / "shipper.log").read_text()


def test_the_shipper_s_own_records_are_indexed(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    append(programs, lines(10))
    programs.start("shipper", "run")
    wait_for(lambda: count(search, f"rq-shipper-{namespace}-*") >= 1, "a status record")
    (hit,) = search.search(index=f"rq-shipper-{namespace}-*", size=1)["hits"]["hits"]
    assert hit["_source"]["event"]["kind"] == "metric"
    assert hit["_source"]["shipper"]["memory_bytes"] > 0
    assert hit["_source"]["service"]["name"] == "shipper"


def test_sighup_loads_the_settings_again(programs: Programs) -> None:
    toml = programs.folder / "shipper.toml"
    other = programs.folder / "other.jsonl"
    other.write_bytes(lines(5))
    append(programs, lines(10, start=5))
    environment = dict(programs.environment)
    del environment["SHIPPER_LOG"]
    with serving() as server:
        trusted = f'trusted_files = ["{programs.folder}/*.jsonl"]\n'
        toml.write_text(f'files = ["{programs.log}"]\n{trusted}')
        shipper = programs.start(
            "shipper", "run", SHIPPER_CONFIG=str(toml), SHIPPER_ELASTICSEARCH=server.url, SHIPPER_LISTEN="off"
        )
        wait_for(lambda: len(server.jobs) == 10, "the first file")
        toml.write_text("files = 3\n")
        shipper.send_signal(signal.SIGHUP)
        log = programs.folder / "shipper.log"
        wait_for(lambda: "settings stay as they were" in log.read_text(), "the refusal")
        toml.write_text(f'files = ["{programs.log}", "{other}"]\n{trusted}')
        shipper.send_signal(signal.SIGHUP)
        wait_for(lambda: len(server.jobs) == 15, "the second file")
        assert shipper.poll() is None


def test_sigterm_finishes_the_batch_and_saves_the_positions(programs: Programs) -> None:
    """Scenario 26."""
    append(programs, lines(100))
    is_told = threading.Event()

    def answer_then(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
        is_told.wait(LIMIT_S)
        well(handler, pairs)

    with serving(answer_then) as server:
        shipper = programs.start("shipper", "run", SHIPPER_ELASTICSEARCH=server.url)
        wait_for(lambda: server.requests, "the request")
        shipper.terminate()
        is_told.set()
        assert shipper.wait(LIMIT_S) == 0
        assert len(server.jobs) == 100
        registry = json.loads((programs.folder / "state/registry.json").read_text())
        assert registry["files"][0]["position"] == programs.log.stat().st_size


def test_sigterm_does_not_wait_for_ever(programs: Programs) -> None:
    append(programs, lines(100))
    with serving(slow(LIMIT_S)) as server:
        shipper = programs.start("shipper", "run", SHIPPER_ELASTICSEARCH=server.url)
        wait_for(lambda: server.requests, "the request")
        shipper.terminate()
        assert shipper.wait(LIMIT_S) == 0
        assert "did not answer in time" in (programs.folder / "shipper.log").read_text()
        registry = programs.folder / "state/registry.json"
        assert not registry.exists() or json.loads(registry.read_text())["files"][0]["position"] == 0
