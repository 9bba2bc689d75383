"""Alert rules: payloads for `POST /api/alerting/rule/{id}`.

There is one alarm system: `shipper watch` decides what is wrong (docs/watch.md). Kibana's rules pass on what it opened,
and say if the watch itself is silent.

They are no saved objects of the file, because an import leaves rules disabled. Each is of Kibana's type `.es-query`
(an Elasticsearch query, its count, and a threshold), which every licence has. They come without actions: whom to tell
is added in Kibana, and stays when they are installed again.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from .words import ACTION, DATASET, RULE, SUBJECT, TIME


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Tell somebody when, of the records of the last `minutes`, `compare threshold` holds of their number.

    `groups`: fields. Then it is counted, and told, for each of their values.
    """

    name: str
    title: str
    indices: tuple[str, ...]
    minutes: int
    compare: str
    threshold: float
    filters: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    time: str = TIME
    groups: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Kibana takes only random-looking UUIDs for rules; this one is the same each time."""
        digest = hashlib.sha256(f"rq-shipper rule {self.name}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    def built(self) -> dict[str, Any]:
        """`id` and the `payload` that creates it."""
        query = {"query": {"bool": {"filter": list(self.filters)}}}
        grouped = {"groupBy": "top", "termField": list(self.groups)} if self.groups else {"groupBy": "all"}
        params = {
            "searchType": "esQuery",
            "index": list(self.indices),
            "timeField": self.time,
            "esQuery": json.dumps(query),
            "size": 10,
            "timeWindowSize": self.minutes,
            "timeWindowUnit": "m",
            "threshold": [self.threshold],
            "thresholdComparator": self.compare,
            "aggType": "count",
            "termSize": 100,
            "excludeHitsFromPreviousRun": False,
            **grouped,
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
    # By when it was noticed: `@timestamp` is since when it is so, which may be long ago. The window is wide, so that a
    # record that the shipper could send only after some minutes is still seen.
    Rule(
        name="alarms", title="RQ: the watch opened an alarm", indices=("rq-alert-*",), minutes=15, compare=">",
        threshold=0, time="event.created", groups=(RULE, SUBJECT),
        filters=({"term": {"event.kind": "alert"}}, {"term": {ACTION: "alarm-opened"}}),
    ),
    # It samples Redis four times a minute, whatever happens there.
    Rule(
        name="watch-silent", title="RQ: the watch is silent", indices=("rq-metric-*",), minutes=5, compare="<",
        threshold=1, filters=({"term": {DATASET: "rq.redis"}},),
    ),
)  # fmt: skip
