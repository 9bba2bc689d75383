"""Searches the state documents."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal

from ..client import translated_errors
from ..settings import Settings
from ..state import index_name
from .paging import pages, snapshot

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

PAGE = 1000


def matching(
    client: Elasticsearch, settings: Settings, filters: list[dict[str, Any]], order: Literal["asc", "desc"]
) -> Generator[dict[str, Any], None, None]:
    """The hits with `_id`, `_version` and `_source`, sorted by `updated_at`. Raises DestinationError.

    They are read in a point in time, as a job that changes between two pages would move to another page. There,
    Elasticsearch sorts hits with equal times by `_shard_doc`, so that none is lost between pages.
    """
    with translated_errors(settings), snapshot(client, index_name(settings.namespace)) as pit:
        for hits in pages(
            client,
            pit=pit,
            version=True,
            size=PAGE,
            query={"bool": {"filter": filters}},
            sort=[{"updated_at": order}, {"created_at": {"order": order, "missing": "_last"}}],
        ):
            yield from hits
