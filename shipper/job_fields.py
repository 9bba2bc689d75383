"""What we keep in Redis beside RQ's own keys: a field of the job's hash, and the job's progress.

Written by the process that enqueues or runs the job (emit/), read by whoever asks for the job (jobs.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from .forking import no_fork

CARRIED_FIELD = "shipper"
"""The field of a job's hash that carries the enqueuer's context, as JSON. Absent when there is none."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `percent` is 0 to 100; `count` numbers the changes of one job."""

    percent: float
    message: str
    count: int


def parse_carried(found: bytes | str | None) -> dict[str, Any]:
    """The carried field as it stands in a job's hash; {} where it is not there, or not ours."""
    try:
        carried = orjson.loads(found or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return carried if isinstance(carried, dict) else {}


_CALL = re.compile(r"([^\W\d]\w*(?:\.\w+)+)\(")


def called_function(description: str | None) -> str | None:
    """The function's dotted name in the description that RQ makes of a call; None of any other.

    Nothing else of it may be shown: behind the name stand the arguments, and in another anything may.
    """
    called = _CALL.match(description or "")
    return called[1] if called else None


def attempts(retries_left: int, returned: int, known_most: object) -> tuple[int, int]:
    """(max attempts, this attempt): the one rule for both.

    RQ keeps only how many retries are left, and counts only those that a job `returned`. `known_most` is what the job
    carries from where it was enqueued, if it carries any.
    """
    if isinstance(known_most, int):
        return known_most, max(1, known_most - retries_left) + returned
    return retries_left + 1 + returned, 1 + returned


def progress_key(job_id: str) -> str:
    """The Redis hash of a job's progress: `percent`, `message`, `count`."""
    return own_key(f"progress:{job_id}")


def own_key(name: str) -> str:
    """The name of a key of ours: `shipper:…`.

    Behind RQ's own prefix if that is another than usual (RQ_KEY_PREFIX, RQ 3): it may be all that an account is allowed
    to touch, and its braces keep all keys in one slot of a Redis Cluster.
    """
    with no_fork:
        from rq.job import Job  # its prefix is one of several names for it, and every release has it

    prefix = Job.redis_job_namespace_prefix.removesuffix("job:")
    return f"{'' if prefix == _USUAL_PREFIX else prefix}shipper:{name}"


_USUAL_PREFIX = "rq:"


def read_progress(connection: Any, job_id: str) -> Progress | None:
    """A job's progress as Redis has it now; None if it never reported any."""
    percent, message, count = connection.hmget(progress_key(job_id), "percent", "message", "count")
    return None if percent is None else Progress(float(percent), text(message or b""), int(count or 0))


def text(value: bytes | str) -> str:
    """A value from Redis: bytes, or text where the connection was made with `decode_responses=True`."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
