"""The Redis server: its memory and clients, and what its memory is used for, by a sample of its keys."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import NoPermissionError, ResponseError

from ..job_fields import text
from . import functions, keys
from .connection import address, nodes

SECTIONS = ("server", "clients", "memory", "stats", "cpu", "errorstats", "commandstats", "replication")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSample:
    """One Redis server. In a cluster there is one for each primary.

    `address`, `database`: where this process connects to. `run_id` identifies the server's process, whatever its
    address. `maxmemory_bytes`: 0 is no limit. `rejected_commands`: since its start, refused before they ran: for a lack
    of memory, of rights, or for wrong arguments. `rejected_oom`: those for a lack of memory (Redis 6.2).
    `clock_offset_s`: how far its clock is, at least, ahead of this host's (`ahead_s`).
    """

    address: str
    database: int
    run_id: str
    version: str
    used_bytes: int
    peak_bytes: int
    maxmemory_bytes: int
    policy: str
    fragmentation: float | None
    evicted_keys: int
    expired_keys: int
    rejected_commands: int
    rejected_oom: int
    rejected_connections: int
    clients: int
    blocked_clients: int
    max_clients: int | None
    commands: int
    cpu_s: float
    uptime_s: int
    keys: int
    role: str
    clock_offset_s: float

    @property
    def used_share(self) -> float | None:
        """Used memory as a share of its limit, 0 to 1 or a little more; None without a limit."""
        return self.used_bytes / self.maxmemory_bytes if self.maxmemory_bytes else None


def read(connection: Any) -> list[ServerSample]:
    """The server, or each primary of the cluster. Three round trips for each. Raises redis.RedisError.

    None that an access control list forbids to ask: INFO is among the commands that Redis calls dangerous.
    """
    samples = []
    for node in nodes(connection):
        with suppress(NoPermissionError):
            samples.append(_server(node))
    return samples


def _server(node: Any) -> ServerSample:
    facts = _info(node)
    asked_at = time.time()
    seconds, micros = node.time()
    answered_at = time.time()
    where, database = address(node)
    errors = {name.removeprefix("errorstat_"): value for name, value in facts.items() if name.startswith("errorstat_")}
    commands = [value for name, value in facts.items() if name.startswith("cmdstat_") and isinstance(value, Mapping)]
    return ServerSample(
        address=where,
        database=database,
        run_id=str(facts.get("run_id", "")),
        version=str(facts.get("redis_version", "")),
        used_bytes=int(facts.get("used_memory", 0)),
        peak_bytes=int(facts.get("used_memory_peak", 0)),
        maxmemory_bytes=int(facts.get("maxmemory", 0)),
        policy=str(facts.get("maxmemory_policy", "")),
        fragmentation=_float(facts.get("mem_fragmentation_ratio")),
        evicted_keys=int(facts.get("evicted_keys", 0)),
        expired_keys=int(facts.get("expired_keys", 0)),
        rejected_commands=sum(int(command.get("rejected_calls", 0)) for command in commands),
        rejected_oom=_count(errors.get("OOM")),
        rejected_connections=int(facts.get("rejected_connections", 0)),
        clients=int(facts.get("connected_clients", 0)),
        blocked_clients=int(facts.get("blocked_clients", 0)),
        max_clients=int(facts["maxclients"]) if "maxclients" in facts else None,
        commands=int(facts.get("total_commands_processed", 0)),
        cpu_s=float(facts.get("used_cpu_user", 0)) + float(facts.get("used_cpu_sys", 0)),
        uptime_s=int(facts.get("uptime_in_seconds", 0)),
        keys=int(node.dbsize()),
        role=str(facts.get("role", "")),
        clock_offset_s=ahead_s(seconds + micros / 1e6, asked_at, answered_at),
    )


def ahead_s(theirs: float, asked_at: float, answered_at: float) -> float:
    """Seconds that a clock is, at least, ahead of ours; negative if it is behind, 0 if it may be right.

    It was asked and answered at these times of ours, and told its own at some moment between: an answer that takes five
    seconds on a busy machine is no clock that is off.
    """
    return theirs - answered_at if theirs > answered_at else min(0.0, theirs - asked_at)


def _info(node: Any) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = node.info(*SECTIONS)  # several sections at once: Redis 7
    except NoPermissionError:
        raise
    except ResponseError:
        facts = node.info("all")
    return facts


def _count(stat: object) -> int:
    """The number in `count=3`, which redis-py gives as {"count": 3}."""
    return int(stat.get("count", 0)) if isinstance(stat, Mapping) else 0


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


# --- what the memory is used for --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySample:
    """Random keys, and the bytes of each. Weighted by `population` / `taken` it is an estimate for all keys.

    `by_kind`: kind of key → bytes in the sample. `jobs_by_function`: function → (jobs, bytes, largest payload).
    """

    taken: int = 0
    population: int = 0
    by_kind: Mapping[str, int] = field(default_factory=dict)
    jobs_by_function: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)

    def __add__(self, other: KeySample) -> KeySample:
        """Both samples as one. The population is that of `other`, the later one."""
        jobs = dict(self.jobs_by_function)
        for name, (count, size, largest) in other.jobs_by_function.items():
            before = jobs.get(name, (0, 0, 0))
            jobs[name] = (before[0] + count, before[1] + size, max(before[2], largest))
        return KeySample(
            taken=self.taken + other.taken,
            population=other.population,
            by_kind=dict(Counter(self.by_kind) + Counter(other.by_kind)),
            jobs_by_function=jobs,
        )

    def estimate(self, size: int) -> int:
        """The bytes of all keys that `size` bytes in the sample stand for."""
        return round(size * self.population / self.taken) if self.taken else 0


KEYS = 200  # random keys of one sample
UNKNOWN = "unknown"


def sample_keys(connection: Any, size: int = KEYS) -> KeySample:
    """Look at `size` random keys of the database: kind, bytes, and of jobs the function. Five round trips.

    Reads names, sizes and, of jobs, what functions.of reads. An empty sample if Redis has no MEMORY command (before
    4.0), or an access control list forbids it. Raises redis.RedisError.
    """
    total = KeySample()
    for node in nodes(connection):
        try:
            total = _sum(total, _sample_of(node, size))
        except ResponseError:
            continue
    return total


def _sum(one: KeySample, other: KeySample) -> KeySample:
    """Samples of two nodes, each of its own keys."""
    both = one + other
    return KeySample(
        taken=both.taken,
        population=one.population + other.population,
        by_kind=both.by_kind,
        jobs_by_function=both.jobs_by_function,
    )


def _sample_of(node: Any, size: int) -> KeySample:
    population = int(node.dbsize())
    if not population:
        return KeySample()
    if population <= size:
        names = list(dict.fromkeys(node.scan_iter(count=2 * size)))
    else:
        names = [raw for raw in keys.ask(node, [("randomkey",)] * size) if raw is not None]
    sizes = keys.ask(node, (("memory_usage", raw, _elements(kind_of(text(raw)))) for raw in names))
    by_kind: Counter[str] = Counter()
    jobs: list[tuple[str, int]] = []
    for raw, used in zip(names, sizes, strict=True):
        name = text(raw)
        kind = kind_of(name)
        by_kind[kind] += used or 0
        if kind == "job":
            jobs.append((name.removeprefix(keys.JOB_PREFIX), used or 0))
    return KeySample(
        taken=len(names), population=population, by_kind=dict(by_kind), jobs_by_function=_by_function(node, jobs)
    )


def _elements(kind: str) -> int | None:
    """How many elements of a key MEMORY USAGE looks at; 0 is all. None is its default: the first five.

    A job has some twenty fields, of which one has the payload. Lists and sets may have millions, all of one size.
    """
    return 0 if kind in ("job", "worker", "execution", "cron") else None


def _by_function(node: Any, jobs: Sequence[tuple[str, int]]) -> dict[str, tuple[int, int, int]]:
    job_ids = [job_id for job_id, _ in jobs]
    named = functions.of(node, job_ids)
    payloads = keys.ask(node, (("hstrlen", keys.job(job_id), "data") for job_id in job_ids))
    found: dict[str, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    for (job_id, used), payload in zip(jobs, payloads, strict=True):
        name = named.get(job_id, UNKNOWN)
        count, size, largest = found[name]
        found[name] = (count + 1, size + used, max(largest, payload))
    return dict(found)


# The first that a key begins with. What follows RQ's prefix, and what it is called here.
_KINDS = (
    ("job:", "job"),
    ("queue:", "queue"),
    ("queues", "queue"),
    ("results:", "result"),
    ("worker", "worker"),
    ("execution", "execution"),
    *((f"{name}:", "registry") for name in ("wip", "finished", "failed", "deferred", "scheduled", "canceled", "ready")),
    ("registry:", "registry"),
    ("rl", "rate_limit"),
    ("cron", "cron"),
    ("scheduler", "scheduler"),
    ("group", "group"),
)


def kind_of(key: str) -> str:
    """What a key is to RQ: job, dependents, queue, registry, result, worker, execution, rate_limit, cron, … or other.

    `other_rq` is a key with RQ's prefix that is none of these, `shipper` one of ours, `other` anything else.
    """
    if not key.startswith(keys.PREFIX):
        return "shipper" if key.startswith("shipper:") else "other"
    rest = key.removeprefix(keys.PREFIX)
    if rest.startswith("job:") and rest.endswith((":dependents", ":dependencies")):
        return "dependents"
    for start, kind in _KINDS:
        if rest.startswith(start):
            return kind
    return "shipper" if rest.startswith("shipper:") else "other_rq"
