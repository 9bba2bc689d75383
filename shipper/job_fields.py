"""What this package stores in Redis: one field of the job's hash, and a hash with the job's progress.

Written by the process that enqueues or runs the job (emit/), read by jobs.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

CARRIED_FIELD = "shipper"
"""The field of a job's hash that holds the enqueuer's context, as a JSON object. Absent if there is none."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A job's progress. `percent` is 0 to 100; `count` numbers the reports of one job."""

    percent: float
    message: str
    count: int


def parse_carried(value: bytes | str | None) -> dict[str, Any]:
    """The parsed value of CARRIED_FIELD; {} if it is absent or not a JSON object."""
    try:
        carried = orjson.loads(value or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return carried if isinstance(carried, dict) else {}


def attempts(retries_left: int, returned: int, max_attempts: object) -> tuple[int, int]:
    """(max attempts, this attempt).

    RQ keeps only how many retries are left, and counts only the retries that a function `returned`. `max_attempts` is
    the number that the job carries from its enqueuer; anything but an int means that it carries none.
    """
    if isinstance(max_attempts, int):
        return max_attempts, max(1, max_attempts - retries_left) + returned
    return retries_left + 1 + returned, 1 + returned


def progress_key(job_id: str) -> str:
    """The Redis hash of a job's progress: `percent`, `message`, `count`."""
    return f"shipper:progress:{job_id}"


def read_progress(connection: Any, job_id: str) -> Progress | None:
    """A job's progress from Redis; None if it has not reported any."""
    percent, message, count = connection.hmget(progress_key(job_id), "percent", "message", "count")
    return None if percent is None else Progress(float(percent), text(message or b""), int(count or 0))


def text(value: bytes | str) -> str:
    """A value from Redis as text: it is bytes unless the connection has `decode_responses=True`."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
