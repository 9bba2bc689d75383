"""Who has told of an ending: work-horse and parent share one byte, so that only one of them does.

The work-horse sets it when it has told how the execution ended; when the parent finds it unset after the
work-horse is gone, nobody has. The byte is memory shared over the fork. A SpawnWorker's child does not inherit
it; then the parent goes by the job's status instead.
"""

from __future__ import annotations

import mmap
import time
from typing import TYPE_CHECKING, Any

from rq.worker import SpawnWorker

if TYPE_CHECKING:
    from .snapshot import JobSnapshot

# RQ's lease on a running job is 90 s at most and renewed every 30 s: before this nobody can be declared abandoned.
LEASE_S = 60.0

# Kept for as long as RQ may yet come across an execution that was told of but is still in its registry.
REMEMBER_S = 7 * 86_400


class EndingClaim:
    """The execution that a worker is busy with. One for each worker process, shared with its work-horses.

    `started` is what was known of the job at its start, in the process that runs it.
    """

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)
        self.job_id: str | None = None
        self.execution_id: str | None = None
        self.started: JobSnapshot | None = None
        self.shared = True
        self._begun = 0.0

    def begin(self, job_id: str, execution_id: str, *, shared: bool) -> None:
        """A new execution, before the fork."""
        self._byte[0] = 0
        self.job_id, self.execution_id, self.started, self.shared = job_id, execution_id, None, shared
        self._begun = time.monotonic()

    def end(self) -> None:
        """The execution is over for this worker, whoever told of it."""
        self.job_id = self.execution_id = self.started = None

    @property
    def taken(self) -> bool:
        return self._byte[0] == 1

    def acquire(self) -> bool:
        """Claim the telling. False if it was claimed before."""
        if self._byte[0]:
            return False
        self._byte[0] = 1
        return True

    def may_have_lost_its_lease(self) -> bool:
        """Whether it ran for long enough that it is worth asking Redis."""
        return time.monotonic() - self._begun >= LEASE_S and self.execution_id is not None

    def lost_its_lease(self, job: Any) -> bool:
        """Whether RQ has meanwhile declared this execution abandoned and taken it out of its registry."""
        member = f"{self.job_id}:{self.execution_id}"
        return job.connection.zscore(job.started_job_registry.key, member) is None


def of_worker(worker: Any) -> EndingClaim:
    """The worker's witness."""
    witness = worker.__dict__.get("_shipper_witness")
    if witness is None:
        witness = worker.__dict__["_shipper_witness"] = EndingClaim()
    return witness  # type: ignore[no-any-return]


def is_shared(worker: Any) -> bool:
    """Whether the worker's work-horses inherit its memory."""
    return not isinstance(worker, SpawnWorker)


def remember(connection: Any, execution_id: str) -> None:
    """Leave word in Redis that this execution was told of: RQ itself still has it as started."""
    connection.set(_key(execution_id), 1, ex=REMEMBER_S)


def is_remembered(connection: Any, execution_id: str) -> bool:
    return bool(connection.exists(_key(execution_id)))


def _key(execution_id: str) -> str:
    return f"shipper:told:{execution_id}"
