"""Is the audit trail whole? Every chain in the index is read in order and held against itself.

What is found: numbers that are missing, records that were changed, two with one number, links that do not fit,
records that stand outside of any chain. What cannot be found: an end that was cut off before anybody anchored
it, and a chain that was made anew by somebody who has the key, or where there is none.
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
AHEAD = 2  # pages that are fetched while others are checked
MOST_CHAINS = 10_000
ANCHOR_VERSION = 1


class TrailProblem(NamedTuple):
    """Something that is not as it was written. `kind` is gap, changed, doubled, broken, unchained, unkeyed or cut.

    `chain` and `sequence` say where, `where` is `index/_id` of the document, if there is one.
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
    """What verifying came to. `heads` are the last records of the chains, `notes` what is as it may be."""

    records: int = 0
    erased: int = 0
    unchecked: int = 0
    findings: list[TrailProblem] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(
    client: Elasticsearch, settings: Settings, since: datetime | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Report:  # fmt: skip
    """Read the trail of the namespace, or what of it is younger than `since`. Raises DestinationError.

    `progress` is called with how many records were read, and how many there are.
    """
    key = settings.audit_key.encode() if settings.audit_key else None
    report = Report()
    with translated_errors(settings), _no_collection(), snapshot(client, _indices(settings)) as pit:
        starts, total = _chains(client, pit, since)
        for identifier, first in starts:
            hits = _ahead(_records(client, pit, identifier, first))
            _follow(report, hits, key, settings, whole=since is None, progress=lambda: progress(report.records, total))
        report.findings += _unchained(client, pit, since)
    progress(report.records, total)
    return report


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without Python's collector, which looks for cycles: records have none, and it takes a third of the time."""
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
    """((chain, first number to read) of every chain, records in all). Numbers order them: clocks may step back."""
    answer = client.search(
        pit=pit, size=0, track_total_hits=True, query=_since(since),
        aggs={"chains": {
            "terms": {"field": "audit.chain.id", "size": MOST_CHAINS, "order": {"_key": "asc"}},
            "aggs": {"first": {"min": {"field": "event.sequence"}}},
        }},
    )  # fmt: skip
    found = answer.get("aggregations", {}).get("chains", {})
    if found.get("sum_other_doc_count"):
        raise ShipperError(f"There are more than {MOST_CHAINS} chains. Give a --since, or another namespace.")
    starts = [(bucket["key"], int(bucket["first"]["value"] or 0)) for bucket in found.get("buckets", [])]
    return starts, int(answer["hits"]["total"]["value"])


def _since(since: datetime | None) -> dict[str, Any]:
    return {"range": {"@timestamp": {"gte": timestamp(since)}}} if since else {"match_all": {}}


def _records(client: Elasticsearch, pit: dict[str, Any], identifier: str, first: int) -> Iterator[Page]:
    """Those of a chain, in its order."""
    query = {"bool": {"filter": [
        {"term": {"audit.chain.id": identifier}}, {"range": {"event.sequence": {"gte": first}}},
    ]}}  # fmt: skip
    sort = [{"event.sequence": "asc"}, {"_shard_doc": "asc"}]
    return pages(client, pit=pit, query=query, sort=sort, size=PAGE)


def _ahead(coming: Iterator[Page]) -> Iterator[Page]:
    """The same pages, the next ones fetched by a thread while one is being checked."""
    fetched: Queue[Page | Exception | None] = Queue(maxsize=AHEAD)

    def fetch() -> None:
        try:
            for page in coming:
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
    report: Report, read: Iterable[Page], key: bytes | None, settings: Settings, *, whole: bool,
    progress: Callable[[], None],
) -> None:  # fmt: skip
    """One chain, from its first record on."""
    last: Head | None = None
    for page in read:
        for hit in page:
            found = chain.check(hit["_source"], key)
            if found is None:
                continue  # it says a chain and a number that are none: it is told of as unchained
            where = f"{hit['_index']}/{hit['_id']}"
            report.records += 1
            _count(report, found, where)
            if last is None:
                _begin(report, found, where, hit["_source"], settings, whole=whole)
            else:
                report.findings += _link(last, found, where)
            last = found.head
        progress()
    if last is not None:
        report.heads.append(last)


def _count(report: Report, found: Checked, where: str) -> None:
    if found.verdict == "erased":
        report.erased += 1
    elif found.verdict == "unchecked":
        report.unchecked += 1
    elif found.verdict != "good":
        report.findings.append(TrailProblem(found.verdict, found.head.id, found.head.sequence, where, found.detail))


def _begin(
    report: Report, found: Checked, where: str, record: dict[str, Any], settings: Settings, *, whole: bool
) -> None:
    """The first record that is there. Where it is not the chain's first, retention may have taken those before."""
    sequence, identifier = found.head.sequence, found.head.id
    if not whole or (sequence == 1 and found.previous == NO_HASH):
        return
    kept = timedelta(days=settings.retention["audit"])
    if datetime.fromisoformat(record["@timestamp"]) > datetime.now(UTC) - kept:
        detail = f"{_numbers(1, sequence - 1)} missing before it, younger than the retention of {kept.days} days"
        report.findings.append(TrailProblem("gap", identifier, sequence, where, detail))
    else:
        report.notes.append(f"{identifier} begins at #{sequence}: what was before is past its retention.")


def _link(last: Head, found: Checked, where: str) -> list[TrailProblem]:
    """How a record fits to the one before it."""
    head = found.head
    if head.sequence == last.sequence:
        return [TrailProblem("doubled", head.id, head.sequence, where, "another record has this number")]
    if head.sequence > last.sequence + 1:
        detail = f"{_numbers(last.sequence + 1, head.sequence - 1)} missing before it"
        return [TrailProblem("gap", head.id, head.sequence, where, detail)]
    if found.previous != last.hash:
        return [TrailProblem("broken", head.id, head.sequence, where, "it does not continue the record before it")]
    return []


def _numbers(first: int, last: int) -> str:
    return f"#{first} is" if first == last else f"#{first} to #{last} are"


def _unchained(client: Elasticsearch, pit: dict[str, Any], since: datetime | None) -> Iterator[TrailProblem]:
    """Records that carry no chain, or no number: written where the head could not be used, or by other programs."""
    outside = {"bool": {
        "filter": [_since(since)],
        "should": [
            {"bool": {"must_not": [{"exists": {"field": name}}]}} for name in ("audit.chain.id", "event.sequence")
        ],
        "minimum_should_match": 1,
    }}  # fmt: skip
    sort = [{"_shard_doc": "asc"}]
    for page in pages(client, pit=pit, query=outside, sort=sort, size=PAGE, source=["@timestamp"]):
        for hit in page:
            yield TrailProblem("unchained", "", 0, f"{hit['_index']}/{hit['_id']}", "it is in no chain")


# --- anchors --------------------------------------------------------------------------------------------


def anchor_lines(heads: Iterable[Head], key: bytes | None, now: datetime) -> list[bytes]:
    """The heads as lines to keep elsewhere: each one JSON object, signed with HMAC-SHA256 where there is a key."""
    lines = []
    for head in heads:
        said = {"version": ANCHOR_VERSION, "@timestamp": timestamp(now), **head._asdict()}
        if key is not None:
            said["key"] = chain.key_id(key)
            said["signature"] = _signature(said, key)
        lines.append(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
    return lines


def anchored(content: bytes, key: bytes | None) -> list[Head]:
    """The heads of an anchor file. Raises ShipperError for a line that is none, or whose signature is not right."""
    heads = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            said = orjson.loads(line)
            signature = said.pop("signature", None)
            heads.append(Head(str(said["id"]), int(said["sequence"]), str(said["hash"])))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            raise ShipperError(f"Line {number} of the anchors is no anchor.") from None
        if key is None or said.get("key") not in (None, chain.key_id(key)):
            continue
        if signature is None or not hmac.compare_digest(signature, _signature(said, key)):
            raise ShipperError(f"Line {number} of the anchors was not signed with the key in SHIPPER_AUDIT_KEY.")
    return heads


def hold_against(
    client: Elasticsearch, settings: Settings, report: Report, anchors: Iterable[Head]
) -> Iterator[TrailProblem]:  # fmt: skip
    """What the anchors know and the index does not: ends that were cut off, records that were put in their place."""
    for anchor in anchors:
        with translated_errors(settings):
            hits = client.search(
                index=_indices(settings), ignore_unavailable=True, size=1, source_includes=["audit.chain.hash"],
                query={"bool": {"filter": [
                    {"term": {"audit.chain.id": anchor.id}}, {"term": {"event.sequence": anchor.sequence}},
                ]}},
            )["hits"]["hits"]  # fmt: skip
        if not hits:
            later = any(head.id == anchor.id and head.sequence > anchor.sequence for head in report.heads)
            if not later:
                yield TrailProblem(
                    "cut", anchor.id, anchor.sequence, "", "the chain once reached to here, and does no more"
                )
        elif hits[0]["_source"].get("audit", {}).get("chain", {}).get("hash") != anchor.hash:
            where = f"{hits[0]['_index']}/{hits[0]['_id']}"
            yield TrailProblem("changed", anchor.id, anchor.sequence, where, "it is not the record that was anchored")


def _signature(said: dict[str, Any], key: bytes) -> str:
    return hmac.digest(key, chain.canonical(said), hashlib.sha256).hex()
