"""The public API of the timeline: audit, job and application records that match filters, in order of time.

for entry in shipper.timeline.query(user="ann", since="yesterday 14:00"):
    print(entry.at, entry.action, entry.message)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from . import settings as settings_module
from .errors import ShipperError
from .forking import no_fork
from .read.entry import TimelineEntry, entry
from .settings import Settings

__all__ = ["TimelineEntry", "query"]

FILTERS = ("job", "user", "customer", "queue", "function", "resource", "trace", "labels", "args", "action",
           "outcome", "state", "since", "until")  # fmt: skip


def query(
    *, settings: Settings | None = None, limit: int | None = None, newest_first: bool = False, **filters: Any
) -> Iterator[TimelineEntry]:
    """The records that match all filters, oldest first unless `newest_first`, and all of them unless `limit` says less.

    The filters are `job`, `user`, `customer`, `queue`, `function`, `trace` (ids and names), `resource`
    (`"customer:42"`), `labels` (`{"plan": "gold"}`), `args` (`{"0": 42, "order": 7}`: positional arguments by their
    number, others by name), `action`, `outcome` (success, failure, unknown) and `state` (records that brought a job
    into that state), each of which may be a list, `since` and `until` (a datetime, ISO 8601, an age such as "2h", or
    "yesterday 14:00", in UTC).

    Raises ShipperError for an unknown filter or if `until` is before `since`, DestinationError if Elasticsearch does
    not answer or denies access.
    """
    with no_fork:
        from .client import connect_reader
        from .read import timeline

    if unknown := sorted(set(filters) - set(FILTERS)):
        raise ShipperError(f"There is no filter {unknown[0]!r}. Known are {', '.join(FILTERS)}.")
    now = datetime.now(UTC)
    times = {
        name: timeline.parse_time(filters[name], now) if isinstance(filters.get(name), str) else filters.get(name)
        for name in ("since", "until")
    }
    criteria = timeline.Query(**{**filters, **times})
    config = settings or settings_module.load()

    def entries() -> Iterator[TimelineEntry]:
        with connect_reader(config) as client:
            found = timeline.query(client, config, criteria, newest_first=newest_first, limit=limit)
            with closing(found):  # before the client, also if nobody wants the rest
                yield from map(entry, found)

    return entries()
