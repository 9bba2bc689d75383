"""What this package stores in Redis: one field of the job's hash, and a hash with the job's progress.

Written by the process that enqueues or runs the job (emit/), read by jobs.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

from .forking import no_fork

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


_CALL = re.compile(r"([^\W\d]\w*(?:\.\w+)+)\(")


def called_function(description: str | None) -> str | None:
    """The function's dotted name from the description that RQ makes of a call; None for any other description.

    The rest is never shown: it has the arguments, and a description that the application wrote may have anything.
    """
    call = _CALL.match(description or "")
    return call[1] if call else None


def function_in_payload(payload: bytes) -> str | None:
    """The first string of a serialized `(function, instance, args, kwargs)`, read without executing anything.

    A pickle is a program. `pickletools` disassembles it and does not run it; the function's name is its first string.
    RQ's JSONSerializer writes a list that begins with the name. None if the name cannot be found.
    """
    if payload[:1] == b"[":
        first = orjson.loads(payload)[0]
        return first if isinstance(first, str) else None
    if payload[:1] != b"\x80":
        return None
    with no_fork:
        import pickletools  # takes 5 ms, and is seldom needed in parents and enqueuers

    strings: list[object] = []
    for opcode, argument, _ in pickletools.genops(payload):
        if opcode.name in _FRAMING:
            continue
        if opcode.name == "STACK_GLOBAL" and len(strings) == 1 + _GLOBAL_STRINGS:
            return ".".join(map(str, (*strings[1:], strings[0])))  # a method: its name, then its class
        if "UNICODE" not in opcode.name:
            break
        strings.append(argument)
        if len(strings) > 1 + _GLOBAL_STRINGS:
            break
    if len(strings) == _GLOBAL_STRINGS and opcode.name == "STACK_GLOBAL":
        return None  # the strings were the module and name of a class: the tuple begins with an object
    return strings[0] if strings and isinstance(strings[0], str) else None


# Opcodes that only frame or memoize others (PEP 3154).
_FRAMING = frozenset({"PROTO", "FRAME", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"})
_GLOBAL_STRINGS = 2


def attempts(retries_left: int, returned: int, max_attempts: object) -> tuple[int, int]:
    """(max attempts, this attempt).

    RQ keeps only how many retries are left, and counts only the retries that a function `returned`. `max_attempts` is
    the number that the job carries from its enqueuer; anything but a plausible one means that it carries none.
    """
    if isinstance(max_attempts, int) and 0 < max_attempts <= _MOST_ATTEMPTS:
        return max_attempts, max(1, max_attempts - retries_left) + returned
    return retries_left + 1 + returned, 1 + returned


_MOST_ATTEMPTS = 1_000_000  # more was not written by us


def progress_key(job_id: str) -> str:
    """The Redis hash of a job's progress: `percent`, `message`, `count`."""
    return own_key(f"progress:{job_id}")


def own_key(name: str) -> str:
    """The name of one of our keys: `shipper:<name>`.

    If RQ's prefix is not `rq:` (RQ_KEY_PREFIX, RQ 3), it stands before that: an account may be allowed only keys with
    RQ's prefix, and braces in the prefix keep all keys in one slot of a Redis Cluster.
    """
    with no_fork:
        from rq.job import Job  # every RQ has the prefix in this class

    prefix = Job.redis_job_namespace_prefix.removesuffix("job:")
    return f"{'' if prefix == _USUAL_PREFIX else prefix}shipper:{name}"


_USUAL_PREFIX = "rq:"


def read_progress(connection: Any, job_id: str) -> Progress | None:
    """A job's progress from Redis; None if it has not reported any, or it is not what we wrote."""
    percent, message, count = connection.hmget(progress_key(job_id), "percent", "message", "count")
    try:
        return None if percent is None else Progress(float(percent), text(message or b""), int(count or 0))
    except ValueError:
        return None


def text(value: bytes | str) -> str:
    """A value from Redis as text: it is bytes unless the connection has `decode_responses=True`."""
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
