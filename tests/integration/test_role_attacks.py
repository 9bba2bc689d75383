"""Each attack on the audit trail with the API key of a role is tried, and named by `verify` as docs/audit.md says."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from shipper import settings
from shipper.client import connect, connect_reader
from shipper.index import roles, setup
from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from tests.attacks import ATTACKS, ERASER, OPERATOR, PRUNER, READER, SHIPPER, Attack, World, run
from tests.programs import patient

pytestmark = pytest.mark.slow

ROLES = {SHIPPER: "shipper", OPERATOR: "operator", READER: "reader", ERASER: "eraser", PRUNER: "pruner"}


@pytest.fixture
def environment(own_server: OwnElasticsearch, tmp_path: Path) -> dict[str, str]:
    return {
        "SHIPPER_LOG": str(tmp_path / "records.jsonl"),
        "SHIPPER_STATE": str(tmp_path / "state"),
        "SHIPPER_ELASTICSEARCH": own_server.url,
        "SHIPPER_NAMESPACE": f"t{uuid.uuid4().hex[:12]}",
    }


@pytest.fixture
def world(own_search: Elasticsearch, environment: dict[str, str], tmp_path: Path) -> World:
    made = settings.load(environment=environment)
    with connect(made) as cluster:
        setup.apply(cluster, setup.plan(cluster, made))
    with connect_reader(made) as client:
        roles.apply(client, made, tmp_path / "keys")
    return World(own_search, environment, tmp_path)


def key_of(world: World, role: str) -> str:
    name = f"rq-{role}-{world.environment['SHIPPER_NAMESPACE']}.key"
    return (world.folder / "keys" / name).read_text(encoding="ascii").strip()


@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack.who in ROLES],
    ids=lambda attack: f"{ROLES[attack.who]}-{attack.act.__name__}",
)
def test_each_attack_with_an_api_key_is_named(world: World, own_server: OwnElasticsearch, attack: Attack) -> None:
    with patient(f"http://{own_server.address}", api_key=key_of(world, ROLES[attack.who])) as client:
        world.role = client
        run(attack, world)


def test_verify_needs_no_key_that_may_write_and_sees_what_was_just_indexed(
    world: World, own_server: OwnElasticsearch
) -> None:
    world.write("one", "two")
    with patient(f"http://{own_server.address}", api_key=key_of(world, "reader")) as reader:
        assert World(reader, world.environment, world.folder).verify().conclusion.endswith("all is as it was written.")
        late = world.hits()[1]
        world.search.delete(index=late["_index"], id=late["_id"])
        world.search.create(index=late["_index"], id=late["_id"], document=late["_source"])  # not searchable yet
        assert World(reader, world.environment, world.folder).verify().records == 2


def test_who_may_not_refresh_is_told_up_to_where_it_is_sure(world: World, own_server: OwnElasticsearch) -> None:
    world.write("one")
    name = world.environment["SHIPPER_NAMESPACE"]
    old = {
        "cluster": ["monitor"],
        "indices": [{"names": [f"rq-*-{name}*"], "privileges": ["read", "view_index_metadata"]}],
    }
    key = world.search.security.create_api_key(name="old reader", role_descriptors={"old": old})["encoded"]
    with patient(f"http://{own_server.address}", api_key=key) as reader:
        report = World(reader, world.environment, world.folder).verify()
    assert (report.findings, report.exit_status) == ([], 0)
    assert "may be missing: this API key may not refresh" in report.conclusion


def test_setup_names_an_index_that_is_not_as_the_templates_make_it(world: World) -> None:
    from shipper.index import conformity

    world.write("one")
    world.search.indices.put_mapping(index=world.index, dynamic="strict")
    with connect(world.settings) as cluster:
        (found,) = conformity.deviations_by(cluster, world.settings)
    assert str(found) == f"{world.index}: dynamic is 'strict', not False"
