"""How soon after its end a job can be found: measured from outside, by asking Elasticsearch all the time."""

from __future__ import annotations

import statistics
import threading
from datetime import UTC, datetime

from elasticsearch import ApiError, Elasticsearch

ASK_EVERY_S = 0.03


WARM_ENDINGS = 20
"""A server that has just begun makes its first index and compiles its code at the first records."""


class Freshness:
    """Asks for the newest endings of jobs in a thread of its own. `delays_s` holds a figure for each.

    `cold` is how many are left out: those of before WARM_ENDINGS of them could be found.
    """

    def __init__(self, url: str, index: str) -> None:
        self.delays_s: dict[str, float] = {}
        self._cold: set[str] = set()
        self._warm_since: datetime | None = None
        self._client = Elasticsearch(url, max_retries=0)
        self._index = index
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    @property
    def cold(self) -> int:
        return len(self._cold)

    def percentile(self, percent: int) -> float:
        """Seconds. 0 if nothing was seen."""
        figures = sorted(self.delays_s.values())
        if len(figures) < 2:
            return figures[0] if figures else 0.0
        return statistics.quantiles(figures, n=100, method="inclusive")[percent - 1]

    def _watch(self) -> None:
        while not self._stop.wait(ASK_EVERY_S):
            try:
                answer = self._client.search(
                    index=self._index,
                    ignore_unavailable=True,
                    allow_no_indices=True,
                    query={"exists": {"field": "event.end"}},
                    sort=[{"@timestamp": "desc"}],
                    size=200,
                    source=["event.end"],
                )
            except ApiError:
                continue  # the index is just being made
            now = datetime.now(UTC)
            for hit in answer["hits"]["hits"]:
                ended = datetime.fromisoformat(hit["_source"]["event"]["end"])
                if self._warm_since is None or ended < self._warm_since:
                    self._cold.add(hit["_id"])
                else:
                    self.delays_s.setdefault(hit["_id"], (now - ended).total_seconds())
            if self._warm_since is None and len(self._cold) >= WARM_ENDINGS:
                self._warm_since = now
