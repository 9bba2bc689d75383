"""Reads fields of a record of which nothing is sure but that it is a JSON object: any program can have written it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from .records import EPOCH, parse_timestamp


def part(record: object, *names: str) -> Mapping[str, Any]:
    """A nested object of the record; {} if it is missing or not an object."""
    found = value(record, *names)
    return found if isinstance(found, Mapping) else {}


def text(record: object, *names: str) -> str | None:
    """A field as text. None if it is missing, null, or an object or a list: those are left out."""
    found = value(record, *names)
    return None if found is None or isinstance(found, Mapping | list) else str(found)


def number(record: object, *names: str) -> float | None:
    """A field that is a number, else None."""
    found = value(record, *names)
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def value(record: object, *names: str) -> Any:
    """The value at this path, None if there is none."""
    found = record
    for name in names:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def message(record: object) -> str:
    """The record's message; of an object or a list its JSON-like text, as it may be all that the record has."""
    found = value(record, "message")
    return "" if found is None else str(found)


def moment(found: object) -> datetime | None:
    """A time as Elasticsearch accepts it, ISO 8601 or milliseconds since 1970, in UTC. None if it is not one."""
    if isinstance(found, list) and found:
        found = found[0]
    with suppress(ValueError, OverflowError, OSError, TypeError):
        if isinstance(found, str):
            return parse_timestamp(found).astimezone(UTC)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return datetime.fromtimestamp(found / 1000, UTC)
    return None


def time_of(record: object) -> datetime:
    """The record's `@timestamp`; 1970 if it is not a time."""
    return moment(value(record, "@timestamp")) or EPOCH
