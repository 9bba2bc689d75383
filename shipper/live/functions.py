"""The function of a job in Redis, without unpickling, and without reading large payloads."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from ..job_fields import CARRIED_FIELD, called_function, function_in_payload, parse_carried, text
from . import keys

# RQ's payload begins with the function's name. A larger one is not read: then the name is taken from the description.
PAYLOAD_LIMIT = 65_536  # bytes, as Redis has it
DESCRIPTION_LIMIT = 65_536
# Bytes that are asked for at once. Redis holds an answer in its memory until it is read, and refuses jobs meanwhile if
# that is more than its maxmemory leaves.
PORTION = 262_144
_START = 8192  # bytes of the payload after decompression that are looked at

_JSON_NAME = re.compile(rb'\["((?:[^"\\]){1,500})"')
_NAME = re.compile(r"[\w.<>]{1,500}")

_Wanted = tuple[str, list[str], int]  # a job's id, its fields to read, their bytes


def of(connection: Any, job_ids: Sequence[str]) -> dict[str, str]:
    """Job id → dotted name of its function, for those whose name can be read.

    A round trip for the sizes, and one for each PORTION bytes. A connection with `decode_responses` cannot read
    payloads: then all names are from descriptions. Raises redis.RedisError.
    """
    limits = {
        "data": 0 if connection.get_encoder().decode_responses else PAYLOAD_LIMIT,
        "description": DESCRIPTION_LIMIT,
    }
    sizes = iter(keys.ask(connection, (("hstrlen", keys.job(job_id), name) for job_id in job_ids for name in limits)))
    wanted: list[_Wanted] = []
    for job_id in job_ids:
        read = {name: size for name, limit in limits.items() if 0 < (size := next(sizes)) <= limit}
        wanted.append((job_id, [CARRIED_FIELD, *read], sum(read.values())))
    found = {}
    for portion in _portions(wanted):
        answers = keys.ask(connection, (("hmget", keys.job(job_id), fields) for job_id, fields, _ in portion))
        for (job_id, fields, _), values in zip(portion, answers, strict=True):
            if name := name_in(dict(zip(fields, values, strict=True))):
                found[job_id] = name
    return found


def _portions(wanted: Iterable[_Wanted]) -> Iterator[list[_Wanted]]:
    portion: list[_Wanted] = []
    total = 0
    for one in wanted:
        if portion and total + one[2] > PORTION:
            yield portion
            portion, total = [], 0
        portion.append(one)
        total += one[2]
    if portion:
        yield portion


def name_in(fields: dict[str, Any]) -> str | None:
    """The function's name in the fields of a job's hash: `shipper` (ours), `data`, `description`."""
    carried = parse_carried(fields.get(CARRIED_FIELD)).get("function")
    if isinstance(carried, str):
        return carried
    data = fields.get("data")
    if isinstance(data, bytes) and (name := _in_payload(data)):
        return name
    description = fields.get("description")
    return called_function(text(description)) if description else None


def _in_payload(stored: bytes) -> str | None:
    with suppress(Exception):  # a payload may be anything at all
        start = zlib.decompressobj().decompress(stored, _START)
        if start[:1] == b"[":
            found = _JSON_NAME.match(start)
            return found[1].decode() if found else None
        name = function_in_payload(start)
        return name if name and _NAME.fullmatch(name) else None
    return None
