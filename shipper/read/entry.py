"""TimelineEntry: the main fields of a record, for the HTML page and `shipper.timeline`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..fields import message, part, text, time_of, value
from ..records import Record


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
    resource, duration = part(record, "audit", "resource"), value(record, "event", "duration")
    return TimelineEntry(
        at=time_of(record),
        dataset=text(record, "event", "dataset") or "",
        action=text(record, "event", "action"),
        outcome=text(record, "event", "outcome"),
        message=message(record),
        user=text(record, "user", "id"),
        customer=text(record, "organization", "id"),
        job_id=text(record, "messaging", "message", "id"),
        function=text(record, "code", "function", "name"),
        resource=(text(resource, "type"), text(resource, "id")) if resource else None,
        trace=text(record, "trace", "id"),
        duration_ns=duration if isinstance(duration, int) else None,
        record=record,
    )
