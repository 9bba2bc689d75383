"""`shipper.progress(40, "half of the rows")` inside a job: at once in Redis, and as a record.

Not in the job's meta: RQ's parent process overwrites that with its stale copy when a work-horse is killed and
the job retried. It has a key of its own, which expires.
"""

from __future__ import annotations

import time
from typing import Any

from rq import get_current_job

from .. import context
from ..guard import never_raise
from ..job_fields import Progress, progress_key
from . import snapshot
from .events import observers

KEEP_S = 7 * 86_400
"""How long progress outlives its last change in Redis."""

TELL_EVERY_S = 1.0
"""At most one record in this time; Redis has every change. The last one, 100 %, is always told."""


_last_told: dict[str, float] = {}  # the job that is running, and when its progress was last told


def progress(percent: float, message: str = "") -> None:
    """Say how far the running job is, from 0 to 100, and what it is about. Outside of a job it does nothing.

    Never raises for Redis or for the log: a job does not fail for its progress. TypeError or ValueError for a
    `percent` that is no number.
    """
    percent = min(100.0, max(0.0, float(percent)))
    job = _current_job()
    if job is None:
        return
    with never_raise("progressed"):
        count = _store(job.connection, job.id, percent, message)
        if _is_due(job.id, percent):
            observers.progressed(snapshot.from_job(job), Progress(percent, message, count), _execution_id())


def _store(connection: Any, job_id: str, percent: float, message: str) -> int:
    with connection.pipeline() as pipeline:
        pipeline.hset(progress_key(job_id), mapping={"percent": percent, "message": message})
        pipeline.hincrby(progress_key(job_id), "count", 1)
        pipeline.expire(progress_key(job_id), KEEP_S)
        return int(pipeline.execute()[1])


def _is_due(job_id: str, percent: float) -> bool:
    now = time.monotonic()
    if percent < 100 and now - _last_told.get(job_id, -TELL_EVERY_S) < TELL_EVERY_S:
        return False
    _last_told.clear()
    _last_told[job_id] = now
    return True


def _current_job() -> Any:
    return get_current_job()


def _execution_id() -> str | None:
    running = context.running.get()
    return running.execution_id if running else None
