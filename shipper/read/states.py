"""The state documents that match, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from elasticsearch import Elasticsearch

from ..client import translated
from ..settings import Settings
from ..state import index_name

PAGE = 1000


def matching(
    client: Elasticsearch, settings: Settings, filters: list[dict[str, Any]], order: Literal["asc", "desc"]
) -> Iterator[dict[str, Any]]:
    """The hits, with `_id`, `_version` and `_source`, by the time of their last change. Raises DestinationError."""
    after = None
    with translated(settings):
        while True:
            hits = client.search(
                index=index_name(settings.namespace), ignore_unavailable=True, version=True, size=PAGE,
                query={"bool": {"filter": filters}},
                sort=[{"updated_at": order}, {"created_at": {"order": order, "missing": "_last"}}],
                search_after=after,
            )["hits"]["hits"]  # fmt: skip
            yield from hits
            if len(hits) < PAGE:
                return
            after = hits[-1]["sort"]
