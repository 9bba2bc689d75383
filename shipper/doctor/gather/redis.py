"""RQ's Redis: its servers, their clocks, and who works there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.exceptions import NoPermissionError

from ...live import server, workers
from ...live.connection import address, nodes
from ...live.workers import WorkerSample
from ..subjects.redis import RedisFacts


def redis_facts(connection: Any) -> RedisFacts:
    """The servers. Raises redis.RedisError."""
    servers = server.read(connection)
    return RedisFacts(servers=servers, persistence=_persistence(connection), may_not_ask=not servers)


def clocks(facts: RedisFacts) -> dict[str, float]:
    """Whose clock → seconds that it is ahead of ours."""
    return {f"Redis at {one.address}": one.clock_offset_s for one in facts.servers}


def live_workers(connection: Any) -> list[WorkerSample]:
    """The workers that live. Raises redis.RedisError."""
    return [one for one in workers.read(connection) if one.is_live]


def _persistence(connection: Any) -> dict[str, Mapping[str, object]]:
    found = {}
    for node in nodes(connection):
        try:
            found[address(node)[0]] = node.info("persistence")
        except NoPermissionError:
            continue
    return found
