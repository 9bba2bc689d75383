"""What tests share: a real Redis and a real Elasticsearch, one of each for the whole run.

Servers named by REDIS_URL and ELASTICSEARCH_URL are used; otherwise they are started, as for the demo. A
server that cannot be had fails the tests that need it: nothing is skipped.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis
from elasticsearch import Elasticsearch

from shipper import settings
from shipper.settings import Settings
from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from stack.redis import Redis as OwnRedis

from . import warm
from .programs import Programs

# Examples take as long as they take: the machine may be busy.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: what begins last should not be what takes longest."""
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
    server = OwnElasticsearch()
    yield server.url
    server.stop()


@pytest.fixture(scope="module")
def with_security() -> bool:
    """Whether `own_server` has security on. A module may say otherwise."""
    return False


@pytest.fixture(scope="module")
def own_server(with_security: bool) -> Iterator[OwnElasticsearch]:
    """A server of a module's own, which its tests may kill."""
    server = OwnElasticsearch(secure=with_security)
    yield server
    server.stop()


@pytest.fixture
def own_search(own_server: OwnElasticsearch) -> Iterator[Elasticsearch]:
    with Elasticsearch(own_server.url) as client:
        yield client


@pytest.fixture
def connection(redis_url: str) -> Iterator[redis.Redis]:
    """A Redis that holds nothing."""
    with redis.Redis.from_url(redis_url) as connection:
        connection.flushdb()
        yield connection


@pytest.fixture
def search(elasticsearch_url: str) -> Iterator[Elasticsearch]:
    with Elasticsearch(elasticsearch_url) as client:
        yield client


@pytest.fixture
def namespace(search: Elasticsearch) -> Iterator[str]:
    """Index names of this test alone, deleted at its end."""
    name = f"t{uuid.uuid4().hex[:12]}"
    yield name
    there = search.indices.get(index=f"rq-*-{name}-*", allow_no_indices=True)
    for index in there:
        search.indices.delete(index=index)


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
