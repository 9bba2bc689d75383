"""The state documents that match, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from elasticsearch import Elasticsearch

from ..client import translated
from ..settings import Settings
from ..state import index_name
from .paging import pages

PAGE = 1000


def matching(
    client: Elasticsearch, settings: Settings, filters: list[dict[str, Any]], order: Literal["asc", "desc"]
) -> Iterator[dict[str, Any]]:
    """The hits, with `_id`, `_version` and `_source`, by the time of their last change. Raises DestinationError."""
    with translated(settings):
        for hits in pages(
            client, index=index_name(settings.namespace), ignore_unavailable=True, version=True, size=PAGE,
            query={"bool": {"filter": filters}},
            sort=[{"updated_at": order}, {"created_at": {"order": order, "missing": "_last"}}],
        ):  # fmt: skip
            yield from hits
