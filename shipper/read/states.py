"""The state documents that match, page by page."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal

from elasticsearch import Elasticsearch

from ..client import translated_errors
from ..settings import Settings
from ..state import index_name
from .paging import pages, snapshot

PAGE = 1000


def matching(
    client: Elasticsearch, settings: Settings, filters: list[dict[str, Any]], order: Literal["asc", "desc"]
) -> Generator[dict[str, Any], None, None]:
    """The hits, with `_id`, `_version` and `_source`, by the time of their last change. Raises DestinationError.

    They are of one moment: a job that changes between two pages would move to where nobody looks any more. In a
    snapshot Elasticsearch sorts hits of the same times by their place, so that none is lost at a page's edge.
    """
    with translated_errors(settings), snapshot(client, index_name(settings.namespace)) as pit:
        for hits in pages(
            client, pit=pit, version=True, size=PAGE,
            query={"bool": {"filter": filters}},
            sort=[{"updated_at": order}, {"created_at": {"order": order, "missing": "_last"}}],
        ):  # fmt: skip
            yield from hits
