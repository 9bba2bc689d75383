"""Searches job ids by their beginning, and the jobs that come from a job."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..client import translated_errors
from ..fields import text, time_of
from ..records import indices
from ..settings import Settings

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_ID = "messaging.message.id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A job, with its function and the last that is recorded of it."""

    job_id: str
    function: str | None
    action: str | None
    at: datetime | None


def beginning_with(client: Elasticsearch, settings: Settings, prefix: str, size: int) -> list[Found]:
    """At most `size` jobs whose ids begin so, latest first. Raises DestinationError."""
    return _jobs(client, settings, {"prefix": {_ID: prefix}}, size)


def children(client: Elasticsearch, settings: Settings, job_id: str, size: int = 100) -> list[Found]:
    """At most `size` jobs that the job enqueued, or that waited for it, latest first. Raises DestinationError."""
    either = [{"term": {"rq.parent_job_id": job_id}}, {"term": {"rq.depends_on": job_id}}]
    return _jobs(client, settings, {"bool": {"should": either, "minimum_should_match": 1}}, size)


def by_ids(client: Elasticsearch, settings: Settings, ids: list[str]) -> list[Found]:
    """Those of these jobs that have records. Raises DestinationError."""
    return _jobs(client, settings, {"terms": {_ID: ids}}, len(ids)) if ids else []


def _jobs(client: Elasticsearch, settings: Settings, which: dict[str, Any], size: int) -> list[Found]:
    latest = {
        "top_hits": {
            "size": 1,
            "sort": [{"@timestamp": "desc"}],
            "_source": ["@timestamp", "event.action", "code.function.name"],
        }
    }
    terms = {"field": _ID, "size": size, "order": {"latest_at": "desc"}}
    with translated_errors(settings):
        answer = client.search(
            index=indices("rq.job", settings.namespace),
            ignore_unavailable=True,
            size=0,
            query={"bool": {"filter": [which]}},
            aggs={"jobs": {"terms": terms, "aggs": {"latest": latest, "latest_at": {"max": {"field": "@timestamp"}}}}},
        )
    buckets = answer.get("aggregations", {}).get("jobs", {}).get("buckets", [])
    return [_found(str(bucket["key"]), bucket["latest"]["hits"]["hits"][0]["_source"]) for bucket in buckets]


def _found(job_id: str, record: dict[str, Any]) -> Found:
    return Found(
        job_id=job_id,
        function=text(record, "code", "function", "name"),
        action=text(record, "event", "action"),
        at=time_of(record),
    )
