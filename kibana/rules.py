"""Alert rules: payloads for `POST /api/alerting/rule/{id}`.

They are no saved objects of the file, because an import leaves rules disabled. Each is of Kibana's type `.es-query`
(an Elasticsearch query, its count or a figure of it, and a threshold), which every licence has. They come without
actions: whom to tell is added in Kibana, and stays when they are installed again.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from .words import ACTION, LAG, LAG_OBJECTIVE_MS, TIME

EVERY_RECORD = ("rq-job-*", "rq-app-*", "rq-audit-*", "rq-shipper-*")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Tell somebody when, of the records of the last `minutes`, `compare threshold` holds of their number.

    With `largest`, of the largest value of that field instead.
    """

    name: str
    title: str
    indices: tuple[str, ...]
    minutes: int
    compare: str
    threshold: float
    filters: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    largest: str | None = None

    @property
    def id(self) -> str:
        """Kibana takes only random-looking UUIDs for rules; this one is the same each time."""
        digest = hashlib.sha256(f"rq-shipper rule {self.name}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    def built(self) -> dict[str, Any]:
        """`id` and the `payload` that creates it."""
        query = {"query": {"bool": {"filter": list(self.filters)}}}
        of: dict[str, Any] = {"aggType": "max", "aggField": self.largest} if self.largest else {"aggType": "count"}
        params = {
            "searchType": "esQuery",
            "index": list(self.indices),
            "timeField": TIME,
            "esQuery": json.dumps(query),
            "size": 10,
            "timeWindowSize": self.minutes,
            "timeWindowUnit": "m",
            "threshold": [self.threshold],
            "thresholdComparator": self.compare,
            "groupBy": "all",
            "termSize": 5,
            "excludeHitsFromPreviousRun": False,
            **of,
        }
        payload = {
            "name": self.title,
            "tags": ["rq-shipper"],
            "rule_type_id": ".es-query",
            "consumer": "stackAlerts",
            "schedule": {"interval": "1m"},
            "enabled": True,
            "params": params,
            "actions": [],
        }
        return {"id": self.id, "payload": payload}


RULES = (
    Rule(
        name="dead-jobs", title="RQ: jobs died", indices=("rq-job-*",), minutes=5, compare=">", threshold=0,
        filters=({"term": {ACTION: "job-dead"}},),
    ),
    Rule(
        name="lag", title=f"RQ: jobs wait longer than {LAG_OBJECTIVE_MS // 1000} s", indices=("rq-job-*",), minutes=5,
        compare=">", threshold=LAG_OBJECTIVE_MS, largest=LAG, filters=({"term": {ACTION: "job-started"}},),
    ),
    Rule(
        name="dead-letters", title="RQ: the shipper put records aside", indices=("rq-shipper-*",), minutes=10,
        compare=">", threshold=0, largest="shipper.dead_letters",
    ),
    # The shipper's own status counts as a record: when that fails to come, too, the way is broken.
    Rule(
        name="silence", title="RQ: no records for 10 minutes", indices=EVERY_RECORD, minutes=10, compare="<",
        threshold=1,
    ),
)  # fmt: skip
