"""Verifies the audit trail: reads every chain in the index in order and checks it.

docs/audit.md lists what it finds, and what it cannot find. It reads only, and needs no key that may write.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

from elasticsearch import ApiError, BadRequestError, Elasticsearch

from ..client import translated_errors
from ..errors import ShipperError
from ..index import conformity
from ..read.paging import Page, pages, snapshot
from ..records import alias, indices, timestamp
from ..settings import Settings
from . import already_there, chain
from .chain import Head, Keys
from .checking import ChainCheck, Expected
from .report import Report, TrailProblem
from .signing import Check, checks_of

PAGE = 2000
AHEAD = 2  # pages that are prefetched
MOST_CHAINS = 10_000


def keys_of(settings: Settings) -> Keys:
    """The HMAC keys to verify with."""
    return Keys.of(settings.audit_key, settings.audit_retired_keys)


def signers_of(settings: Settings) -> Mapping[str, Check]:
    """The public keys to verify with. Raises SettingsError."""
    return checks_of(map(Path, settings.audit_public_keys)) if settings.audit_public_keys else {}


def verify(
    client: Elasticsearch,
    settings: Settings,
    since: datetime | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    now: datetime | None = None,
) -> Report:
    """Verify the trail of the namespace, from `since` on if given. Raises DestinationError, SettingsError.

    `progress` is called with (records read, records in all). `now`: what ages are counted from.
    """
    report = Report()
    expected = Expected(
        keys=keys_of(settings),
        signers=signers_of(settings),
        prefix=f"{alias('rq.audit')}-{settings.namespace}-",
        kept=timedelta(days=settings.retention["audit"]),
        whole=since is None,
        now=now or datetime.now(UTC),
    )
    with translated_errors(settings), _no_collection():
        report.findings += [
            TrailProblem("mapping", "", 0, one.name, one.what) for one in conformity.deviations(client, settings)
        ]
        try:
            _read_all(client, settings, since, report, expected, progress)
        except BadRequestError as error:
            if not report.findings:
                raise
            detail = f"the records cannot be searched as these indices are ({error.message})"
            report.findings.append(TrailProblem("mapping", "", 0, _indices(settings), detail))
    return report


def _read_all(
    client: Elasticsearch,
    settings: Settings,
    since: datetime | None,
    report: Report,
    expected: Expected,
    progress: Callable[[int, int], None],
) -> None:
    report.unsure = _refresh(client, settings)
    checks = []
    with snapshot(client, _indices(settings)) as pit:
        starts, total = _chains(client, pit, since)
        for identifier, first in starts:
            check = ChainCheck(report, expected)
            for page in _prefetched(_records(client, pit, identifier, first)):
                check.add(page)
                progress(report.records, total)
            check.end()
            checks.append(check)
        report.findings += _unchained(client, pit, since)
    report.findings += [finding for check in checks for finding in check.at_last()]
    report.findings += expected.erasures.findings()
    report.findings += already_there.compare(client, settings, since)
    progress(report.records, total)


def _refresh(client: Elasticsearch, settings: Settings) -> str:
    """Make searchable what is indexed. If the API key may not, what to say about that."""
    try:
        client.indices.refresh(index=_indices(settings), ignore_unavailable=True)
    except ApiError as refused:
        if refused.status_code != 403:
            raise
        return (
            f"What was indexed a second before {datetime.now(UTC):%H:%M:%S} UTC or later may be missing: this API key "
            "may not refresh indices. `shipper setup --roles` makes one that may."
        )
    return ""


def head_of(client: Elasticsearch, settings: Settings, identifier: str) -> Head:
    """The head of a chain in the index, as its last record states it. Raises DestinationError, ShipperError."""
    with translated_errors(settings):
        _refresh(client, settings)
        hits = client.search(
            index=_indices(settings),
            ignore_unavailable=True,
            size=1,
            query={"term": {"audit.chain.id": identifier}},
            sort=[{"event.sequence": "desc"}],
        )["hits"]["hits"]
    head = chain.head_of(hits[0]["_source"]) if hits else None
    if head is None:
        raise ShipperError(f"There is no chain {identifier} in the namespace {settings.namespace}.")
    return head


@contextmanager
def _no_collection() -> Iterator[None]:
    """Disable the garbage collector: records have no reference cycles, and it would take a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _indices(settings: Settings) -> str:
    return indices("rq.audit", settings.namespace)


def _chains(client: Elasticsearch, pit: dict[str, Any], since: datetime | None) -> tuple[list[tuple[str, int]], int]:
    """([(chain id, first number to read)], number of records). Ordered by number, as clocks may step back."""
    answer = client.search(
        pit=pit,
        size=0,
        track_total_hits=True,
        query=_since(since),
        aggs={
            "chains": {
                "terms": {"field": "audit.chain.id", "size": MOST_CHAINS, "order": {"_key": "asc"}},
                "aggs": {"first": {"min": {"field": "event.sequence"}}},
            }
        },
    )
    chains = answer.get("aggregations", {}).get("chains", {})
    if chains.get("sum_other_doc_count"):
        raise ShipperError(f"There are more than {MOST_CHAINS} chains. Give a --since, or another namespace.")
    starts = [(bucket["key"], int(bucket["first"]["value"] or 0)) for bucket in chains.get("buckets", [])]
    return starts, int(answer["hits"]["total"]["value"])


def _since(since: datetime | None) -> dict[str, Any]:
    return {"range": {"@timestamp": {"gte": timestamp(since)}}} if since else {"match_all": {}}


def _records(client: Elasticsearch, pit: dict[str, Any], identifier: str, first: int) -> Iterator[Page]:
    """The records of a chain from number `first` on, in order."""
    query = {
        "bool": {
            "filter": [
                {"term": {"audit.chain.id": identifier}},
                {"range": {"event.sequence": {"gte": first}}},
            ]
        }
    }
    sort = [{"event.sequence": "asc"}, {"_shard_doc": "asc"}]
    return pages(client, pit=pit, query=query, sort=sort, size=PAGE)


def _prefetched(upcoming: Iterator[Page]) -> Iterator[Page]:
    """The same pages, prefetched by a thread."""
    fetched: Queue[Page | Exception | None] = Queue(maxsize=AHEAD)

    def fetch() -> None:
        try:
            for page in upcoming:
                fetched.put(page)
            fetched.put(None)
        except Exception as error:  # raised where the pages are read
            fetched.put(error)

    Thread(target=fetch, daemon=True).start()
    while (page := fetched.get()) is not None:
        if isinstance(page, Exception):
            raise page
        yield page


def _unchained(client: Elasticsearch, pit: dict[str, Any], since: datetime | None) -> Iterator[TrailProblem]:
    """Records without a chain or number: from other programs, or written while the head could not be used."""
    outside = {
        "bool": {
            "filter": [_since(since)],
            "should": [
                {"bool": {"must_not": [{"exists": {"field": name}}]}} for name in ("audit.chain.id", "event.sequence")
            ],
            "minimum_should_match": 1,
        }
    }
    sort = [{"_shard_doc": "asc"}]
    for page in pages(client, pit=pit, query=outside, sort=sort, size=PAGE, source=["@timestamp"]):
        for hit in page:
            yield TrailProblem("unchained", "", 0, f"{hit['_index']}/{hit['_id']}", "it is in no chain")
