"""RQ's Redis: does it lose jobs, or will it soon refuse them?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...live.server import ServerSample
from ..finding import Finding, error, note, warning

SUBJECT = "Redis"
OLDEST = (5, 0)  # RQ's own (https://python-rq.org/docs/)
ALL_COUNTED = (6, 2)  # counts commands that were refused for lack of memory
NEARLY_FULL, FULL = 0.8, 0.95
KEEPS_ALL = "noeviction"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisFacts:
    """`persistence`: address → INFO persistence. `may_not_ask`: an access control list forbids INFO."""

    servers: Sequence[ServerSample] = ()
    persistence: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    may_not_ask: bool = False


def findings(facts: RedisFacts) -> Iterator[Finding]:
    """What is wrong with each server."""
    if facts.may_not_ask:
        yield note(
            SUBJECT,
            "This account may not ask Redis for INFO: memory, policy and version were not checked.",
            "`ACL SETUSER NAME +info +time` allows it.",
        )
    for server in facts.servers:
        yield from _of_its_kind(server)
        yield from _of_its_memory(server)
        yield from _of_its_disk(server, facts.persistence.get(server.address, {}))


def _of_its_kind(server: ServerSample) -> Iterator[Finding]:
    version = tuple(int(part) for part in re.findall(r"\d+", server.version)[:2])
    if version and version < OLDEST:
        yield error(SUBJECT, f"Redis at {server.address} is {server.version}.", "RQ needs 5.0 or newer: upgrade it.")
    elif version and version < ALL_COUNTED:
        yield note(
            SUBJECT,
            f"Redis at {server.address} is {server.version}, which does not count the commands that it refused for "
            "lack of memory.",
            "From 6.2 on `shipper watch` sees them.",
        )
    if server.role not in ("master", ""):
        yield error(
            SUBJECT,
            f"Redis at {server.address} is a {server.role}: it refuses writes, or they are lost.",
            "Set SHIPPER_REDIS to the primary, or to the Sentinels: redis-sentinel://host:26379/mymaster/0.",
        )
    if server.max_clients and server.clients >= NEARLY_FULL * server.max_clients:
        yield warning(
            SUBJECT,
            f"Redis at {server.address} has {server.clients} clients, of {server.max_clients} at most.",
            "Raise `maxclients`, and look for processes that open a connection for each request.",
        )


def _of_its_memory(server: ServerSample) -> Iterator[Finding]:
    if server.policy.startswith("allkeys"):
        yield error(
            SUBJECT,
            f"Redis at {server.address} deletes any key when it is full (maxmemory-policy {server.policy}): jobs "
            "vanish without an ending.",
            f"`redis-cli CONFIG SET maxmemory-policy {KEEPS_ALL}`, and the same in redis.conf.",
        )
    elif server.policy and server.policy != KEEPS_ALL:
        yield warning(
            SUBJECT,
            f"Redis at {server.address} deletes keys that expire when it is full (maxmemory-policy {server.policy}): "
            "workers, results and the locks of critical sections are such keys.",
            f"`redis-cli CONFIG SET maxmemory-policy {KEEPS_ALL}`, and the same in redis.conf.",
        )
    if server.evicted_keys:
        yield error(
            SUBJECT,
            f"Redis at {server.address} has deleted {server.evicted_keys} keys since its start as it was full.",
            "Jobs may be among them. Raise `maxmemory`; `shipper now redis` shows what uses it.",
        )
    if server.rejected_oom:
        yield error(
            SUBJECT,
            f"Redis at {server.address} has refused {server.rejected_oom} commands since its start as it was full.",
            "Raise `maxmemory`; `shipper now redis` shows what uses it.",
        )
    share = server.used_share
    if share is None:
        yield note(
            SUBJECT,
            f"Redis at {server.address} has no memory limit: a queue that grows ends with the machine's memory.",
            "Set `maxmemory`; then `shipper watch` tells before it is reached.",
        )
    elif share >= NEARLY_FULL:
        make = error if share >= FULL else warning
        yield make(
            SUBJECT,
            f"Redis at {server.address} uses {share:.0%} of its memory limit.",
            "`shipper now redis` shows what uses it. Then Redis refuses new jobs.",
        )


def _of_its_disk(server: ServerSample, persistence: Mapping[str, object]) -> Iterator[Finding]:
    for key in ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"):
        if persistence.get(key, "ok") != "ok":
            yield error(
                SUBJECT,
                f"Redis at {server.address} could not write to its disk ({key}: {persistence[key]}).",
                "Is its disk full? By default Redis then refuses writes, and a restart loses jobs.",
            )
