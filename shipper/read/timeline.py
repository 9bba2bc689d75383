"""Searches audit, job and application records, in order of time."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby
from typing import TYPE_CHECKING, Any

from ..client import translated_errors
from ..errors import ShipperError, Unreachable
from ..fields import text, time_of
from ..records import SEALED_ACTION, Record, indices, parse_timestamp, timestamp
from ..settings import Settings
from .paging import pages, snapshot

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

DATASETS = ("rq.job", "rq.app", "rq.audit", "rq.alert")
PAGE = 1000

# Each search of `follow` goes back this far, as records become searchable slightly out of order.
OVERLAP = timedelta(seconds=15)
POLL_EVERY_S = 0.5

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """The filters. None does not restrict. Times are aware; `since` is inclusive, `until` exclusive."""

    job: str | None = None
    user: str | None = None
    customer: str | None = None
    queue: str | None = None
    function: str | None = None
    trace: str | None = None
    resource: str | None = None
    """`type:id`, or the type alone."""
    labels: Mapping[str, Any] = field(default_factory=dict)
    args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the job: positional ones by number, others by name."""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise ShipperError(
                f"The time range is the wrong way round: since {timestamp(self.since)} is not before "
                f"until {timestamp(self.until)}."
            )


# A filter with several fields matches if any of them does.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "job": ("messaging.message.id",),
    "user": ("user.id", "user.effective.id", "user.target.id"),
    "customer": ("organization.id",),
    "queue": ("messaging.destination.name",),
    "function": ("code.function.name",),
    "trace": ("trace.id",),
}


_DAYS_AGO = {"today": 0, "yesterday": 1}


def parse_time(given: str, now: datetime) -> datetime:
    """Parse `2026-11-21`, `2026-11-21T08:00+01:00`, an age such as `90s`, `15m`, `2h`, `7d`, or `yesterday 14:00`.

    A time without a zone is UTC. Raises ShipperError.
    """
    try:
        return _parse_time(given.strip(), now)
    except OverflowError:
        raise ShipperError(f"{given!r} is beyond what a time can be: from the year 1 to the year 9999.") from None
    except ValueError:
        raise ShipperError(
            f'{given!r} is not a time. Give one like 2026-11-21T08:00 or "yesterday 14:00", '
            "or an age like 15m, 2h or 7d."
        ) from None


def _parse_time(stripped: str, now: datetime) -> datetime:
    if age := re.fullmatch(r"(\d+)([smhdw])", stripped, re.ASCII):
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    if named := re.fullmatch(r"(today|yesterday)(?: (\d\d:\d\d(?::\d\d)?))?", stripped):
        stripped = f"{now.astimezone(UTC).date() - timedelta(days=_DAYS_AGO[named[1]])}T{named[2] or '00:00'}"
    return parse_timestamp(stripped).astimezone(UTC)


def query(client: Elasticsearch, settings: Settings, criteria: Query) -> Iterator[Record]:
    """The matching records, oldest first. Raises DestinationError."""
    with translated_errors(settings), snapshot(client, _indices(settings)) as pit:
        hits = pages(
            client,
            pit=pit,
            query=_query(criteria),
            size=PAGE,
            sort=[{"@timestamp": "asc"}, {"_shard_doc": "asc"}],
        )
        yield from _in_order(chain.from_iterable(hits))


def last(client: Elasticsearch, settings: Settings, criteria: Query, count: int) -> list[Record]:
    """The newest `count` matching records (at most 10,000), oldest first. Raises DestinationError."""
    with translated_errors(settings):
        hits = client.search(
            index=_indices(settings),
            ignore_unavailable=True,
            query=_query(criteria),
            sort=[{"@timestamp": "desc"}],
            size=count,
            track_total_hits=False,
        )["hits"]["hits"]
    return list(_in_order(iter(reversed(hits))))


def follow(client: Elasticsearch, settings: Settings, criteria: Query) -> Iterator[Record]:
    """The matching records, oldest first, and then new ones as they become searchable, for ever.

    Raises DestinationError if the first request fails; later it retries.
    """
    seen: deque[str] = deque(maxlen=10 * PAGE)
    since = criteria.since
    with translated_errors(settings):
        client.info()
    while True:
        newest = since
        with suppress(Unreachable):  # an index that is being created, or a restart: the next search may succeed
            for record in query(client, settings, _since(criteria, since)):
                identifier = text(record, "event", "id") or ""
                if identifier not in seen:
                    seen.append(identifier)
                    yield record
                newest = time_of(record)
        if newest is not None and newest != since:
            since = max(newest - OVERLAP, criteria.since) if criteria.since else newest - OVERLAP
        time.sleep(POLL_EVERY_S)


def _query(criteria: Query) -> dict[str, Any]:
    """The records, without the seals of the audit chain, which are of interest to `verify` alone."""
    return {"bool": {"filter": filters(criteria), "must_not": [{"term": {"event.action": SEALED_ACTION}}]}}


def filters(criteria: Query) -> list[dict[str, Any]]:
    """The filters as Elasticsearch queries."""
    clauses = [
        _any_of(names, value) for name, names in _FIELDS.items() if (value := getattr(criteria, name)) is not None
    ]
    if criteria.resource is not None:
        kind, _, identifier = criteria.resource.partition(":")
        clauses.append({"term": {"audit.resource.type": kind}})
        if identifier:
            clauses.append({"term": {"audit.resource.id": identifier}})
    clauses += [{"term": {f"labels.{name}": str(value)}} for name, value in criteria.labels.items()]
    clauses += [
        {"term": {f"rq.{'args' if str(name).isdecimal() else 'kwargs'}.{name}": _as_indexed(value)}}
        for name, value in criteria.args.items()
    ]
    span = {}
    if criteria.since:
        span["gte"] = timestamp(criteria.since)
    if criteria.until:
        span["lt"] = timestamp(criteria.until)
    return [*clauses, {"range": {"@timestamp": span}}] if span else clauses


def _any_of(names: tuple[str, ...], value: str) -> dict[str, Any]:
    terms: list[dict[str, Any]] = [{"term": {name: value}} for name in names]
    return terms[0] if len(terms) == 1 else {"bool": {"should": terms, "minimum_should_match": 1}}


def _as_indexed(value: Any) -> str:
    """The value as a flattened field indexes it: all values are text, booleans are true and false."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _indices(settings: Settings) -> str:
    return ",".join(indices(dataset, settings.namespace) for dataset in DATASETS)


def _in_order(hits: Iterator[dict[str, Any]]) -> Iterator[Record]:
    """The records by microseconds: Elasticsearch sorts only by milliseconds."""
    for _, same_millisecond in groupby(hits, key=lambda hit: hit["sort"][0]):
        yield from sorted((hit["_source"] for hit in same_millisecond), key=time_of)


def _since(criteria: Query, since: datetime | None) -> Query:
    return replace(criteria, since=since)
