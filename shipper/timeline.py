"""The timeline's front door: what people did and what their jobs did, in order.

for entry in shipper.timeline.query(user="ann", since="yesterday 14:00"):
    print(entry.at, entry.action, entry.message)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from . import settings as settings_module
from .errors import ShipperError
from .forking import no_fork
from .records import Record, parse_timestamp
from .settings import Settings

__all__ = ["TimelineEntry", "query"]

FILTERS = ("job", "user", "customer", "queue", "function", "resource", "trace", "labels", "args", "since", "until")


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineEntry:
    """One record. `dataset` is rq.audit, rq.job or rq.app; what a record does not say is None.

    `user` is who did it or for whom the job was, `outcome` is success, failure or unknown, `duration_ns` is in
    nanoseconds, `record` is all of it.
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


def query(*, settings: Settings | None = None, **asked: Any) -> Iterator[TimelineEntry]:
    """The records that match all that is asked, the oldest first, however many there are.

    Known are `job`, `user`, `customer`, `queue`, `function`, `trace` (ids and names), `resource` (`"customer:42"`),
    `labels` (`{"plan": "gold"}`), `args` (`{"0": 42, "order": 7}`: positional ones by their number, others by name),
    `since` and `until` (a datetime, ISO 8601, an age such as "2h", or "yesterday 14:00", in UTC).

    Raises ShipperError for a filter that is not known or a range the wrong way round, DestinationError if
    Elasticsearch cannot be asked or does not let us read.
    """
    with no_fork:
        from .client import connect
        from .read import timeline

    if unknown := sorted(set(asked) - set(FILTERS)):
        raise ShipperError(f"There is no filter {unknown[0]!r}. Known are {', '.join(FILTERS)}.")
    now = datetime.now(UTC)
    times = {
        name: timeline.moment(asked[name], now) if isinstance(asked.get(name), str) else asked.get(name)
        for name in ("since", "until")
    }
    question = timeline.Query(**{**asked, **times})
    made = settings or settings_module.load()

    def found() -> Iterator[TimelineEntry]:
        with connect(made) as client:
            yield from map(entry, timeline.query(client, made, question))

    return found()


def entry(record: Record) -> TimelineEntry:
    """A record as it is told."""
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
    """An object inside of the record; {} where another program wrote something else there."""
    part = record
    for name in names:
        inner = part.get(name)
        if not isinstance(inner, Mapping):
            return {}
        part = inner
    return part
