"""The timeline's front door: what people did and what their jobs did, in order.

for entry in shipper.timeline.query(user="ann", since="yesterday 14:00"):
    print(entry.at, entry.action, entry.message)
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from . import settings as settings_module
from .errors import ShipperError
from .forking import no_fork
from .read.entry import TimelineEntry, entry
from .settings import Settings

__all__ = ["TimelineEntry", "query"]

FILTERS = ("job", "user", "customer", "queue", "function", "resource", "trace", "labels", "args", "since", "until")


def query(*, settings: Settings | None = None, **asked: Any) -> Iterator[TimelineEntry]:
    """The records that match all that is asked, the oldest first, however many there are.

    Known are `job`, `user`, `customer`, `queue`, `function`, `trace` (ids and names), `resource` (`"customer:42"`),
    `labels` (`{"plan": "gold"}`), `args` (`{"0": 42, "order": 7}`: positional ones by their number, others by name),
    `since` and `until` (a datetime, ISO 8601, an age such as "2h", or "yesterday 14:00", in UTC).

    Raises ShipperError for a filter that is not known or a range the wrong way round, DestinationError if
    Elasticsearch cannot be asked or does not let us read.
    """
    with no_fork:
        from .client import connect_reader
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
        with connect_reader(made) as client:
            yield from map(entry, timeline.query(client, made, question))

    return found()
