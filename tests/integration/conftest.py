"""A queue that is watched, a Redis behind a Sentinel, and settings without Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from rq import Queue

import shipper
from stack.redis import Redis, Sentinel
from tests.programs import Programs
from tests.recording import record_here


@pytest.fixture
def queue(connection: redis.Redis, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue of this process, which is instrumented and writes to this test's file."""
    shipper.instrument()
    record_here(programs, monkeypatch)
    return Queue("letters", connection=connection)


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Sentinel]:
    """A Sentinel that watches a Redis of its own."""
    folders = [tmp_path / "redis", tmp_path / "sentinel"]
    for folder in folders:
        folder.mkdir()
    master = Redis(folders[0])
    watching = Sentinel(folders[1], master)
    yield watching
    watching.stop()
    master.stop()


@pytest.fixture
def without_elasticsearch(tmp_path: Path, redis_url: str) -> dict[str, str]:
    """Settings of programs that do not need Elasticsearch."""
    return {
        "SHIPPER_LOG": str(tmp_path / "records.jsonl"),
        "SHIPPER_STATE": str(tmp_path / "state"),
        "SHIPPER_REDIS": redis_url,
        "SHIPPER_SERVICE": "tests",
    }
