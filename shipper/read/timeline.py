"""What happened, in order: the records that answer a question, however many there are."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import chain, groupby
from typing import Any

from elasticsearch import Elasticsearch

from ..client import translated_errors
from ..errors import ShipperError, Unreachable
from ..records import Record, indices, parse_timestamp, timestamp
from ..settings import Settings
from .paging import pages, snapshot

DATASETS = ("rq.job", "rq.app", "rq.audit")
PAGE = 1000

# `follow` looks back this far at each question: records become searchable a little out of order.
OVERLAP = timedelta(seconds=15)
ASK_EVERY_S = 0.5

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to tell. Fields that are None do not restrict; times are aware, `since` included, `until` not."""

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
    """Arguments of the job: positional ones by their number, others by their name."""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise ShipperError(
                f"The time range is the wrong way round: since {timestamp(self.since)} is not before "
                f"until {timestamp(self.until)}."
            )


# A filter that has several fields finds what matches any of them.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "job": ("messaging.message.id",),
    "user": ("user.id", "user.effective.id", "user.target.id"),
    "customer": ("organization.id",),
    "queue": ("messaging.destination.name",),
    "function": ("code.function.name",),
    "trace": ("trace.id",),
}


_NAMED = {"today": 0, "yesterday": 1}


def parse_time(text: str, now: datetime) -> datetime:
    """A point in time, from how people say it.

    `2026-11-21`, `2026-11-21T08:00+01:00`, an age such as `90s`, `15m`, `2h`, `7d`, or `yesterday 14:00`. A time
    without a zone is UTC. Raises ShipperError.
    """
    said = text.strip()
    if age := re.fullmatch(r"(\d+)([smhdw])", said):
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    if named := re.fullmatch(r"(today|yesterday)(?: (\d\d:\d\d(?::\d\d)?))?", said):
        said = f"{now.astimezone(UTC).date() - timedelta(days=_NAMED[named[1]])}T{named[2] or '00:00'}"
    try:
        return parse_timestamp(said)
    except ValueError:
        raise ShipperError(
            f'{text!r} is not a time. Give one like 2026-11-21T08:00 or "yesterday 14:00", '
            "or an age like 15m, 2h or 7d."
        ) from None


def query(client: Elasticsearch, settings: Settings, question: Query) -> Iterator[Record]:
    """The records that answer the question, the oldest first. Raises DestinationError."""
    with translated_errors(settings), snapshot(client, _indices(settings)) as pit:
        found = pages(
            client, pit=pit, query={"bool": {"filter": filters(question)}}, size=PAGE,
            sort=[{"@timestamp": "asc"}, {"_shard_doc": "asc"}],
        )  # fmt: skip
        yield from _in_order(chain.from_iterable(found))


def last(client: Elasticsearch, settings: Settings, question: Query, count: int) -> list[Record]:
    """The newest `count` records (10 000 at most) that answer the question, in order. Raises DestinationError."""
    with translated_errors(settings):
        hits = client.search(
            index=_indices(settings), ignore_unavailable=True, query={"bool": {"filter": filters(question)}},
            sort=[{"@timestamp": "desc"}], size=count, track_total_hits=False,
        )["hits"]["hits"]  # fmt: skip
    return list(_in_order(iter(reversed(hits))))


def follow(client: Elasticsearch, settings: Settings, question: Query) -> Iterator[Record]:
    """The same, and then every new record as it becomes searchable, without end.

    Raises DestinationError if there is no answer at first; later it waits for the next one.
    """
    told: deque[str] = deque(maxlen=10 * PAGE)
    since = question.since
    with translated_errors(settings):
        client.info()
    while True:
        newest = since
        with suppress(Unreachable):  # an index that is just being made, or a restart: the next question will tell
            for record in query(client, settings, _since(question, since)):
                identifier = record.get("event", {}).get("id", "")
                if identifier not in told:
                    told.append(identifier)
                    yield record
                newest = datetime.fromisoformat(record["@timestamp"])
        if newest is not None and newest != since:
            since = max(newest - OVERLAP, question.since) if question.since else newest - OVERLAP
        time.sleep(ASK_EVERY_S)


def filters(question: Query) -> list[dict[str, Any]]:
    """The question as Elasticsearch filters."""
    asked = [_any_of(names, value) for name, names in _FIELDS.items() if (value := getattr(question, name)) is not None]
    if question.resource is not None:
        kind, _, identifier = question.resource.partition(":")
        asked.append({"term": {"audit.resource.type": kind}})
        if identifier:
            asked.append({"term": {"audit.resource.id": identifier}})
    asked += [{"term": {f"labels.{name}": str(value)}} for name, value in question.labels.items()]
    asked += [
        {"term": {f"rq.{'args' if str(name).isdecimal() else 'kwargs'}.{name}": _as_indexed(value)}}
        for name, value in question.args.items()
    ]
    span = {}
    if question.since:
        span["gte"] = timestamp(question.since)
    if question.until:
        span["lt"] = timestamp(question.until)
    return [*asked, {"range": {"@timestamp": span}}] if span else asked


def _any_of(names: tuple[str, ...], value: str) -> dict[str, Any]:
    terms: list[dict[str, Any]] = [{"term": {name: value}} for name in names]
    return terms[0] if len(terms) == 1 else {"bool": {"should": terms, "minimum_should_match": 1}}


def _as_indexed(value: Any) -> str:
    """A flattened field holds texts: numbers as they are written, and true and false."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _indices(settings: Settings) -> str:
    return ",".join(indices(dataset, settings.namespace) for dataset in DATASETS)


def _in_order(hits: Iterator[dict[str, Any]]) -> Iterator[Record]:
    """Elasticsearch sorts by milliseconds; records have microseconds."""
    for _, same_millisecond in groupby(hits, key=lambda hit: hit["sort"][0]):
        yield from sorted((hit["_source"] for hit in same_millisecond), key=lambda record: record["@timestamp"])


def _since(question: Query, since: datetime | None) -> Query:
    return replace(question, since=since)
