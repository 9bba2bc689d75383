"""`shipper doctor` on real servers, each with something wrong: it says so, says what to do, and changes nothing."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from elasticsearch import Elasticsearch
from rq import Queue

from shipper.records import encode, timestamp
from shipper.ship.reader.framer import CHECKED_IN
from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from stack.redis import Redis
from tests.kibana_server import serving as kibana_serving
from tests.programs import Programs, wait_for
from tests.serving import serve

pytestmark = pytest.mark.slow

GOLDEN = (Path(__file__).parent.parent / "golden/job-finished.jsonl").read_bytes()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = Redis(folder, "--maxmemory", "100mb", "--maxmemory-policy", "noeviction")
    yield server
    server.stop()


@pytest.fixture
def clinic(own_server: OwnElasticsearch, own_redis: Redis, tmp_path: Path) -> Iterator[Programs]:
    """Programs whose Redis and Elasticsearch are good, and whose log is there."""
    environment = {
        "SHIPPER_LOG": str(tmp_path / "records.jsonl"),
        "SHIPPER_STATE": str(tmp_path / "state"),
        "SHIPPER_ELASTICSEARCH": own_server.url,
        "SHIPPER_REDIS": own_redis.url,
        "SHIPPER_SERVICE": "shop",
        "SHIPPER_NAMESPACE": f"t{uuid.uuid4().hex[:12]}",
        "SHIPPER_LISTEN": "off",
        "SHIPPER_CONFIG": "/dev/null",
    }
    (tmp_path / "records.jsonl").touch(0o660)
    programs = Programs(environment, tmp_path)
    yield programs
    programs.stop()


def doctor(clinic: Programs, *flags: str, **environment: str) -> dict[str, Any]:
    """What it says as JSON. Its exit status fits that."""
    done = clinic.run("shipper", "doctor", "--json", *flags, check=False, **environment)
    assert done.returncode in (0, 1), done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    grave = [one for one in said["findings"] if one["severity"] != "note"]
    assert done.returncode == (1 if grave else 0)
    assert said["status"] == ("findings" if grave else "ok")
    assert not [one for one in said["findings"] if not one["do"]]
    return said


def about(said: dict[str, Any], subject: str, severity: str) -> str:
    """What was found of a subject with this severity, as text."""
    return "\n".join(
        f"{one['what']} {one['do']}"
        for one in said["findings"]
        if (one["subject"], one["severity"]) == (subject, severity)
    )


def key_of(clinic: Programs, role: str) -> str:
    name = f"rq-{role}-{clinic.environment['SHIPPER_NAMESPACE']}.key"
    return (Path(clinic.environment["SHIPPER_STATE"]) / "keys" / name).read_text().strip()


def test_an_installation_that_is_well(clinic: Programs, own_server: OwnElasticsearch) -> None:
    clinic.run("shipper", "setup", "--roles")
    clinic.log.write_bytes(started("shop", "mails"))
    address, key = f"http://{own_server.address}", key_of(clinic, "shipper")
    shipping = {"SHIPPER_ELASTICSEARCH": address, "SHIPPER_API_KEY": key, "SHIPPER_PRUNE": "false"}
    clinic.start("shipper", "run", **shipping)

    def well() -> bool:
        """Without a C compiler, one thing is to be said."""
        said.update(doctor(clinic, **shipping))
        subjects = {one["subject"] for one in said["findings"] if one["severity"] != "note"}
        return subjects == (set() if CHECKED_IN == "C" else {"native module"})

    said: dict[str, Any] = {}
    wait_for(well, "a doctor who finds nothing")
    assert {
        "settings",
        "folders",
        "native module",
        "RQ",
        "shipper",
        "Redis",
        "Elasticsearch",
        "templates",
        "privileges",
    } <= set(said["checked"])
    assert "403" in said["not_checked"]["context"]  # the shipper's key reads no record
    people: list[str] = []

    def is_good() -> bool:  # on a busy machine the shipper may be silent for a while, and then this is found
        people.append(clinic.run("shipper", "doctor", check=False, **shipping).stdout)
        return "good" in people[-1] or CHECKED_IN != "C"

    wait_for(is_good, "a doctor who says so to people")
    assert key not in "".join(people)


def test_it_works_without_any_server_and_shows_no_secret(clinic: Programs) -> None:
    away = {
        "SHIPPER_ELASTICSEARCH": "http://bob:s3cret-es@127.0.0.1:1",
        "SHIPPER_REDIS": "redis://bob:s3cret-redis@127.0.0.1:1/0",
        "SHIPPER_KIBANA": "http://bob:s3cret-kibana@127.0.0.1:1",
        "SHIPPER_PROXY": "",
    }
    said = doctor(clinic, **away)
    for subject in ("Redis", "Elasticsearch", "Kibana"):
        assert "cannot be" in about(said, subject, "error")
    assert {"templates", "privileges", "queues", "clock"} <= set(said["not_checked"])
    assert "s3cret" not in json.dumps(said)
    people = clinic.run("shipper", "doctor", check=False, **away)
    assert "s3cret" not in people.stdout + people.stderr


def test_it_writes_nothing(clinic: Programs, own_redis: Redis, own_search: Elasticsearch) -> None:
    templates = own_search.cluster.state(metric="metadata", filter_path="metadata.index_templates").body
    with redis.Redis.from_url(own_redis.url) as connection:
        connection.set("x", "y")
        said = doctor(clinic)
        assert "Elasticsearch" not in said["not_checked"]  # also before there is any index of ours
        assert connection.keys() == [b"x"]
    assert not Path(clinic.environment["SHIPPER_STATE"]).exists()
    assert not own_search.indices.get(index=f"rq-*-{clinic.environment['SHIPPER_NAMESPACE']}*", allow_no_indices=True)
    assert own_search.cluster.state(metric="metadata", filter_path="metadata.index_templates").body == templates


def test_wrong_settings_are_findings_and_wrong_flags_are_not(clinic: Programs) -> None:
    said = doctor(clinic, SHIPPER_SERVCE="x", SHIPPER_NAMESPACE="A B")
    assert "Did you mean SHIPPER_SERVICE?" in about(said, "settings", "error")
    assert "namespace" in about(said, "settings", "error")
    done = clinic.run("shipper", "doctor", "--elasticsearch", "nonsense", check=False)
    assert done.returncode == 2
    assert "must be URLs" in done.stderr


def test_a_redis_that_deletes_jobs(clinic: Programs, own_redis: Redis) -> None:
    own_redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert "CONFIG SET maxmemory-policy noeviction" in about(doctor(clinic), "Redis", "error")


def test_templates_that_are_missing(clinic: Programs, own_search: Elasticsearch) -> None:
    clinic.run("shipper", "setup")
    assert about(doctor(clinic), "templates", "error") == ""
    own_search.indices.delete_index_template(name="rq-job")
    said = about(doctor(clinic), "templates", "error")
    assert "index template rq-job" in said
    assert "shipper setup" in said
    assert not own_search.indices.exists_index_template(name="rq-job")
    clinic.run("shipper", "setup")


def test_indices_that_nobody_deleted(clinic: Programs, own_search: Elasticsearch) -> None:
    assert about(doctor(clinic), "retention", "warning") == ""
    index = f"rq-job-{clinic.environment['SHIPPER_NAMESPACE']}-2020.01.31"
    own_search.indices.create(index=index)
    try:
        said = about(doctor(clinic, SHIPPER_PRUNE="false", SHIPPER_INDEX_PERIOD="month"), "retention", "warning")
        assert f"Past their retention and still there: {index}" in said
        assert f"records of the time of these indices go to others: {index}" in said
    finally:
        own_search.indices.delete(index=index)


def test_a_key_that_may_not_ship(clinic: Programs, own_server: OwnElasticsearch) -> None:
    clinic.run("shipper", "setup", "--roles")
    address = {"SHIPPER_ELASTICSEARCH": f"http://{own_server.address}"}
    pruner = about(doctor(clinic, SHIPPER_API_KEY=key_of(clinic, "pruner"), **address), "privileges", "error")
    assert "create_doc on all indices of records" in pruner
    assert "shipper setup --roles" in pruner
    reader = doctor(clinic, SHIPPER_API_KEY=key_of(clinic, "reader"), **address)
    assert "can read, and not ship" in about(reader, "privileges", "note")
    superuser = about(doctor(clinic), "privileges", "warning")
    assert "change or delete audit records" in superuser
    wrong = doctor(clinic, SHIPPER_API_KEY="bm9uZTpub25l", **address)
    assert "does not accept the credentials" in about(wrong, "Elasticsearch", "error")


def started(service: str, queue: str) -> bytes:
    """A record that a job was started now, with an id of its own."""
    record = json.loads(GOLDEN)
    event = {"id": uuid.uuid4().hex, "dataset": "rq.job", "kind": "event", "action": "job-started"}
    record |= {"@timestamp": timestamp(datetime.now(UTC)), "event": event, "service": {"name": service}}
    record["messaging"]["destination"] = {"name": queue}
    return encode(record)


def test_two_services_on_one_queue(clinic: Programs) -> None:
    clinic.log.write_bytes(started("shop", "mails") + started("crm", "mails") + started("shop", "own"))
    clinic.run("shipper", "run", "--once")
    clinic.refresh()
    said = about(doctor(clinic), "queues", "error")
    assert "the queue mails: " in said
    assert "crm (1)" in said
    assert "own" not in said.replace("its own", "").replace("of its own", "")


def test_a_worker_without_records(clinic: Programs, own_redis: Redis) -> None:
    with redis.Redis.from_url(own_redis.url) as connection:
        Queue("low", connection=connection).enqueue("time.sleep", 0)
    plain = clinic.start("rq", "worker", "low", "--url", own_redis.url, "--name", "plain", "--quiet")
    with redis.Redis.from_url(own_redis.url) as connection:
        wait_for(lambda: connection.hget("rq:worker:plain", "successful_job_count") == b"1", "the job")
    clinic.run("shipper", "run", "--once")
    assert "The worker plain" in about(doctor(clinic), "queues", "error")
    plain.terminate()
    plain.wait()


def test_jobs_without_a_user(clinic: Programs) -> None:
    code = (
        "import shipper, redis, os; from rq import Queue; shipper.instrument();"
        "q = Queue('low', connection=redis.Redis.from_url(os.environ['SHIPPER_REDIS']));"
        "q.enqueue('shop.charge', 1)\n"
        "with shipper.log_context(user='ann', customer='42'): q.enqueue('shop.charge', 2)"
    )
    clinic.run("python", "-c", code)
    clinic.run("shipper", "run", "--once")
    clinic.refresh()
    said = about(doctor(clinic), "context", "note")
    assert "50% of the jobs of the last 7 days have no user: shop.charge 50% of 2" in said
    assert "log_context(customer=" in said


@pytest.fixture
def full_disks(own_search: Elasticsearch) -> Iterator[None]:
    """The watermarks of the cluster are such that its disk is too full, as far as it is not yet read-only."""
    disk = "cluster.routing.allocation.disk"
    marks = {"low": "0.1%", "high": "0.2%", "flood_stage": "99.9%"}
    own_search.cluster.put_settings(
        persistent={f"{disk}.threshold_enabled": True, **{f"{disk}.watermark.{name}": at for name, at in marks.items()}}
    )
    yield
    own_search.cluster.put_settings(persistent={f"{disk}.*": None})


@pytest.mark.usefixtures("full_disks")
def test_low_disk(clinic: Programs) -> None:
    said = about(doctor(clinic), "Elasticsearch", "error")
    assert "high watermark 0.2%" in said
    assert "SHIPPER_RETENTION" in said


def test_an_index_that_takes_nothing(clinic: Programs, own_search: Elasticsearch) -> None:
    clinic.log.write_bytes(started("shop", "mails"))
    clinic.run("shipper", "run", "--once")
    name = f"rq-job-{clinic.environment['SHIPPER_NAMESPACE']}-*"
    own_search.indices.put_settings(index=name, settings={"index.blocks.read_only_allow_delete": True})
    assert "take no documents: rq-job-" in about(doctor(clinic), "Elasticsearch", "error")
    own_search.indices.put_settings(index=name, settings={"index.blocks.read_only_allow_delete": None})


def test_the_shipper_is_behind_and_has_dead_letters(clinic: Programs) -> None:
    clinic.log.write_bytes(GOLDEN + b'{"broken\n')
    assert "bytes of records wait" in about(doctor(clinic), "shipper", "warning")
    clinic.run("shipper", "run", "--once")
    assert "shipper deadletter list" in about(doctor(clinic), "shipper", "warning")


def test_without_the_module_in_c(clinic: Programs) -> None:
    """As where there was no compiler: the import of the module fails."""
    code = (
        "import sys; sys.modules['shipper.ship.reader.framing'] = None; sys.argv = ['shipper', 'doctor', '--json'];"
        "from shipper.cli import main; main()"
    )
    done = clinic.run("python", "-c", code, check=False)
    assert "C compiler" in about(json.loads(done.stdout), "native module", "warning")


# --- clocks that are off, byte for byte


def test_the_clock_of_a_proxy_before_elasticsearch(clinic: Programs) -> None:
    """Elastic Cloud's proxy has a Date header; Elasticsearch itself has none."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b'{"version":{"number":"9.4.3","build_flavor":"serverless"},"tagline":"You Know, for Search"}'
            if self.path != "/":
                self.send_response_only(404)
                body = b"{}"
            else:
                self.send_response_only(200)
            self.send_header("date", formatdate(time.time() + 3600, usegmt=True))
            self.send_header("content-type", "application/json")
            self.send_header("x-elastic-product", "Elasticsearch")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server has the name

        def log_message(self, *_: object) -> None:
            pass

    begun = time.monotonic()
    with serve(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        said = doctor(clinic, SHIPPER_ELASTICSEARCH=f"http://127.0.0.1:{server.server_port}")
    found = about(said, "clock", "error")
    assert "Elasticsearch at http://127.0.0.1" in found
    assert 3599 - (time.monotonic() - begun) <= _figure(r"(\d+) s ahead of", found) <= 3601


def test_the_clock_of_redis(clinic: Programs, own_redis: Redis) -> None:
    begun = time.monotonic()
    with _with_another_time(own_redis.port, -50.0) as port:
        said = doctor(clinic, SHIPPER_REDIS=f"redis://127.0.0.1:{port}/0")
    found = about(said, "clock", "warning")
    assert 49 - (time.monotonic() - begun) <= _figure(r"(\d+) s behind", found) <= 51
    assert about(doctor(clinic), "clock", "warning") == ""  # nor is Elasticsearch's off


def _figure(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])


class _with_another_time:  # noqa: N801 - a context manager
    """Passes everything on to a Redis, but for TIME, which it answers itself. Gives its port."""

    def __init__(self, port: int, offset_s: float) -> None:
        self._target, self._offset_s = port, offset_s

    def __enter__(self) -> int:
        self._listening = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        return int(self._listening.getsockname()[1])

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)  # which wakes the thread; close() alone does not
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._commands, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()

    def _commands(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):  # one of them has closed
            while data := client.recv(1 << 16):
                if data == b"*1\r\n$4\r\nTIME\r\n":
                    seconds, _, micros = f"{time.time() + self._offset_s:.6f}".partition(".")
                    client.sendall(f"*2\r\n${len(seconds)}\r\n{seconds}\r\n$6\r\n{micros}\r\n".encode())
                else:
                    server.sendall(data)
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)  # which wakes the other thread

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with client, server, suppress(OSError):
            while data := server.recv(1 << 16):
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


# --- Kibana


def test_kibana_s_objects(clinic: Programs) -> None:
    with kibana_serving() as server:
        where = {"SHIPPER_KIBANA": server.url}
        said = doctor(clinic, **where)
        assert "shipper setup --kibana" in about(said, "Kibana", "warning")
        clinic.run("shipper", "setup", **where)
        assert about(doctor(clinic, **where), "Kibana", "warning") == ""
        server.objects.pop(next(iter(server.objects)))
        assert "1 of" in about(doctor(clinic, **where), "Kibana", "warning")
