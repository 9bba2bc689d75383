"""The closing record of an execution: whether this process writes it, and what all ways to end have in common."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from ...guard import never_raise
from .. import ending
from ..ending import Claim, ExecutionState
from ..events import Failure, Success, observers
from ..snapshot import JobSnapshot


def claim(execution: ExecutionState | None, ended: Claim) -> bool:
    """Whether this process has to write the closing record. None: not an execution of this worker."""
    return execution is None or execution.claim.acquire(ended, take_over=execution.horse_has_exited)


def record(execution: ExecutionState | None, job: JobSnapshot, ended: Success | Failure) -> None:
    """Report how an execution ended, then mark its closing record as written."""
    if isinstance(ended, Success):
        observers.succeeded(job, ended)
    else:
        observers.failed(job, ended)
    if execution is not None:
        execution.claim.mark_written()


def is_late(execution: ExecutionState | None, job: Any) -> bool:
    if execution is not None and execution.may_have_lost_its_lease():
        with never_raise("late"):
            return execution.lost_its_lease(job)
    return False  # also if Redis did not answer


def execution_id(worker: Any, job: Any, ours: ExecutionState | None, rq_execution: Any = None) -> str | None:
    """The execution's id: the one RQ passes (RQ 3), else that of `ours`, else the worker's. None for stuck jobs."""
    if rq_execution is not None:
        return str(rq_execution.id)
    if ours is not None:
        return ours.execution_id
    execution = getattr(worker, "execution", None)
    return execution.id if execution is not None and execution.job_id == job.id else None


def is_stopped(worker: Any, job: Any) -> bool:
    return job.id in (worker._stopped_job_id, ending.of_worker(worker).stopped_job_id)


def ended_at(job: Any) -> datetime:
    """When the execution ended: RQ's time, unless that is the end of an earlier attempt."""
    ended: datetime | None = job.ended_at
    if ended is None or (job.started_at is not None and ended < job.started_at):
        return datetime.now(UTC)
    return ended
