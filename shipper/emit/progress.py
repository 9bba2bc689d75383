"""`shipper.progress(40, "half of the rows")` inside a job: at once in Redis, and as a record.

Not in the job's meta: RQ's parent process overwrites that with its stale copy when a work-horse is killed and
the job retried. It has a key of its own, which expires.
"""

from __future__ import annotations

import time
from typing import Any

from rq import get_current_job

from .. import context
from . import snapshot
from .events import Progress, never_raise, observers

KEEP_S = 7 * 86_400
"""How long progress outlives its last change in Redis."""

TELL_EVERY_S = 1.0
"""At most one record in this time; Redis has every change. The last one, 100 %, is always told."""


def key(job_id: str) -> str:
    """The Redis hash of a job's progress: `percent`, `message`, `count`."""
    return f"shipper:progress:{job_id}"


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
            observers.tell("progressed", snapshot.from_job(job), Progress(percent, message, count), _execution_id())


def read(connection: Any, job_id: str) -> Progress | None:
    """A job's progress as Redis has it now; None if it never told any."""
    percent, message, count = connection.hmget(key(job_id), "percent", "message", "count")
    if percent is None:
        return None
    return Progress(float(percent), (message or b"").decode("utf-8", "replace"), int(count or 0))


def _store(connection: Any, job_id: str, percent: float, message: str) -> int:
    with connection.pipeline() as pipeline:
        pipeline.hset(key(job_id), mapping={"percent": percent, "message": message})
        pipeline.hincrby(key(job_id), "count", 1)
        pipeline.expire(key(job_id), KEEP_S)
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
