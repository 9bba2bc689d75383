"""What `shipper setup` makes of the settings about indices: periods, shards, replicas, logsdb, ILM, Serverless."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from shipper import client, settings
from shipper.errors import LifecycleError, SettingsError
from shipper.index import retention, setup
from shipper.records import DATASETS, index_name
from shipper.ship.reader.document import Place, document
from shipper.ship.reader.framer import Framer
from shipper.ship.source.tail import Block
from tests.unit.test_framing import OURS, START, Source

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def made(**given: str) -> settings.Settings:
    return settings.load(environment={f"SHIPPER_{name.upper()}": value for name, value in given.items()})


@pytest.mark.parametrize(
    ("period", "november", "december"),
    [
        ("day", "2026.11.25", "2026.12.01"),
        ("month", "2026.11", "2026.12"),
        ("month since 2026-12", "2026.11.25", "2026.12"),
        ("day since 2026-12", "2026.11", "2026.12.01"),
    ],
)
def test_the_index_follows_from_the_record_s_time_alone(period: str, november: str, december: str) -> None:
    chosen = made(index_period=period).index_period
    assert str(chosen) == period
    for at, suffix in ((NOW, november), (datetime(2026, 12, 1, tzinfo=UTC), december)):
        for dataset in ("rq.job", "rq.app", "rq.queue", "rq.shipper"):
            assert index_name(dataset, at, "shop", chosen).rpartition("-")[2] == suffix
        assert index_name("rq.audit", at, "shop", chosen) == f"rq-audit-shop-{at:%Y.%m}"


@pytest.mark.parametrize("period", ["day", "month", "month since 2026-12", "day since 2026-12", "month since 2026-11"])
def test_both_paths_of_the_shipper_name_the_same_index(period: str) -> None:
    chosen = made(index_period=period, past_days="3650", future_days="400")
    framer = Framer(chosen, "host")
    if framer._native is None:
        pytest.skip("there is no C compiler here, and so one path")
    lines = [line.replace(line[15:25], day) for line in OURS for day in (b"2026-11-30", b"2026-12-01", b"2027-01-01")]
    data = b"\n".join(lines) + b"\n"
    framed = framer.frame(Block(Source(), START, data), "file", NOW, None, trusted=True, counts=False)  # type: ignore[arg-type]
    assert framed is not None
    actions = bytes(framed.body).split(b"\n")[:-1:2]
    starts = [len(b"\n".join(lines[:number])) + bool(number) for number in range(len(lines))]
    wanted = [
        document(line, Place("host", "file", START + at), chosen, NOW)[0].action
        for line, at in zip(lines, starts, strict=True)
        if at in set(framed.taken)
    ]
    assert len(wanted) > len(lines) // 2
    assert actions == wanted


@pytest.mark.parametrize("value", ["week", "month since 2026", "month since 2026-13", "since 2026-12", "days"])
def test_another_period_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="month since 2027-01"):
        made(index_period=value)


def test_every_index_s_end_is_known_by_its_name() -> None:
    for dataset, of in DATASETS.items():
        for period in ("day", "month"):
            name = index_name(dataset, NOW, "shop", made(index_period=period).index_period)
            end = retention.period_end(of, name.rpartition("-")[2])
            assert end is not None
            assert end > NOW


def options(**given: str) -> dict[str, dict[str, Any]]:
    """Template → the settings of its indices."""
    parts = setup.wanted(made(**given), pipeline=False)
    return {one.name: one.body["template"]["settings"]["index"] for one in parts if "template" in one.body}


def test_shards_are_those_of_the_large_indices_and_replicas_those_of_all() -> None:
    found = options(shards="3", replicas="2")
    assert {name for name, index in found.items() if index.get("number_of_shards") == 3} == {"rq-job", "rq-app"}
    for name in ("rq-common", "rq-state"):
        assert found[name]["number_of_replicas"] == 2
        assert "auto_expand_replicas" not in found[name]
    assert options(replicas="0-all")["rq-common"]["auto_expand_replicas"] == "0-all"


def test_logsdb_is_for_jobs_and_applications_and_never_for_the_audit_trail() -> None:
    assert {name for name, index in options(logsdb="true").items() if index.get("mode") == "logsdb"} == {
        "rq-job", "rq-app",
    }  # fmt: skip


def test_logsdb_keeps_records_as_they_were_written() -> None:
    """A synthetic source has times to the millisecond."""
    for name in setup.LARGE:
        assert options(logsdb="true")[name]["mapping"] == {"source": {"mode": "stored"}}


def test_ilm_deletes_after_the_retention_and_what_an_index_holds() -> None:
    assert setup.policies(made()) == []

    def days(**given: str) -> dict[str, str]:
        parts = setup.policies(made(lifecycle="ilm", retention="job=10,audit=365", **given))
        return {one.name: one.body["phases"]["delete"]["min_age"] for one in parts}

    assert (days()["rq-job"], days()["rq-audit"]) == ("11d", "396d")
    assert days(index_period="month")["rq-job"] == "41d"
    named = {name: index.get("lifecycle") for name, index in options(lifecycle="ilm").items()}
    assert {name for name, policy in named.items() if policy == {"name": name}} == set(days())
    assert not any("lifecycle" in index for index in options().values())


class _Elasticsearch(ThreadingHTTPServer):
    """As much of a server as `setup` asks: keeps what is put, and refuses what Serverless refuses."""

    daemon_threads = True

    def __init__(self, flavour: str, *, has_ilm: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.flavour, self.has_ilm = flavour, has_ilm
        self.kept: dict[str, Any] = {}
        self.existing: dict[str, Any] = {}  # index → its settings


class _Answers(BaseHTTPRequestHandler):
    server: _Elasticsearch

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self._answer(200, {"version": {"number": "9.4.3", "build_flavor": self.server.flavour}})
        elif path == "/_ilm/status" and self.server.has_ilm:
            self._answer(200, {"operation_mode": "RUNNING"})
        elif "/_settings/" in path:
            self._answer(200, self.server.existing)
        else:
            self._answer(404, {})

    def do_PUT(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.flavour == "serverless" and any(
            name in json.dumps(body) for name in ("number_of_shards", "_replicas", "lifecycle", '"1s"')
        ):
            self._answer(
                400, {"error": {"type": "illegal_argument_exception", "reason": "not available in serverless"}}
            )
            return
        self.server.kept[self.path.partition("?")[0]] = body
        self._answer(200, {"acknowledged": True})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("x-elastic-product", "Elasticsearch")
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def start() -> Iterator[Any]:
    servers: list[_Elasticsearch] = []

    def start(flavour: str = "default", **given: bool) -> _Elasticsearch:
        server = _Elasticsearch(flavour, **given)
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def install(server: _Elasticsearch, **given: str) -> list[setup.Change]:
    config = made(elasticsearch=f"http://127.0.0.1:{server.server_port}", **given)
    with client.connect(config) as cluster:
        changes = setup.plan(cluster, config, pipeline=False)
        setup.apply(cluster, changes)
        setup.attach_policies(cluster, config)
    return changes


def test_serverless_gets_templates_that_it_takes(start: Any) -> None:
    server = start("serverless")
    install(server, shards="3", replicas="2", logsdb="true")
    assert len(server.kept) == len(setup.COMPONENTS) + len(setup.INDEX_TEMPLATES)
    assert server.kept["/_component_template/rq-common"]["template"]["settings"]["index"]["refresh_interval"] == "5s"


@pytest.mark.parametrize(("flavour", "has_ilm"), [("serverless", True), ("default", False)])
def test_ilm_where_there_is_none_is_an_error_and_nothing_is_changed(flavour: str, has_ilm: bool, start: Any) -> None:
    server = start(flavour, has_ilm=has_ilm)
    with pytest.raises(LifecycleError, match="Set SHIPPER_LIFECYCLE=prune"):
        install(server, lifecycle="ilm")
    assert server.kept == {}


def test_policies_come_before_the_templates_that_name_them_and_to_existing_indices(start: Any) -> None:
    server = start()
    changes = install(server, lifecycle="ilm", namespace="shop")
    kinds = [one.part.kind for one in changes]
    assert kinds.index("index_template") > max(at for at, kind in enumerate(kinds) if kind == "ilm_policy")
    assert server.kept["/_ilm/policy/rq-job"]["policy"]["phases"]["delete"]["actions"] == {"delete": {}}
    assert server.kept["/rq-job-shop-*,-rq-job-shop-*-*/_settings"] == {"index.lifecycle.name": "rq-job"}


def test_the_shipper_and_ilm_never_delete_both(start: Any) -> None:
    server = start()
    name = "rq-job-default-2020.01.01"
    server.existing = {name: {"settings": {"index": {"uuid": "x", "lifecycle": {"name": "rq-job"}}}}}
    address = f"http://127.0.0.1:{server.server_port}"
    with client.connect(made(elasticsearch=address)) as cluster:
        with pytest.raises(LifecycleError, match=f"{name} has an ILM policy"):
            retention.prune(cluster, made(), NOW)
        assert retention.prune(cluster, made(lifecycle="ilm"), NOW) == []


def test_indices_that_the_setting_would_not_make_are_told(start: Any) -> None:
    server = start()
    server.existing = {f"rq-job-default-{suffix}": {} for suffix in ("2026.11.24", "2026.11.25", "2026.12")}
    address = f"http://127.0.0.1:{server.server_port}"
    with client.connect(made(elasticsearch=address)) as cluster:
        assert setup.doubled(cluster, made(index_period="month since 2026-12")) == []
        assert setup.doubled(cluster, made()) == ["rq-job-default-2026.12"]
        assert len(setup.doubled(cluster, made(index_period="month"))) == 2
