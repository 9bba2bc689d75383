"""Puts a job that could not get into its section back to its queue, without using up one of its retries.

It is done where RQ would handle the failure, in one transaction: the execution ends, and the job is scheduled, so that
RQ's scheduler pushes it when it is due. If no scheduler is running for the queue, the work-horse waits and pushes it.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from rq.job import JobStatus
from rq.scheduler import RQScheduler

from ..emit import ending, snapshot
from ..emit.ending import Claim
from ..emit.events import Busy, observers
from ..emit.patches.enqueue import after_execute, with_cause
from ..errors import SectionBusy
from ..guard import never_raise
from ..job_fields import own_key
from . import busy

log = logging.getLogger("shipper")

# RQ's scheduler renews its lock for the queue every second, for a minute. This is the least of a scheduler that runs.
_LOCK_LEFT_MS = 45_000

# RQ kills a work-horse that is a minute over its timeout: it must not wait for so long.
_WAIT_AT_MOST_S = 30.0

NOTE_KEPT_S = 3600
"""For so long Redis remembers which execution was put back, for the parent of a work-horse that was killed after it."""


def put_back(worker: Any, job: Any, queue: Any, refused: SectionBusy, rq_execution: Any) -> None:
    """End the execution of a job that could not get in, and have it back in its queue after `refused.delay_s`.

    `rq_execution`: RQ's Execution, None before RQ 3. Raises redis.RedisError; then nothing has changed.
    """
    delay_s = refused.delay_s or 0.0
    execution = ending.execution_of(worker, job)
    execution_id = rq_execution.id if rq_execution is not None else execution.execution_id if execution else None
    at_start, since = snapshot.from_job(job), datetime.now(UTC)
    is_scheduled = _has_scheduler(worker.connection, queue.name)
    if not is_scheduled:
        time.sleep(min(delay_s, _WAIT_AT_MOST_S))
    event = busy.event(refused, "requeue", execution_id, worker.name, since)

    def record(_: Any) -> None:
        if execution is None or execution.claim.acquire(Claim.RAISED):
            observers.busy(at_start, event)
            if execution is not None:
                execution.claim.mark_written()

    with worker.connection.pipeline() as pipeline:
        more = {} if rq_execution is None else {"execution": rq_execution}
        worker.cleanup_execution(job, pipeline=pipeline, **more)
        if execution_id:
            pipeline.set(_note_key(execution_id), _encode(event), ex=NOTE_KEPT_S)
        after_execute(pipeline, record)  # before the record of the push
        if is_scheduled:
            job.set_status(JobStatus.SCHEDULED, pipeline=pipeline)
            at = datetime.now(UTC) + timedelta(seconds=delay_s)
            with_cause("busy")(lambda _: queue.schedule_job(job, at, pipeline=pipeline), None)
        else:
            with_cause("busy")(lambda _: queue._enqueue_job(job, pipeline=pipeline), None)
        pipeline.execute()
    if hasattr(worker, "_release_slot_safely"):  # RQ 3: a scheduled job gives back its place in its rate limit
        worker._release_slot_safely(job)
    log.info(
        "Job %s: %s Back to %s after %.1f s.", job.id, refused, queue.name, delay_s, extra={"event.action": "job-busy"}
    )


def was_put_back(worker: Any, job: Any, execution_id: str) -> bool:
    """Whether this execution has put its job back before its work-horse was killed. Its record is written again."""
    stored = worker.connection.get(_note_key(execution_id))
    if not stored:
        return False
    with never_raise("busy"):
        event = _decode(stored)
        observers.busy(snapshot.from_job(job), event)
    return True


def _has_scheduler(connection: Any, queue: str) -> bool:
    """Whether RQ's scheduler is running for the queue, so that a scheduled job will be pushed."""
    return int(connection.pttl(RQScheduler.get_locking_key(queue))) >= _LOCK_LEFT_MS


def _note_key(execution_id: str) -> str:
    return own_key(f"put-back:{execution_id}")


def _encode(event: Busy) -> bytes:
    return orjson.dumps(event)


def _decode(stored: bytes | str) -> Busy:
    fields = orjson.loads(stored)
    times = {name: datetime.fromisoformat(fields[name]) for name in ("at", "since")}
    return Busy(**{**fields, **times})
