"""Searches audit, job and application records, in order of time."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, Any

from ..client import translated_errors
from ..errors import ShipperError, Unreachable
from ..fields import text, time_of
from ..records import SEALED_ACTION, Record, indices, timestamp
from ..settings import Settings
from ..state import INFERRED_STATES, STATES
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
    action: str | Collection[str] = ()
    outcome: str | Collection[str] = ()
    """success, failure or unknown."""
    state: str | Collection[str] = ()
    """Records that brought a job into this state, or one of these."""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise ShipperError(
                f"The time range is the wrong way round: since {timestamp(self.since)} is not before "
                f"until {timestamp(self.until)}."
            )
        if unknown := sorted(set(_several(self.state)) - KNOWN_STATES):
            raise ShipperError(f"There is no state {unknown[0]!r}. Known are {', '.join(sorted(KNOWN_STATES))}.")


KNOWN_STATES = frozenset({*STATES.values(), *INFERRED_STATES})

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


def parse_time(given: str, now: datetime, zone: tzinfo | None = UTC) -> datetime:
    """Parse `2026-11-21`, `2026-11-21T08:00+01:00`, an age such as `90s`, `15m`, `2h`, `7d`, or `yesterday 14:00`.

    A time without a zone is in `zone`; None is the zone of this machine. The result is in UTC. Raises ShipperError.
    """
    try:
        return _parse_time(given.strip(), now, zone)
    except OverflowError:
        raise ShipperError(f"{given!r} is beyond what a time can be: from the year 1 to the year 9999.") from None
    except ValueError:
        raise ShipperError(
            f'{given!r} is not a time. Give one like 2026-11-21T08:00 or "yesterday 14:00", '
            "or an age like 15m, 2h or 7d."
        ) from None


def _parse_time(stripped: str, now: datetime, zone: tzinfo | None) -> datetime:
    if age := re.fullmatch(r"(\d+)([smhdw])", stripped, re.ASCII):
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    if named := re.fullmatch(r"(today|yesterday)(?: (\d\d:\d\d(?::\d\d)?))?", stripped):
        stripped = f"{now.astimezone(zone).date() - timedelta(days=_DAYS_AGO[named[1]])}T{named[2] or '00:00'}"
    at = datetime.fromisoformat(stripped)
    if at.tzinfo is None and zone is not None:
        at = at.replace(tzinfo=zone)
    return at.astimezone(UTC)  # without a zone it is in that of this machine


def query(
    client: Elasticsearch,
    settings: Settings,
    criteria: Query,
    *,
    newest_first: bool = False,
    limit: int | None = None,
) -> Generator[Record, None, None]:
    """The matching records in the order of time, at most `limit` of them. Raises DestinationError.

    Close it before the client, so that it leaves no point in time open: `contextlib.closing`.
    """
    order = "desc" if newest_first else "asc"
    with translated_errors(settings), snapshot(client, _indices(settings)) as pit:
        hits = pages(
            client,
            pit=pit,
            query=_query(criteria),
            size=PAGE if limit is None else min(PAGE, limit + 1),  # one more tells that it was the last page
            sort=[{"@timestamp": order}, {"_shard_doc": order}],
        )
        yield from islice(_in_order(chain.from_iterable(hits), newest_first=newest_first), limit)


def last(client: Elasticsearch, settings: Settings, criteria: Query, count: int) -> list[Record]:
    """The newest `count` matching records, oldest first. Raises DestinationError."""
    with closing(query(client, settings, criteria, newest_first=True, limit=count)) as newest:
        return list(newest)[::-1]


def follow(
    client: Elasticsearch, settings: Settings, criteria: Query, *, begin_with: int | None = None
) -> Generator[Record, None, None]:
    """The matching records, oldest first, and then new ones as they become searchable, for ever.

    `begin_with`: only so many of those that are there already, the newest. Raises DestinationError if the first request
    fails; later it retries.
    """
    seen: deque[str] = deque(maxlen=10 * PAGE)
    since = criteria.since
    with translated_errors(settings):
        client.info()
    if begin_with is not None:
        newest_ones = last(client, settings, criteria, begin_with)
        seen.extend(text(record, "event", "id") or "" for record in newest_ones)
        yield from newest_ones
        since = time_of(newest_ones[0]) if newest_ones else datetime.now(UTC) - OVERLAP
        criteria = replace(criteria, since=since)  # what is older was not wanted
    while True:
        newest = since
        with (
            suppress(Unreachable),  # an index that is being created, or a restart: the next search may succeed
            closing(query(client, settings, _since(criteria, since))) as found,
        ):
            for record in found:
                identifier = text(record, "event", "id") or ""
                is_wanted = criteria.since is None or time_of(record) >= criteria.since  # to the microsecond
                if is_wanted and identifier not in seen:
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
    clauses += [
        {"terms": {name: sorted(values)}}
        for name, given in (("event.action", criteria.action), ("event.outcome", criteria.outcome))
        if (values := _several(given))
    ]
    if states := _several(criteria.state):
        clauses.append(_reaching(states))
    span = {}
    if criteria.since:
        span["gte"] = timestamp(criteria.since)
    if criteria.until:
        span["lt"] = timestamp(criteria.until)
    return [*clauses, {"range": {"@timestamp": span}}] if span else clauses


def _any_of(names: tuple[str, ...], value: str) -> dict[str, Any]:
    terms: list[dict[str, Any]] = [{"term": {name: value}} for name in names]
    return terms[0] if len(terms) == 1 else {"bool": {"should": terms, "minimum_should_match": 1}}


def _several(given: str | Collection[str]) -> Collection[str]:
    return (given,) if isinstance(given, str) else given


def _reaching(states: Collection[str]) -> dict[str, Any]:
    """The job records after which a job is in one of these states, as shipper/state.py derives them."""
    actions = sorted(action for action, state in STATES.items() if state in states)
    inferred = {"terms": {"event.reason": list(INFERRED_STATES)}}
    reasons = [reason for reason in INFERRED_STATES if reason in states]
    named = {"bool": {"filter": {"terms": {"event.action": actions}}, "must_not": inferred}}
    found = [named, {"bool": {"filter": [{"terms": {"event.reason": reasons}}, _CLOSES]}}]
    return {"bool": {"filter": {"term": {"event.dataset": "rq.job"}}, "should": found, "minimum_should_match": 1}}


_CLOSES = {"terms": {"event.action": sorted(STATES)}}


def _as_indexed(value: Any) -> str:
    """The value as a flattened field indexes it: all values are text, booleans are true and false."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _indices(settings: Settings) -> str:
    return ",".join(indices(dataset, settings.namespace) for dataset in DATASETS)


def _in_order(hits: Iterator[dict[str, Any]], *, newest_first: bool = False) -> Iterator[Record]:
    """The records by microseconds: Elasticsearch sorts only by milliseconds."""
    for _, same_millisecond in groupby(hits, key=lambda hit: hit["sort"][0]):
        yield from sorted((hit["_source"] for hit in same_millisecond), key=time_of, reverse=newest_first)


def _since(criteria: Query, since: datetime | None) -> Query:
    return replace(criteria, since=since)
