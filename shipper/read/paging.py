"""Pages through all hits of a search, with `search_after` and a point in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from elastic_transport import TransportError

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch


KEEP_ALIVE = "2m"  # of the point in time, from one page to the next

Page = list[dict[str, Any]]


@contextmanager
def snapshot(client: Elasticsearch, index: str | Sequence[str]) -> Iterator[dict[str, Any]]:
    """A point in time of the indices, to be used as `pit` of a search: later writes do not affect it."""
    from elasticsearch import ApiError

    identifier = client.open_point_in_time(index=index, keep_alive=KEEP_ALIVE, ignore_unavailable=True)["id"]
    try:
        yield {"id": identifier, "keep_alive": KEEP_ALIVE}
    finally:
        with suppress(ApiError, TransportError):  # then it ends by itself, and what was found is shown
            client.close_point_in_time(id=identifier)


def pages(client: Elasticsearch, *, size: int, sort: list[dict[str, Any]], **search: Any) -> Iterator[Page]:
    """The hits of a search in the order of `sort`, in pages of at most `size`. No page is empty."""
    after = None
    while True:
        answer = client.search(size=size, sort=sort, search_after=after, track_total_hits=False, **search)
        hits: Page = answer["hits"]["hits"]
        if hits:
            yield hits
        if len(hits) < size:
            return
        after = hits[-1]["sort"]
