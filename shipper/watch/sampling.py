"""Samples of Redis at regular times, with what only several of them show: flows, growth, a larger sample of keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..live import cron, flow, queues, server, workers
from ..live.cron import CronSample
from ..live.flow import Flow
from ..live.queues import QueueSample
from ..live.server import KeySample, ServerSample
from ..live.workers import WorkerSample
from ..records import EPOCH

WINDOW = 20  # samples over which keys are collected, and memory's growth is measured: 5 minutes with one each 15 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What Redis said at one time. `at` is a multiple of the interval: watchers sample at the same times.

    `read_at`: when Redis was really asked, by this host's clock. `servers_before`: of the sample before.
    `elapsed_s`: since the sample before; None for the first one, which has no flows.
    `flows`: queue → jobs that came and left since. `growth`: server's run id → bytes per second over WINDOW samples.
    `keys`: random keys of WINDOW samples.
    """

    at: datetime
    queues: tuple[QueueSample, ...] = ()
    workers: tuple[WorkerSample, ...] = ()
    servers: tuple[ServerSample, ...] = ()
    crons: tuple[CronSample, ...] = ()
    is_suspended: bool = False
    keys: KeySample = field(default_factory=KeySample)
    elapsed_s: float | None = None
    servers_before: tuple[ServerSample, ...] = ()
    read_at: datetime = EPOCH
    flows: Mapping[str, Flow] = field(default_factory=dict)
    growth: Mapping[str, float] = field(default_factory=dict)

    @property
    def redis_id(self) -> str:
        """Identifies the Redis, whatever address it was reached by."""
        return min((one.run_id for one in self.servers), default="")

    def workers_of(self, queue: str) -> list[WorkerSample]:
        return [one for one in self.workers if queue in one.queues]


def slot(now: float, every_s: float) -> datetime:
    """The time of the sample that is due: `now`, rounded down to a multiple of the interval."""
    return datetime.fromtimestamp(now // every_s * every_s, UTC)


class Sampler:
    """Takes snapshots. Keeps what the next one is compared with. Not thread-safe."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._before: Snapshot | None = None
        self._marks: flow.Marks = {}
        self._keys: deque[KeySample] = deque(maxlen=WINDOW)
        self._memory: dict[str, deque[tuple[datetime, int]]] = {}

    def take(self, at: datetime, only: Sequence[str] | None = None) -> Snapshot:
        """Sample all queues, or `only` these, and all else.

        Raises redis.RedisError; the next snapshot is then compared with the last complete one.
        """
        connection, before = self._connection, self._before
        read_at = datetime.now(UTC)
        found_workers = tuple(workers.read(connection))
        found_queues = tuple(queues.read(connection, only, at.timestamp()))
        marks, behind = flow.read(connection, found_queues, self._marks)
        servers = tuple(server.read(connection))
        sample = server.sample_keys(connection)
        crons = tuple(cron.read(connection))
        suspended = queues.is_suspended(connection)
        self._marks = marks
        self._keys.append(sample)
        elapsed = (at - before.at).total_seconds() if before and before.at < at else None
        flows = {}
        if before and elapsed:
            depths = {one.name: one.depth for one in before.queues}
            taken = flow.processed(before.workers, found_workers)
            flows = {
                one.name: flow.infer(depths.get(one.name, 0), one.depth, behind.get(one.name), taken.get(one.name, 0))
                for one in found_queues
            }
        self._before = Snapshot(
            at=at,
            queues=found_queues,
            workers=found_workers,
            servers=servers,
            crons=crons,
            is_suspended=suspended,
            keys=sample if sample.taken >= sample.population else sum(self._keys, KeySample()),
            servers_before=before.servers if before else (),
            read_at=read_at,
            elapsed_s=elapsed,
            flows=flows,
            growth={one.run_id: self._growth(at, one) for one in servers},
        )
        return self._before

    def _growth(self, at: datetime, one: ServerSample) -> float:
        """Bytes per second, from the oldest sample in the window to this one."""
        history = self._memory.setdefault(one.run_id, deque(maxlen=WINDOW))
        history.append((at, one.used_bytes))
        then, used = history[0]
        elapsed = (at - then).total_seconds()
        return (one.used_bytes - used) / elapsed if elapsed > 0 else 0.0
