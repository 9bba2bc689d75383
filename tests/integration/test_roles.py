"""Least privilege, proven on an Elasticsearch with security on: what each role's key can do, and what it cannot."""

from __future__ import annotations

import json
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import AuthorizationException, Elasticsearch

from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from tests.kibana_server import serving
from tests.programs import Programs, patient

pytestmark = pytest.mark.slow

GOLDEN = (Path(__file__).parent.parent / "golden/job-finished.jsonl").read_bytes()


@pytest.fixture
def keys(own_server: OwnElasticsearch, tmp_path: Path) -> Iterator[Programs]:
    """Programs on that server, its roles made by the command."""
    environment = {
        "SHIPPER_LOG": str(tmp_path / "records.jsonl"),
        "SHIPPER_STATE": str(tmp_path / "state"),
        "SHIPPER_ELASTICSEARCH": own_server.url,
        "SHIPPER_NAMESPACE": f"t{uuid.uuid4().hex[:12]}-eu",
        "SHIPPER_PAST_DAYS": "9999",  # records of a day that is written here are shipped, whatever day it is
        "SHIPPER_FUTURE_DAYS": "9999",
    }
    programs = Programs(environment, tmp_path)
    programs.run("shipper", "setup", "--roles")
    yield programs
    programs.stop()


def key_of(keys: Programs, role: str) -> str:
    name = f"rq-{role}-{keys.environment['SHIPPER_NAMESPACE']}.key"
    return (Path(keys.environment["SHIPPER_STATE"]) / "keys" / name).read_text().strip()


def as_role(keys: Programs, own_server: OwnElasticsearch, role: str) -> dict[str, str]:
    """The environment of a command that has that role's key and nothing else."""
    return {"SHIPPER_ELASTICSEARCH": f"http://{own_server.address}", "SHIPPER_API_KEY": key_of(keys, role)}


@pytest.fixture
def shipped(keys: Programs, own_server: OwnElasticsearch, own_search: Elasticsearch) -> dict[str, Any]:
    """An audit record and a job record of ann's, shipped with the shipper's key. Gives the audit document."""
    keys.run("shipper", "audit", "record", "signed-in", "--actor", "ann")
    with keys.log.open("ab") as log:
        log.write(json.dumps(json.loads(GOLDEN) | {"user": {"id": "ann"}}).encode() + b"\n")
    done = keys.run("shipper", "run", "--once", **as_role(keys, own_server, "shipper"))
    assert "3 records indexed" in done.stderr, done.stderr  # the third is the seal of the command that ended
    name = keys.environment["SHIPPER_NAMESPACE"]
    own_search.indices.refresh(index=f"rq-*-{name}*")
    assert own_search.count(index=f"rq-state-{name}")["count"] == 1
    hit: dict[str, Any]
    (hit,) = own_search.search(index=f"rq-audit-{name}-*", query={"term": {"user.id": "ann"}})["hits"]["hits"]
    return hit


def test_keys_are_files_of_their_own_and_are_kept(keys: Programs) -> None:
    folder = Path(keys.environment["SHIPPER_STATE"]) / "keys"
    before = {file.name: file.read_text() for file in folder.iterdir()}
    assert len(before) == 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    said = keys.run("shipper", "setup", "--roles").stdout
    assert said.count("was there already") == 5
    assert {file.name: file.read_text() for file in folder.iterdir()} == before
    assert not [key for key in before.values() if key.strip() in said]


def test_the_shipper_s_key_ships_text_logs(
    keys: Programs, own_server: OwnElasticsearch, own_search: Elasticsearch, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    job = "4f0c1d2e-0001-4a00-8a00-000000000001"
    log.write_text(
        f"2026-11-20 10:00:00 default: jobs.f() ({job})\n2026-11-20 10:00:01 default: Job OK ({job})\n"
        "2026-11-20 10:00:02 what?\n"
    )
    flags = ("run", "--once", "--format", "legacy", "--files", str(log))
    done = keys.run("shipper", *flags, **as_role(keys, own_server, "shipper"))
    assert "3 records indexed" in done.stderr, done.stderr
    name = keys.environment["SHIPPER_NAMESPACE"]
    own_search.indices.refresh(index=f"rq-*-{name}*")
    assert own_search.count(index=f"rq-job-{name}-2026.11.20")["count"] == 2
    assert own_search.count(index=f"rq-app-{name}-2026.11.20")["count"] == 1


def test_the_operator_s_key_installs_all_that_shipping_needs(keys: Programs, own_server: OwnElasticsearch) -> None:
    done = keys.run("shipper", "setup", **as_role(keys, own_server, "operator"))
    assert "ingest pipeline rq-legacy" in done.stdout


def test_the_operator_s_key_creates_the_indices_that_kibana_asks(
    keys: Programs, own_server: OwnElasticsearch, own_search: Elasticsearch
) -> None:
    with serving() as kibana:
        operator = as_role(keys, own_server, "operator")
        done = keys.run("shipper", "setup", "--kibana", kibana.url, **operator)
        assert (done.stdout.count("create empty index"), "warning" in done.stderr) == (6, False), done.stderr
    assert len(own_search.indices.get(index=f"rq-*-{keys.environment['SHIPPER_NAMESPACE']}*")) == 7


def test_a_key_of_one_namespace_is_of_no_use_in_one_whose_name_begins_so(
    keys: Programs, own_server: OwnElasticsearch, own_search: Elasticsearch
) -> None:
    other = f"rq-job-{keys.environment['SHIPPER_NAMESPACE']}-west-2026.11.20"
    own_search.index(index=other, document={"@timestamp": "2026-11-20T10:00:00Z"}, refresh=True)
    for role, call in (("reader", "search"), ("shipper", "create"), ("pruner", "get_settings"), ("eraser", "search")):
        with patient(f"http://{own_server.address}", api_key=key_of(keys, role)) as client:
            calls = {
                "search": lambda: client.search(index=other),
                "create": lambda: client.create(index=other, id="x", document={"@timestamp": "2026-11-20T10:00:00Z"}),
                "get_settings": lambda: client.indices.get_settings(index=other),
            }
            with pytest.raises(AuthorizationException):
                calls[call]()


def test_the_shipper_s_key_can_neither_read_change_nor_delete_a_record(
    keys: Programs, own_server: OwnElasticsearch, shipped: dict[str, Any]
) -> None:
    index, identifier = shipped["_index"], shipped["_id"]
    with patient(f"http://{own_server.address}", api_key=key_of(keys, "shipper")) as client:
        forbidden = [
            lambda: client.get(index=index, id=identifier),
            lambda: client.search(index=index),
            lambda: client.count(index=index),
            lambda: client.open_point_in_time(index=index, keep_alive="1m"),
            lambda: client.index(index=index, id=identifier, document={"event": {"action": "forged"}}),
            lambda: client.update(index=index, id=identifier, doc={"event": {"action": "forged"}}),
            lambda: client.delete(index=index, id=identifier),
            lambda: client.delete_by_query(index=index, query={"match_all": {}}),
            lambda: client.update_by_query(index=index),
            lambda: client.indices.delete(index=index),
            lambda: client.indices.close(index=index),
            lambda: client.indices.put_settings(index=index, settings={"index.blocks.write": True}),
            lambda: client.indices.delete_index_template(name="rq-audit"),
            lambda: client.create(index="other", id="1", document={}),
            lambda: client.get(index=f"rq-state-{keys.environment['SHIPPER_NAMESPACE']}", id="x"),
            lambda: client.security.create_api_key(name="more", role_descriptors={"all": {"cluster": ["all"]}}),
        ]
        for act in forbidden:
            with pytest.raises(AuthorizationException):
                act()
        answer = client.bulk(operations=[{"create": {"_index": index, "_id": identifier}}, {"x": 1}])
        assert answer["items"][0]["create"]["status"] == 409


def test_the_record_is_as_it_was_after_all_that(
    keys: Programs, own_server: OwnElasticsearch, shipped: dict[str, Any]
) -> None:
    assert (
        "2 records in 1 chains: all is as it was written"
        in keys.run("shipper", "audit", "verify", **as_role(keys, own_server, "reader")).stdout
    )


def test_who_may_not_read_gets_a_clear_word(
    keys: Programs, own_server: OwnElasticsearch, shipped: dict[str, Any]
) -> None:
    for command, status in ((["timeline"], 1), (["audit", "verify"], 3)):
        done = keys.run("shipper", *command, check=False, **as_role(keys, own_server, "shipper"))
        assert done.returncode == status
        assert "forbids this to the key in SHIPPER_API_KEY (403" in done.stderr
        assert "needs the key of the role `reader`" in done.stderr


def test_who_may_not_write_is_told_so_at_once(keys: Programs, own_server: OwnElasticsearch) -> None:
    keys.log.write_bytes(Path("tests/golden/job-finished.jsonl").read_bytes())
    done = keys.run(
        "shipper", "run", "--once", check=False, **as_role(keys, own_server, "reader"), SHIPPER_PAST_DAYS="9999"
    )
    assert done.returncode == 1
    assert "needs the key of the role `shipper`" in done.stderr


def test_the_reader_reads_and_changes_nothing(
    keys: Programs, own_server: OwnElasticsearch, shipped: dict[str, Any]
) -> None:
    reader = as_role(keys, own_server, "reader")
    assert "signed-in" in keys.run("shipper", "timeline", "--user", "ann", **reader).stdout
    refused = keys.run("shipper", "audit", "forget", "--user", "ann", "--yes", check=False, **reader)
    assert (refused.returncode, "403" in refused.stderr) == (1, True)
    with patient(f"http://{own_server.address}", api_key=key_of(keys, "reader")) as client:
        for act in (
            lambda: client.create(index=shipped["_index"], id="1", document={}),
            lambda: client.delete(index=shipped["_index"], id=shipped["_id"]),
        ):
            with pytest.raises(AuthorizationException):
                act()


def test_the_reader_s_key_is_enough_for_a_watch(
    keys: Programs, own_server: OwnElasticsearch, shipped: dict[str, Any], redis_url: str
) -> None:
    reader = as_role(keys, own_server, "reader")
    done = keys.run("shipper", "watch", "--once", SHIPPER_REDIS=redis_url, **reader)
    assert "forbids" not in done.stderr
    assert "redis-sampled" in keys.log.read_text()


def test_the_operator_installs_templates(keys: Programs, own_server: OwnElasticsearch) -> None:
    operator = as_role(keys, own_server, "operator")
    assert "keep" in keys.run("shipper", "setup", **operator).stdout
    refused = keys.run("shipper", "setup", "--roles", "--keys", str(keys.folder / "more"), check=False, **operator)
    assert (refused.returncode, "403" in refused.stderr) == (1, True)


def test_the_pruner_deletes_indices_and_reads_nothing(
    keys: Programs, own_server: OwnElasticsearch, own_search: Elasticsearch, shipped: dict[str, Any]
) -> None:
    name = keys.environment["SHIPPER_NAMESPACE"]
    old = f"rq-audit-{name}-2015.01"
    own_search.indices.create(index=old)
    with patient(f"http://{own_server.address}", api_key=key_of(keys, "pruner")) as client:
        with pytest.raises(AuthorizationException):
            client.search(index=shipped["_index"])
        with pytest.raises(AuthorizationException):
            client.delete(index=shipped["_index"], id=shipped["_id"])
    ended = {"state": "dead", "updated_at": "2015-01-01T00:00:00Z", "@timestamp": "2015-01-01T00:00:00Z"}
    own_search.index(index=f"rq-state-{name}", id="old", document=ended, refresh=True)
    said = keys.run("shipper", "prune", **as_role(keys, own_server, "pruner")).stdout
    assert f"deleted {old}" in said
    assert "deleted 1 states" in said
    assert own_search.indices.exists(index=shipped["_index"])


def test_the_eraser_erases_and_deletes_nothing(
    keys: Programs, own_server: OwnElasticsearch, shipped: dict[str, Any]
) -> None:
    eraser = as_role(keys, own_server, "eraser")
    said = keys.run("shipper", "audit", "forget", "--user", "ann", "--yes", **eraser).stdout
    assert ["rq.audit", "1"] in [line.split() for line in said.splitlines()]
    assert ["rq.job", "1"] in [line.split() for line in said.splitlines()]
    with patient(f"http://{own_server.address}", api_key=key_of(keys, "eraser")) as client:
        for act in (
            lambda: client.delete(index=shipped["_index"], id=shipped["_id"]),
            lambda: client.indices.delete(index=shipped["_index"]),
        ):
            with pytest.raises(AuthorizationException):
                act()
    reader = as_role(keys, own_server, "reader")
    undeclared = keys.run("shipper", "audit", "verify", check=False, **reader)
    assert (undeclared.returncode, "no record says who erased them" in undeclared.stdout) == (1, True)
    keys.run("shipper", "run", "--once", **as_role(keys, own_server, "shipper"))  # the record that says so
    verified = keys.run("shipper", "audit", "verify", **reader).stdout
    assert "erased: personal fields of 1 records are gone" in verified


def test_where_security_is_off_there_are_no_roles_to_make(programs: Programs) -> None:
    done = programs.run("shipper", "setup", "--roles", check=False)
    assert done.returncode == 1
    assert "security switched off" in done.stderr
