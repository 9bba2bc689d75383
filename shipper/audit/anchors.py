"""Anchors: heads of chains that are kept elsewhere, to be compared with later.

An anchor of a signed chain has the signature of its last seal, so that nobody else could have made it. Others are
signed with the HMAC key, if there is one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import orjson
from elasticsearch import Elasticsearch

from ..errors import ShipperError
from ..records import indices, parse_timestamp, timestamp
from ..settings import Settings
from . import chain
from .chain import Head, Keys
from .report import ChainEnd, Report, TrailProblem
from .signing import Check

VERSION = 2


class Anchors(NamedTuple):
    """The content of an anchor file: heads and when they were anchored.

    `unchecked`: of how many the signature cannot be checked, as there is no key for it here.
    """

    heads: list[tuple[Head, datetime]]
    problems: list[TrailProblem]
    unchecked: int


def lines(ends: Iterable[ChainEnd], keys: Keys, now: datetime) -> list[bytes]:
    """The ends of chains as lines of an anchor file: one JSON object each."""
    made = []
    for end in ends:
        head, signer, signature = end.sealed or (end.head, "", "")
        anchor: dict[str, Any] = {"version": VERSION, "@timestamp": timestamp(now), **head._asdict()}
        if signer:
            anchor |= {"signer": signer, "signature": signature}
        elif keys.current is not None:
            anchor["key"] = chain.key_id(keys.current)
            anchor["signature"] = _signature(anchor, keys.current)
        made.append(orjson.dumps(anchor, option=orjson.OPT_APPEND_NEWLINE))
    return made


def parse(content: bytes, keys: Keys, signers: Mapping[str, Check]) -> Anchors:
    """The heads of an anchor file. With keys, a line that is not signed with one of them is a problem.

    Raises ShipperError for a line that is no anchor.
    """
    found = Anchors([], [], 0)
    unchecked = 0
    for number, line in enumerate(content.splitlines(), 1):
        try:
            anchor = orjson.loads(line)
            signature = anchor.pop("signature", None)
            head = Head(str(anchor["id"]), int(anchor["sequence"]), str(anchor["hash"]))
            at = parse_timestamp(anchor["@timestamp"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            raise ShipperError(f"Line {number} of the anchors is no anchor.") from None
        found.heads.append((head, at))
        verdict = _is_signed(anchor, head, signature, keys, signers)
        if verdict is None:
            unchecked += signature is not None
        elif not verdict:
            detail = f"line {number} of the anchors is not signed with a key of ours"
            found.problems.append(TrailProblem("anchor", head.id, head.sequence, "", detail))
    return found._replace(unchecked=unchecked)


def _is_signed(
    anchor: dict[str, Any], head: Head, signature: Any, keys: Keys, signers: Mapping[str, Check]
) -> bool | None:
    """Whether the anchor is signed with one of the keys; None without keys for it."""
    if signers and "signer" in anchor:
        check = signers.get(anchor["signer"])
        return check is not None and check(chain.signed_message(head), str(signature))
    if keys.by_id and "signer" not in anchor:
        key = keys.by_id.get(str(anchor.get("key")))
        return key is not None and hmac.compare_digest(str(signature), _signature(anchor, key))
    return False if signers and "key" not in anchor else None


def compare(
    client: Elasticsearch, settings: Settings, report: Report, anchors: Anchors, keys: Keys, now: datetime
) -> None:
    """Add to the report: anchored records that are missing (the chain's end was cut off) or are others now."""
    report.findings += anchors.problems
    report.unchecked += anchors.unchecked
    kept_since = now - timedelta(days=settings.retention["audit"])
    for head, at in anchors.heads:
        where: list[dict[str, Any]] = [
            {"term": {"audit.chain.id": head.id}},
            {"term": {"event.sequence": head.sequence}},
        ]
        hits = client.search(
            index=indices("rq.audit", settings.namespace),
            ignore_unavailable=True,
            size=1,
            query={"bool": {"filter": where}},
        )["hits"]["hits"]
        if hits:
            report.findings += _compared(head, hits[0], keys)
        elif at > kept_since and not any(end.id == head.id and end.sequence > head.sequence for end in report.heads):
            detail = "the chain once reached to here, and does no more"
            report.findings.append(TrailProblem("cut", head.id, head.sequence, "", detail))


def _compared(head: Head, hit: dict[str, Any], keys: Keys) -> Iterator[TrailProblem]:
    """The hash is computed again: the one that the document states may be copied. Without the key it stays unchecked,
    which the check of the chain counts."""
    checked = chain.check(hit["_source"], keys)
    if checked is None or checked.head != head or checked.verdict not in ("good", "erased", "unchecked"):
        place = f"{hit['_index']}/{hit['_id']}"
        yield TrailProblem("changed", head.id, head.sequence, place, "it is not the record that was anchored")


def _signature(anchor: dict[str, Any], key: bytes) -> str:
    return hmac.digest(key, chain.canonical(anchor), hashlib.sha256).hex()
