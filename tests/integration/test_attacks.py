"""Each attack on the audit trail that needs no API key is tried, and named by `verify` as docs/audit.md says."""

from __future__ import annotations

from pathlib import Path

import pytest
from elasticsearch import Elasticsearch

from shipper.client import connect
from shipper.index import setup
from shipper.settings import Settings
from tests.attacks import ATTACKS, ERASER, OPERATOR, PRUNER, READER, SHIPPER, Attack, World, run


@pytest.fixture
def world(search: Elasticsearch, made: Settings, environment: dict[str, str], tmp_path: Path) -> World:
    with connect(made) as cluster:
        setup.apply(cluster, setup.plan(cluster, made))
    return World(search, environment, tmp_path)


@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack.who not in (SHIPPER, OPERATOR, READER, ERASER, PRUNER)],
    ids=lambda attack: attack.act.__name__,
)
def test_each_attack_is_named(world: World, attack: Attack) -> None:
    run(attack, world)


def test_a_trail_that_nobody_attacked_is_all_good(world: World) -> None:
    world.write("one", "two")
    world.anchor()
    world.write("three")
    assert world.verify().conclusion == "3 records in 1 chains: all is as it was written."
