"""Per-worker execution state, and the claim that makes exactly one process write each closing record.

The work-horse usually writes it. Its parent does if the work-horse was killed or exited before. Both share one byte of
memory per execution: the process that sets it first writes the record. A SpawnWorker's child does not inherit that
memory, so there the parent relies on the job's status in Redis.
"""

from __future__ import annotations

import itertools
import mmap
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rq.worker import SpawnWorker

if TYPE_CHECKING:
    from .events import ExitStatus
    from .snapshot import JobSnapshot

# RQ's lease on a running job is at most 90 s and renewed every 30 s. No execution can be declared abandoned earlier.
LEASE_S = 60.0

# RQ's registry may still list an execution whose ending is recorded. The note in Redis has to outlive that.
REMEMBER_S = 7 * 86_400

_SLOTS = 4096  # concurrent executions of one worker; one page of memory
_MAX_EXECUTIONS = 1000  # bounds the memory of a worker whose executions end without our wrappers being called


class EndingClaim:
    """One shared byte: has this execution's closing record been written?"""

    __slots__ = ("_at", "_memory")

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory, self._at = memory, at
        memory[at] = 0

    @property
    def taken(self) -> bool:
        return self._memory[self._at] == 1

    def acquire(self) -> bool:
        """True if the caller has to write the record, False if another process has claimed it."""
        if self._memory[self._at]:
            return False
        self._memory[self._at] = 1
        return True


@dataclass(slots=True)
class ExecutionState:
    """What this process knows of one execution.

    `execution_id`: RQ's id, None until RQ has created it.
    `shared`: the work-horse inherits the claim.
    `begun`: `time.monotonic()` at the start.
    `started`: the job at its start, in the process that runs it.
    `exit_status`: set once the work-horse has exited.
    `overdue`: RQ killed the work-horse itself, long past the job's timeout.
    """

    job_id: str
    execution_id: str | None
    claim: EndingClaim
    shared: bool
    begun: float = field(default_factory=time.monotonic)
    started: JobSnapshot | None = None
    horse_pid: int = 0
    exit_status: ExitStatus | None = None
    overdue: bool = False

    def may_have_lost_its_lease(self) -> bool:
        """Whether it ran so long that `lost_its_lease` is worth a request to Redis."""
        return time.monotonic() - self.begun >= LEASE_S and self.execution_id is not None

    def lost_its_lease(self, job: Any) -> bool:
        """Whether RQ has declared this execution abandoned and removed it from StartedJobRegistry. Asks Redis."""
        member = f"{self.job_id}:{self.execution_id}"
        return job.connection.zscore(job.started_job_registry.key, member) is None


class WorkerState:
    """Our state of one RQ worker, kept on the worker object.

    `latest`: the execution that began last, None after its end.
    `stopped_job_id`: the job this worker was told to stop; RQ may clear its own copy earlier.
    `executing`: ids of the jobs that are inside `execute_job`.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOTS)
        self._slots = itertools.count()
        self._executions: dict[str, ExecutionState] = {}
        self.latest: ExecutionState | None = None
        self.stopped_job_id: str | None = None
        self.executing: set[str] = set()

    def begin(self, job_id: str, execution_id: str | None, *, shared: bool) -> ExecutionState:
        """Start a new execution. A worker that forks has to call this before the fork."""
        claim = EndingClaim(self._memory, next(self._slots) % _SLOTS)
        self.latest = self._executions[job_id] = ExecutionState(job_id, execution_id, claim, shared)
        if self.stopped_job_id == job_id:
            self.stopped_job_id = None
        while len(self._executions) > _MAX_EXECUTIONS:
            self._executions.pop(next(iter(self._executions)), None)
        return self.latest

    def of(self, job_id: str) -> ExecutionState | None:
        """The running execution of a job in this worker, or None."""
        return self._executions.get(job_id)

    def end(self, job_id: str) -> None:
        """Forget the job's execution. Does not write a record."""
        ended = self._executions.pop(job_id, None)
        if self.latest is ended:
            self.latest = None


def of_worker(worker: Any) -> WorkerState:
    """The state of a worker, created on first use."""
    state = worker.__dict__.get("_shipper")
    if state is None:
        state = worker.__dict__["_shipper"] = WorkerState()
    return state  # type: ignore[no-any-return]


def is_shared(worker: Any) -> bool:
    """Whether the worker's work-horses inherit its memory."""
    return not isinstance(worker, SpawnWorker)


def remember(connection: Any, execution_id: str) -> None:
    """Note in Redis that this execution's closing record was written, though RQ still lists it as started."""
    connection.set(_key(execution_id), 1, ex=REMEMBER_S)


def is_remembered(connection: Any, execution_id: str) -> bool:
    """Whether `remember` was called for this execution within REMEMBER_S."""
    return bool(connection.exists(_key(execution_id)))


def _key(execution_id: str) -> str:
    return f"shipper:told:{execution_id}"
