"""What tests share: a real Redis and a real Elasticsearch, one of each for the whole run.

Servers named by REDIS_URL and ELASTICSEARCH_URL are used; otherwise they are started, as for the demo: a Redis by each
process, and one Elasticsearch by tests/everything.py for all of them. A server that cannot be had fails the tests that
need it: nothing is skipped.

A test has indices of its own (`namespace`), and leaves alone what all share: the templates, the pipeline, the server
itself. What must not leave them alone is in the files of OWN_SERVER, with a server that is theirs.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
from elasticsearch import Elasticsearch

from shipper import settings
from shipper.settings import Settings
from stack.elasticsearch import START_LIMIT_S
from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from stack.processes import wait_until
from stack.redis import Redis as OwnRedis

from . import warm
from .everything import SHARED_ELASTICSEARCH
from .programs import Programs, patient

# Examples take as long as they take: the machine may be busy. THOROUGH=1 tries ten times as many of them.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("thorough", hypothesis.settings.get_profile("patient"), max_examples=1000)
hypothesis.settings.load_profile("thorough" if os.environ.get("THOROUGH") else "patient")


# One process has all of these, so that there is one such server.
OWN_SERVER = {
    "tests/fault/test_elasticsearch_faults.py",
    "tests/integration/test_compose_keys.py",
    "tests/integration/test_doctor_servers.py",
    "tests/integration/test_index.py",
    "tests/integration/test_role_attacks.py",
    "tests/integration/test_roles.py",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Each file is one process's; those of OWN_SERVER count as one."""
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "own server" if file in OWN_SERVER else file

    return Scheduling(config, log)


# Marker → the fixtures that start a server. A test is marked if it uses one, directly or through other fixtures.
SERVERS = {
    "redis": {"redis_url", "own_redis", "sentinel", "cluster"},
    "elasticsearch": {"elasticsearch_url", "own_server", "kibana_url"},
}


@pytest.hookimpl(tryfirst=True)  # before pytest selects by -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests that need a server. Sort files with slow tests first, so that the longest do not begin last."""
    for item in items:
        used = set(getattr(item, "fixturenames", ()))
        for marker, fixtures in SERVERS.items():
            if used & fixtures:
                item.add_marker(marker)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> None:
    """Programs that tests start can be interrupted, even if this run was started in the background of a shell."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _warm_programs_end() -> Iterator[None]:
    yield
    warm.stop()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if url := os.environ.get("REDIS_URL"):
        yield url
        return
    server = OwnRedis(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def elasticsearch_url() -> Iterator[str]:
    if url := os.environ.get("ELASTICSEARCH_URL"):
        yield url
        return
    if shared := os.environ.get(SHARED_ELASTICSEARCH):
        file = Path(shared)
        wait_until(file.exists, START_LIMIT_S, "the Elasticsearch of all tests")
        yield file.read_text()
        return
    server = OwnElasticsearch()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def own_server() -> Iterator[OwnElasticsearch]:
    """A server with security on, for the files of OWN_SERVER, which may kill it and start it again."""
    server = OwnElasticsearch(secure=True)
    yield server
    server.stop()


@pytest.fixture
def own_search(own_server: OwnElasticsearch) -> Iterator[Elasticsearch]:
    with patient(own_server.url) as client:
        yield client


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    """A Redis that holds nothing."""
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushdb()
        yield connection


@pytest.fixture
def search(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with patient(elasticsearch_url) as client:
        yield client


@contextmanager
def indices_of_their_own(search: Elasticsearch) -> Iterator[str]:
    """A namespace that nobody else has. Its indices are deleted in the end."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    if there := search.indices.get(index=f"rq-*-{name}*", allow_no_indices=True, features="aliases"):
        search.indices.delete(index=",".join(there))


@pytest.fixture
def namespace(search: Elasticsearch) -> Iterator[str]:
    """Index names of this test alone."""
    with indices_of_their_own(search) as name:
        yield name


@pytest.fixture
def environment(tmp_path: Path, namespace: str, redis_url: str, elasticsearch_url: str) -> dict[str, str]:
    """The settings of every program that a test starts."""
    return {
        "SHIPPER_LOG": str(tmp_path / "records.jsonl"),
        "SHIPPER_STATE": str(tmp_path / "state"),
        "SHIPPER_ELASTICSEARCH": elasticsearch_url,
        "SHIPPER_REDIS": redis_url,
        "SHIPPER_SERVICE": "tests",
        "SHIPPER_NAMESPACE": namespace,
        "SHIPPER_LISTEN": "off",
    }


@pytest.fixture
def made(environment: dict[str, str]) -> Settings:
    """The same as an object."""
    return settings.load(environment=environment)


@pytest.fixture
def programs(environment: dict[str, str], tmp_path: Path) -> Iterator[Programs]:
    """Starts real programs with those settings, and ends them with the test."""
    started = Programs(environment, tmp_path)
    yield started
    started.stop()
