"""TimelineEntry: the main fields of a record, for the HTML page and `shipper.timeline`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..records import Record, parse_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """The main fields of one record. Fields that the record lacks are None.

    `dataset` is rq.audit, rq.job or rq.app. `user` is the actor, or the user that the job is for. `outcome` is success,
    failure or unknown. `resource` is (type, id). `duration_ns` is in nanoseconds. `record` is the whole record.
    """

    at: datetime
    dataset: str
    action: str | None
    outcome: str | None
    message: str
    user: str | None
    customer: str | None
    job_id: str | None
    function: str | None
    resource: tuple[str | None, str | None] | None
    trace: str | None
    duration_ns: int | None
    record: Record


def entry(record: Record) -> TimelineEntry:
    """The entry of a record."""
    event = _part(record, "event")
    resource, duration = _part(record, "audit", "resource"), event.get("duration")
    return TimelineEntry(
        at=parse_timestamp(record["@timestamp"]),
        dataset=_text(event.get("dataset")) or "",
        action=_text(event.get("action")),
        outcome=_text(event.get("outcome")),
        message=str(record.get("message", "")),
        user=_text(_part(record, "user").get("id")),
        customer=_text(_part(record, "organization").get("id")),
        job_id=_text(_part(record, "messaging", "message").get("id")),
        function=_text(_part(record, "code", "function").get("name")),
        resource=(_text(resource.get("type")), _text(resource.get("id"))) if resource else None,
        trace=_text(_part(record, "trace").get("id")),
        duration_ns=duration if isinstance(duration, int) else None,
        record=record,
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _part(record: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """A nested object of the record; {} if it is missing or not an object."""
    part = record
    for name in names:
        inner = part.get(name)
        if not isinstance(inner, Mapping):
            return {}
        part = inner
    return part
