"""`shipper.progress(40, "half of the rows")`: a running job reports its progress, to Redis and as a record.

It is stored in a Redis key of its own, which expires, and not in the job's meta: when a work-horse is killed and the
job retried, RQ's parent process overwrites the meta with its stale copy.
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
"""Seconds until the Redis key expires, from its last change."""

RECORD_EVERY_S = 1.0
"""At most one record in this time. Redis has every change, and 100 % is always recorded."""


_last_recorded: dict[str, float] = {}  # job id → time.monotonic() of its last progress record


def progress(percent: float, message: str = "") -> None:
    """Report the progress of the running job: 0 to 100, and an optional message. Does nothing outside of a job.

    Raises TypeError or ValueError if `percent` is not a number. Never raises for Redis or the log.
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
    if percent < 100 and now - _last_recorded.get(job_id, -RECORD_EVERY_S) < RECORD_EVERY_S:
        return False
    _last_recorded.clear()
    _last_recorded[job_id] = now
    return True


def _current_job() -> Any:
    return get_current_job()


def _execution_id() -> str | None:
    running = context.running.get()
    return running.execution_id if running else None
