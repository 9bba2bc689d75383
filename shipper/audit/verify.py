"""Verifies the audit trail: reads every chain in the index in order and checks its hashes.

It finds missing numbers, changed records, numbers used twice, wrong links, and records outside of any chain. It cannot
find that the end of a chain was cut off before it was anchored, or that a chain was rebuilt by somebody who has the
key, or without a key by anybody.
"""

from __future__ import annotations

import gc
import hashlib
import hmac
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from queue import Queue
from threading import Thread
from typing import Any, NamedTuple

import orjson
from elasticsearch import Elasticsearch

from ..client import translated_errors
from ..errors import ShipperError
from ..read.paging import Page, pages, snapshot
from ..records import indices, timestamp
from ..settings import Settings
from . import chain
from .chain import NO_HASH, Checked, Head

PAGE = 2000
AHEAD = 2  # pages that are prefetched
MOST_CHAINS = 10_000
ANCHOR_VERSION = 1


class TrailProblem(NamedTuple):
    """One finding. `kind` is gap, changed, doubled, broken, unchained, unkeyed or cut.

    `chain` and `sequence` are the position in the chain, `where` is `index/_id` of the document, "" if there is none.
    """

    kind: str
    chain: str
    sequence: int
    where: str
    detail: str

    def __str__(self) -> str:
        place = f"{self.chain} #{self.sequence}" if self.chain else "no chain"
        return " ".join(part for part in (f"{self.kind}:", place, self.where, self.detail) if part)


@dataclass(slots=True)
class Report:
    """The result of verifying: numbers of records, the findings, the heads of the chains, and harmless notes."""

    records: int = 0
    erased: int = 0
    unchecked: int = 0
    findings: list[TrailProblem] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(
    client: Elasticsearch,
    settings: Settings,
    since: datetime | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Report:
    """Verify the trail of the namespace, from `since` on if given. Raises DestinationError.

    `progress` is called with (records read, records in all).
    """
    key = settings.audit_key.encode() if settings.audit_key else None
    report = Report()
    with translated_errors(settings), _no_collection(), snapshot(client, _indices(settings)) as pit:
        starts, total = _chains(client, pit, since)
        for identifier, first in starts:
            hits = _prefetched(_records(client, pit, identifier, first))
            _follow(report, hits, key, settings, whole=since is None, progress=lambda: progress(report.records, total))
        report.findings += _unchained(client, pit, since)
    progress(report.records, total)
    return report


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


def _follow(
    report: Report,
    read: Iterable[Page],
    key: bytes | None,
    settings: Settings,
    *,
    whole: bool,
    progress: Callable[[], None],
) -> None:
    """Check one chain, in order, and add the results to the report."""
    last: Head | None = None
    for page in read:
        for hit in page:
            checked = chain.check(hit["_source"], key)
            if checked is None:
                continue  # invalid chain id or number: reported as unchained
            where = f"{hit['_index']}/{hit['_id']}"
            report.records += 1
            _count(report, checked, where)
            if last is None:
                _begin(report, checked, where, hit["_source"], settings, whole=whole)
            else:
                report.findings += _link(last, checked, where)
            last = checked.head
        progress()
    if last is not None:
        report.heads.append(last)


def _count(report: Report, checked: Checked, where: str) -> None:
    if checked.verdict == "erased":
        report.erased += 1
    elif checked.verdict == "unchecked":
        report.unchecked += 1
    elif checked.verdict != "good":
        report.findings.append(
            TrailProblem(checked.verdict, checked.head.id, checked.head.sequence, where, checked.detail)
        )


def _begin(
    report: Report, checked: Checked, where: str, record: dict[str, Any], settings: Settings, *, whole: bool
) -> None:
    """Check the chain's beginning: if its first records are missing, they have to be past the retention."""
    sequence, identifier = checked.head.sequence, checked.head.id
    if not whole or (sequence == 1 and checked.previous == NO_HASH):
        return
    kept = timedelta(days=settings.retention["audit"])
    if datetime.fromisoformat(record["@timestamp"]) > datetime.now(UTC) - kept:
        detail = f"{_numbers(1, sequence - 1)} missing before it, younger than the retention of {kept.days} days"
        report.findings.append(TrailProblem("gap", identifier, sequence, where, detail))
    else:
        report.notes.append(f"{identifier} begins at #{sequence}: what was before is past its retention.")


def _link(last: Head, checked: Checked, where: str) -> list[TrailProblem]:
    """Problems of a record's link to the one before it."""
    head = checked.head
    if head.sequence == last.sequence:
        return [TrailProblem("doubled", head.id, head.sequence, where, "another record has this number")]
    if head.sequence > last.sequence + 1:
        detail = f"{_numbers(last.sequence + 1, head.sequence - 1)} missing before it"
        return [TrailProblem("gap", head.id, head.sequence, where, detail)]
    if checked.previous != last.hash:
        return [TrailProblem("broken", head.id, head.sequence, where, "it does not continue the record before it")]
    return []


def _numbers(first: int, last: int) -> str:
    return f"#{first} is" if first == last else f"#{first} to #{last} are"


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


# --- anchors --------------------------------------------------------------------------------------------


def anchor_lines(heads: Iterable[Head], key: bytes | None, now: datetime) -> list[bytes]:
    """The heads as lines of an anchor file: one JSON object each, signed with HMAC-SHA256 if there is a key."""
    lines = []
    for head in heads:
        anchor = {"version": ANCHOR_VERSION, "@timestamp": timestamp(now), **head._asdict()}
        if key is not None:
            anchor["key"] = chain.key_id(key)
            anchor["signature"] = _signature(anchor, key)
        lines.append(orjson.dumps(anchor, option=orjson.OPT_APPEND_NEWLINE))
    return lines


def anchored(content: bytes, key: bytes | None) -> list[Head]:
    """The heads of an anchor file. Raises ShipperError for an invalid line or signature."""
    heads = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            anchor = orjson.loads(line)
            signature = anchor.pop("signature", None)
            heads.append(Head(str(anchor["id"]), int(anchor["sequence"]), str(anchor["hash"])))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            raise ShipperError(f"Line {number} of the anchors is no anchor.") from None
        if key is None or anchor.get("key") not in (None, chain.key_id(key)):
            continue
        if signature is None or not hmac.compare_digest(signature, _signature(anchor, key)):
            raise ShipperError(f"Line {number} of the anchors was not signed with the key in SHIPPER_AUDIT_KEY.")
    return heads


def compare_with_anchors(
    client: Elasticsearch, settings: Settings, report: Report, anchors: Iterable[Head]
) -> Iterator[TrailProblem]:
    """Anchored records that are missing in the index (the chain's end was cut off) or have another hash."""
    for anchor in anchors:
        with translated_errors(settings):
            hits = client.search(
                index=_indices(settings),
                ignore_unavailable=True,
                size=1,
                source_includes=["audit.chain.hash"],
                query={
                    "bool": {
                        "filter": [
                            {"term": {"audit.chain.id": anchor.id}},
                            {"term": {"event.sequence": anchor.sequence}},
                        ]
                    }
                },
            )["hits"]["hits"]
        if not hits:
            later = any(head.id == anchor.id and head.sequence > anchor.sequence for head in report.heads)
            if not later:
                yield TrailProblem(
                    "cut", anchor.id, anchor.sequence, "", "the chain once reached to here, and does no more"
                )
        elif hits[0]["_source"].get("audit", {}).get("chain", {}).get("hash") != anchor.hash:
            where = f"{hits[0]['_index']}/{hits[0]['_id']}"
            yield TrailProblem("changed", anchor.id, anchor.sequence, where, "it is not the record that was anchored")


def _signature(anchor: dict[str, Any], key: bytes) -> str:
    return hmac.digest(key, chain.canonical(anchor), hashlib.sha256).hex()
