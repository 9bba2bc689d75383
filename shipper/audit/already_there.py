"""Compares records that the shipper could not index, as their id was taken, with the documents that have the ids.

The shipper is told of a taken id with 409. Mostly it sent the record twice. It cannot read the document, so it reports
the record's hash (shipper/ship/bulk/already_there.py), for whoever can read to compare.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from elasticsearch import Elasticsearch

from ..read.paging import pages, snapshot
from ..records import ALREADY_THERE, content_hash, indices, timestamp
from ..settings import Settings
from .report import TrailProblem

PAGE = 100


def compare(client: Elasticsearch, settings: Settings, since: datetime | None) -> Iterator[TrailProblem]:
    """The documents that are not what the shipper was told is there already."""
    reports = indices("rq.shipper", settings.namespace)
    client.options(ignore_status=403).indices.refresh(index=reports, ignore_unavailable=True)
    where: list[dict[str, Any]] = [{"term": {"event.action": ALREADY_THERE}}]
    if since is not None:
        where.append({"range": {"@timestamp": {"gte": timestamp(since)}}})
    with snapshot(client, reports) as pit:
        found = pages(client, pit=pit, size=PAGE, sort=[{"_shard_doc": "asc"}], query={"bool": {"filter": where}})
        for page in found:
            for hit in page:
                yield from _compared(client, hit["_source"].get("shipper", {}).get("already_there"))


def _compared(client: Elasticsearch, told: Any) -> Iterator[TrailProblem]:
    told = [one for one in told if _is_told(one)] if isinstance(told, list) else []
    if not told:
        return
    docs = [{"_index": one["index"], "_id": one["id"]} for one in told]
    for one, found in zip(told, client.mget(docs=docs)["docs"], strict=True):
        where = f"{one['index']}/{one['id']}"
        if found.get("found") and content_hash(found["_source"]) not in (one["hash"], ""):
            detail = f"the record of this id that was written on {one.get('host', 'a host')} is another one"
            yield TrailProblem("displaced", "", 0, where, detail)


def _is_told(one: Any) -> bool:
    return isinstance(one, dict) and all(isinstance(one.get(name), str) for name in ("index", "id", "hash"))
