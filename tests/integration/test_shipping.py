"""`shipper run` against the real Elasticsearch: every line once, whatever happens to the shipper."""

from __future__ import annotations

import json
import signal
import threading
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from shipper import jobs, records
from shipper.settings import Settings
from shipper.ship.bulk.backoff import LOG_EVERY_S
from shipper.ship.bulk.batch import Batch
from shipper.ship.bulk.dead_letters import DeadLetters
from shipper.ship.pipeline import Pipeline
from shipper.ship.reader.document import Document
from shipper.ship.reader.items import Item
from stack.processes import free_port
from tests.bulk_server import Handler, serving, slow
from tests.programs import LIMIT_S, Programs, count, wait_for

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/job-finished.jsonl").read_text())


def lines(count: int, start: int = 0) -> bytes:
    """Records of now, each with an id of its own."""
    now = datetime.now(UTC)
    made = []
    for number in range(start, start + count):
        event = {**GOLDEN["event"], "id": records.record_id(now, str(number))}
        made.append(records.encode({**GOLDEN, "@timestamp": records.timestamp(now), "event": event}))
    return b"".join(made)


def append(programs: Programs, data: bytes) -> None:
    with programs.log.open("ab") as log:
        log.write(data)


def indexed(search: Elasticsearch, namespace: str, dataset: str = "job") -> int:
    return count(search, f"rq-{dataset}-{namespace}-*")


def dead_letters(made: Settings) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (made.state / "deadletters.jsonl").read_text().splitlines()]


def test_once_ships_all_there_is_and_then_nothing_more(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    append(programs, lines(100))
    assert programs.run("shipper", "run", "--once").stderr.startswith("100 records indexed, 0 were there already")
    assert programs.run("shipper", "run", "--once").stderr.startswith("0 records indexed, 0 were there already")
    assert indexed(search, namespace) == 100


def test_an_empty_registry_doubles_nothing(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    append(programs, lines(100))
    programs.run("shipper", "run", "--once")
    again = programs.run("shipper", "run", "--once", "--state", str(programs.folder / "other-state"))
    assert again.stderr.startswith("0 records indexed, 100 were there already")
    assert indexed(search, namespace) == 100


def test_what_is_piped_in_is_shipped(programs: Programs, search: Elasticsearch, namespace: str) -> None:
    done = programs.run("shipper", "run", "--stdin", stdin=lines(10) + b'{"message":"hello"}\nnonsense')
    assert done.stderr.startswith("12 records indexed, 0 were there already, 0 dead letters")
    assert (indexed(search, namespace), indexed(search, namespace, "app")) == (10, 2)


def test_a_shipper_that_is_killed_again_and_again_loses_and_doubles_nothing(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    for round_ in range(4):
        shipper = programs.start("shipper", "run")
        for part in range(5):
            append(programs, lines(400, start=round_ * 2000 + part * 400))
            time.sleep(0.12)
        shipper.send_signal(signal.SIGKILL)
        shipper.wait()
    programs.run("shipper", "run", "--once")
    assert indexed(search, namespace) == 8000


def test_the_daemon_ships_what_is_written_and_ends_in_order(
    programs: Programs, search: Elasticsearch, namespace: str, made: Settings
) -> None:
    shipper = programs.start("shipper", "run")
    append(programs, lines(10))
    wait_for(lambda: indexed(search, namespace) == 10, "the first lines")
    programs.log.rename(programs.log.with_suffix(".jsonl.1"))
    append(programs, lines(10, start=10))
    wait_for(lambda: indexed(search, namespace) == 20, "the lines of the new file")
    shipper.send_signal(signal.SIGTERM)
    assert shipper.wait(LIMIT_S) == 0
    registry = json.loads((made.state / "registry.json").read_text())
    assert {Path(entry["path"]).name for entry in registry["files"]} == {"records.jsonl", "records.jsonl.1"}
    assert programs.run("shipper", "run", "--once").stderr.startswith("0 records indexed, 0 were there already")


def test_two_shippers_on_one_state_folder_are_refused(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    append(programs, lines(1))
    programs.start("shipper", "run")
    wait_for(lambda: indexed(search, namespace) == 1, "the first shipper")
    second = programs.run("shipper", "run", "--once", check=False)
    assert second.returncode == 1
    assert "Another shipper is using the state folder" in second.stderr


def test_a_shipper_on_standby_waits_for_the_first_and_goes_on_where_that_was(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    append(programs, lines(1))
    first = programs.start("shipper", "run")
    wait_for(lambda: indexed(search, namespace) == 1, "the first shipper")
    port = free_port()
    second = programs.start("shipper", "run", SHIPPER_STANDBY="true", SHIPPER_LISTEN=f"127.0.0.1:{port}")
    log = programs.folder / "shipper.log"
    wait_for(lambda: "Waiting for it to end" in log.read_text(), "the second shipper")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
        assert json.load(answer)["state"] == "standby"
    first.send_signal(signal.SIGTERM)
    assert first.wait(LIMIT_S) == 0
    append(programs, lines(1, start=1))
    wait_for(lambda: indexed(search, namespace) == 2, "the line that came afterwards")
    second.send_signal(signal.SIGTERM)
    assert second.wait(LIMIT_S) == 0
    assert log.read_text().rstrip().endswith("1 records indexed, 0 were there already, 0 dead letters.")


def test_a_shipper_on_standby_can_be_stopped(programs: Programs) -> None:
    programs.start("shipper", "run")
    log = programs.folder / "shipper.log"
    wait_for(lambda: log.exists() and "positions in" in log.read_text(), "the first shipper")
    second = programs.start("shipper", "run", SHIPPER_STANDBY="true")
    wait_for(lambda: "Waiting for it to end" in log.read_text(), "the second shipper")
    second.send_signal(signal.SIGTERM)
    assert second.wait(LIMIT_S) == 0


def test_the_daemon_waits_for_an_elasticsearch_that_is_not_there_yet(programs: Programs) -> None:
    port = free_port()
    append(programs, lines(5))
    began = time.monotonic()
    shipper = programs.start("shipper", "run", "--elasticsearch", f"http://127.0.0.1:{port}")
    log = programs.folder / "shipper.log"
    wait_for(lambda: log.exists() and "cannot be reached" in log.read_text(), "the warning")
    time.sleep(1)
    assert shipper.poll() is None
    times = log.read_text().count("cannot be reached")
    assert 1 <= times <= 1 + (time.monotonic() - began) / LOG_EVERY_S
    shipper.send_signal(signal.SIGTERM)
    assert shipper.wait(LIMIT_S) == 0


def test_the_daemon_waits_for_a_folder_that_is_not_there_yet(
    programs: Programs, search: Elasticsearch, namespace: str, tmp_path: Path
) -> None:
    folder = tmp_path / "later"
    globs = str(folder / "*.jsonl")
    programs.start("shipper", "run", "--files", globs, SHIPPER_TRUSTED_FILES=globs)
    log = programs.folder / "shipper.log"
    wait_for(lambda: log.exists() and "does not exist" in log.read_text(), "the warning")
    folder.mkdir()
    (folder / "records.jsonl").write_bytes(lines(3))
    wait_for(lambda: indexed(search, namespace) == 3, "the lines")


def test_what_the_mapping_refuses_is_a_dead_letter_with_the_reason(
    programs: Programs, search: Elasticsearch, namespace: str, made: Settings
) -> None:
    at = records.timestamp(datetime.now(UTC)).encode()
    refused = b'{"@timestamp":"%b","event":{"dataset":"rq.job","id":"x"},"user":"bob"}\n' % at
    append(programs, lines(2) + refused + lines(2, start=2))
    done = programs.run("shipper", "run", "--once")
    assert "1 dead letter" in done.stderr
    (dead_letter,) = dead_letters(made)
    assert dead_letter["line"] == refused.decode().strip()
    assert dead_letter["status"] == 400
    assert "user" in dead_letter["reason"]
    assert indexed(search, namespace) == 4


def test_wrong_credentials_say_what_to_do(programs: Programs) -> None:
    append(programs, lines(1))
    with serving() as server:
        server.get_status = 401
        done = programs.run(
            "shipper", "run", "--once", "--elasticsearch", server.url, check=False, SHIPPER_API_KEY="wrong"
        )
    assert done.returncode == 1
    assert "SHIPPER_API_KEY" in done.stderr
    assert "401" in done.stderr
    assert "wrong" not in done.stderr


def test_while_a_backlog_is_shipped_positions_are_saved_and_other_files_are_read(
    programs: Programs, made: Settings
) -> None:
    """Also with a server that is slow: what is behind is no reason to forget what is there already."""

    is_written, is_noticed = threading.Event(), threading.Event()

    def saved() -> list[int]:
        file = made.state / "registry.json"
        entries = json.loads(file.read_text())["files"] if file.exists() else []
        return [entry["position"] for entry in entries if entry["path"] == str(programs.log)]

    def slowly(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
        """About 20 requests. The last ones have to wait until this test has noticed things."""
        arrived = len(server.jobs)
        if arrived > 2_000:
            is_written.wait(LIMIT_S)
        if arrived > 25_000:
            is_noticed.wait(LIMIT_S)
        slow(1.0)(handler, pairs)

    with serving() as server:
        server.choose = lambda: slowly
        programs.log.write_bytes(lines(30_000))
        quiet = programs.log.with_name(programs.log.name + ".other")
        quiet.touch()
        programs.start("shipper", "run", SHIPPER_ELASTICSEARCH=server.url)
        wait_for(lambda: len(server.jobs) > 2_000, "the first of the backlog")
        quiet.write_bytes(b'{"message":"from the quiet one"}\n')
        is_written.set()
        wait_for(
            lambda: any(b"the quiet one" in source for source in list(server.documents.values())), "the other file"
        )
        wait_for(lambda: any(0 < position < programs.log.stat().st_size for position in saved()), "the positions")
        assert len(server.jobs) < 30_000
        is_noticed.set()


def test_jobs_with_ids_and_times_beyond_elasticsearchs_have_their_records_and_states(
    programs: Programs, search: Elasticsearch, namespace: str, made: Settings
) -> None:
    base = json.loads(lines(1))
    odd = {"a" * 600: base["rq"]["enqueued_at"], "future": "9999-12-31T00:00:00Z", "past": "1960-01-01T00:00:00Z"}
    for number, (job_id, pushed) in enumerate(odd.items()):
        status_record = {
            **base,
            "event": {**base["event"], "id": f"{number:032x}"},
            "messaging": {**base["messaging"], "message": {"id": job_id}},
            "rq": {**base["rq"], "enqueued_at": pushed},
        }
        append(programs, lines(10, start=number * 10) + records.encode(status_record))
    done = programs.run("shipper", "run", "--once")
    assert done.stderr.startswith("33 records indexed, 0 were there already")
    assert indexed(search, namespace) == 33
    search.indices.refresh(index=f"rq-state-{namespace}")
    for job_id in odd:
        assert jobs.from_elasticsearch(job_id, made).state == "finished"  # type: ignore[union-attr]
    found = {state.job_id for state in jobs.find(function=base["code"]["function"]["name"], settings=made)}
    assert set(odd) <= found


def test_one_document_for_which_elasticsearch_refuses_a_whole_request_holds_nothing_up(
    programs: Programs, search: Elasticsearch, namespace: str, made: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = lines(256).splitlines()
    culprit = records.record_id(datetime.now(UTC), "culprit") * 20  # 640 bytes, and 512 is Elasticsearch's limit
    pipeline = Pipeline(made, DeadLetters(made.state), threading.Event(), LIMIT_S)
    pipeline.prepare()
    sent: list[int] = []
    send = pipeline._bulk.send

    def note_and_send(body: Any) -> Any:
        sent.append(len(body))
        return send(body)

    monkeypatch.setattr(pipeline._bulk, "send", note_and_send)
    batch = Batch(made)
    for number, line in enumerate(whole):
        index = records.index_name("rq.job", datetime.now(UTC), namespace)
        identifier = culprit if number == 100 else json.loads(line)["event"]["id"]
        action = json.dumps({"create": {"_index": index, "_id": identifier}}).encode()
        batch.others.append(Item(Document(action, line), line, "there", number))
    (dead,) = pipeline.send(batch)
    pipeline.close()
    assert (dead.offset, dead.status) == (100, 400)
    assert "is too long" in dead.reason
    assert indexed(search, namespace) == 255
    assert len(sent) == 1 + 2 * 8  # 256 is 2**8
