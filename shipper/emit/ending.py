"""Per-worker execution state, and the claim that makes exactly one process write each closing record.

The work-horse usually writes it. Its parent does if the work-horse was killed or exited before. Both share one byte of
memory per execution. A process claims the record there before it writes it, with how the execution ended, and marks it
as written afterwards. If a work-horse exits after its claim and before that mark, its parent writes the record. The
record's id follows from job and execution: if the work-horse was killed between the write and the mark, the two
records become one document.

A SpawnWorker's child does not inherit that memory, so there the parent relies on the job's status in Redis and on the
child's exit status.
"""

from __future__ import annotations

import itertools
import mmap
import time
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from rq.worker import SpawnWorker

from ..job_fields import own_key

if TYPE_CHECKING:
    from .events import ExitStatus
    from .snapshot import JobSnapshot

# RQ's lease on a running job is at most 90 s and renewed every 30 s. No execution can be declared abandoned earlier.
LEASE_S = 60.0

# RQ's registry may still list an execution whose ending is recorded. The note in Redis has to outlive that.
REMEMBER_S = 7 * 86_400

_SLOTS = 4096  # concurrent executions of one worker; one page of memory
_MAX_EXECUTIONS = 1000  # bounds the memory of a worker whose executions end without our wrappers being called


class Claim(IntEnum):
    """The value of the shared byte. RETURNED and RAISED: a process is writing the record of such an ending."""

    FREE = 0
    RETURNED = 1
    RAISED = 2  # or killed, stopped, abandoned: any ending but success
    WRITTEN = 3


_FREE, _WRITTEN = int(Claim.FREE), int(Claim.WRITTEN)


class EndingClaim:
    """The shared byte of one execution: whether its closing record is claimed or written."""

    __slots__ = ("_at", "_memory")

    def __init__(self, memory: mmap.mmap, at: int) -> None:
        self._memory, self._at = memory, at
        memory[at] = _FREE

    @property
    def state(self) -> Claim:
        return Claim(self._memory[self._at])

    @property
    def is_written(self) -> bool:
        return self._memory[self._at] == _WRITTEN

    def acquire(self, ending: Claim, *, take_over: bool = False) -> bool:
        """True if the caller has to write the record, and then `mark_written`. False if another process does or did.

        `take_over`: any process that may hold the claim has exited, so only a written record counts.
        """
        state = self._memory[self._at]
        if state != _FREE and (state == _WRITTEN or not take_over):
            return False
        self._memory[self._at] = ending
        return True

    def mark_written(self) -> None:
        """The record is written, or could not be written to the file: no other process tries again."""
        self._memory[self._at] = _WRITTEN


@dataclass(slots=True)
class ExecutionState:
    """What this process knows of one execution.

    `execution_id`: RQ's id, None until RQ has created it.
    `shared`: the work-horse inherits the claim.
    `begun`: `time.monotonic()` at the start.
    `started`: the job at its start, in the process that runs it.
    `exit_status`: set once the work-horse has exited.
    `overdue`: RQ killed the work-horse itself, long past the job's timeout.
    `ended_silently`: the work-horse exited, in whatever way, and its parent had to write the closing record.
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
    ended_silently: bool = False

    @property
    def horse_has_exited(self) -> bool:
        """Whether the work-horse has exited and its parent has seen it."""
        return self.exit_status is not None

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


def execution_of(worker: Any, job: Any) -> ExecutionState | None:
    """The running execution of a job in a worker, or None."""
    state: WorkerState | None = worker.__dict__.get("_shipper")
    return None if state is None else state._executions.get(job.id)


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
    return own_key(f"told:{execution_id}")
