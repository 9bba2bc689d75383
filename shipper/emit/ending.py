"""What we keep of a worker's executions, and who writes each one's closing record.

The work-horse writes it in most cases; its parent does when the work-horse was killed or left without a word. Both
share one byte of memory for each execution. Whoever is to write the record claims it there before, saying how the
execution ended, and says so again when the record is written. What is claimed and not written by a work-horse that is
gone, its parent writes. The record's id follows from job and execution, so that one which was written in the
instant before the kill, and not marked yet, makes one document with the parent's.

A SpawnWorker's child does not inherit that memory; then the parent goes by the job's status in Redis and the child's
exit status instead.
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

# RQ's lease on a running job is 90 s at most and renewed every 30 s: before this nobody can be declared abandoned.
LEASE_S = 60.0

# Kept for as long as RQ may yet come across an execution that was recorded but is still in its registry.
REMEMBER_S = 7 * 86_400

_SLOTS = 4096  # executions of one worker at a time, at most; one page of memory
_AT_MOST = 1000  # that are kept, of a worker whose executions end in ways that we do not see


class Claim(IntEnum):
    """What the byte says of an execution's closing record. RETURNED and RAISED: somebody is writing that it did."""

    FREE = 0
    RETURNED = 1
    RAISED = 2  # or was killed, stopped, abandoned: whatever is no success
    WRITTEN = 3


_FREE, _WRITTEN = int(Claim.FREE), int(Claim.WRITTEN)


class EndingClaim:
    """One shared byte: is this execution's closing record being written, or has it been?"""

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

    def acquire(self, ending: Claim, *, from_the_dead: bool = False) -> bool:
        """Whether the caller is to write the record, and call `written` then. False if somebody else is, or has.

        `from_the_dead`: whoever else may have claimed it is gone, and writes nothing any more.
        """
        state = self._memory[self._at]
        if state != _FREE and (state == _WRITTEN or not from_the_dead):
            return False
        self._memory[self._at] = ending
        return True

    def written(self) -> None:
        """The record is written, or was lost on its way to the file: nobody is to write it again."""
        self._memory[self._at] = _WRITTEN


@dataclass(slots=True)
class ExecutionState:
    """One execution, as the process that looks at it knows it.

    `execution_id` is RQ's, None until RQ has made one. `shared`: a work-horse inherits the claim. `started` is the job
    as it was at its start, in the process that runs it. `exit_status` is there once the work-horse is gone.
    `overdue`: RQ itself had to kill the work-horse, long past the job's timeout.
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

    @property
    def has_lost_its_horse(self) -> bool:
        """Whether the work-horse is gone, as far as its parent has noticed."""
        return self.exit_status is not None

    def may_have_lost_its_lease(self) -> bool:
        """Whether it ran for long enough that it is worth asking Redis."""
        return time.monotonic() - self.begun >= LEASE_S and self.execution_id is not None

    def lost_its_lease(self, job: Any) -> bool:
        """Whether RQ has meanwhile declared this execution abandoned and taken it out of its registry."""
        member = f"{self.job_id}:{self.execution_id}"
        return job.connection.zscore(job.started_job_registry.key, member) is None


class WorkerState:
    """What we keep of a worker: one object on it, out of RQ's way.

    `stopped_job_id` is the job that somebody asked this worker to stop, even if the worker has forgotten it.
    """

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _SLOTS)
        self._slots = itertools.count()
        self._executions: dict[str, ExecutionState] = {}
        self.latest: ExecutionState | None = None
        self.stopped_job_id: str | None = None
        self.executing: set[str] = set()

    def begin(self, job_id: str, execution_id: str | None, *, shared: bool) -> ExecutionState:
        """A new execution; in a worker that forks, before the fork."""
        claim = EndingClaim(self._memory, next(self._slots) % _SLOTS)
        self.latest = self._executions[job_id] = ExecutionState(job_id, execution_id, claim, shared)
        if self.stopped_job_id == job_id:
            self.stopped_job_id = None
        while len(self._executions) > _AT_MOST:
            self._executions.pop(next(iter(self._executions)), None)
        return self.latest

    def of(self, job_id: str) -> ExecutionState | None:
        """The job's execution in this worker, while there is one."""
        return self._executions.get(job_id)

    def end(self, job_id: str) -> None:
        """The execution is over for this process, whoever wrote its record."""
        ended = self._executions.pop(job_id, None)
        if self.latest is ended:
            self.latest = None


def of_worker(worker: Any) -> WorkerState:
    """The state of a worker, made when it is first asked for."""
    state = worker.__dict__.get("_shipper")
    if state is None:
        state = worker.__dict__["_shipper"] = WorkerState()
    return state  # type: ignore[no-any-return]


def is_shared(worker: Any) -> bool:
    """Whether the worker's work-horses inherit its memory."""
    return not isinstance(worker, SpawnWorker)


def remember(connection: Any, execution_id: str) -> None:
    """Note in Redis that this execution's ending is on record: RQ itself still has it as started."""
    connection.set(_key(execution_id), 1, ex=REMEMBER_S)


def is_remembered(connection: Any, execution_id: str) -> bool:
    return bool(connection.exists(_key(execution_id)))


def _key(execution_id: str) -> str:
    return own_key(f"told:{execution_id}")
