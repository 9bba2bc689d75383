"""compose.production.yml: three nodes, TLS everywhere, no demonstration."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from ssl import create_default_context

import pytest

from stack.engine import Engine
from tests.engine.conftest import ports
from tests.engine.project import Project, wait_for


@pytest.fixture(scope="module")
def production(engine: Engine, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project.run("stop")  # its memory is needed
    files = ("docker-compose.yml", "compose.production.yml")
    small = {"ELASTICSEARCH_HEAP": "512m", "ELASTICSEARCH_MEMORY": "1200m", "ELASTICSEARCH_MMAP": "false"}
    made = Project(engine, tmp_path_factory.mktemp("three") / "rqshipperproduction", ports() | small, *files)
    made.profiles = []
    made.run("down", "--volumes", "--remove-orphans")
    try:
        yield made
    finally:
        made.run("down", "--volumes", "--remove-orphans", check=False)


def test_three_nodes_form_a_cluster(production: Project) -> None:
    production.up()
    services = {one["Config"]["Labels"]["com.docker.compose.service"] for one in production.containers()}
    assert not services & {"app", "load", "worker", "logstash"}
    with production.search() as client:
        health = client.cluster.health(wait_for_status="green", timeout="120s")
        assert (health["number_of_nodes"], health["status"]) == (3, "green")


def test_records_survive_the_loss_of_a_node(production: Project) -> None:
    production.tell("shipper", "audit", "record", "signed-in", "--actor", "ann")
    production.wait_until_all_is_indexed()
    production.kill("elasticsearch-2")
    production.tell("shipper", "audit", "record", "signed-out", "--actor", "ann")
    production.wait_until_all_is_indexed()
    production.wait_until_healthy()
    said = production.tell("shipper", "timeline", "--user", "ann", "--json")
    assert [json.loads(line)["event"]["action"] for line in said.splitlines()] == ["signed-in", "signed-out"]


def test_kibana_answers_with_a_certificate_of_the_authority(production: Project) -> None:
    production.search().close()  # writes the authority's certificate
    context = create_default_context(cafile=str(production.folder / "ca.crt"))
    address = production.run("port", "kibana", "5601").stdout.strip()
    with urllib.request.urlopen(f"https://{address}/api/status", context=context) as answer:
        assert answer.status == 200
    wait_for(lambda: f"open   https://{address}/app" in production.run("logs", "dashboards").stdout, "the address")
