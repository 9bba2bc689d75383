"""Reads which alarms are open in Elasticsearch: those of another watcher, or of this one before it lost its state."""

from __future__ import annotations

from datetime import datetime, timedelta

from elasticsearch import Elasticsearch

from ..client import translated_errors
from ..records import indices, timestamp
from ..settings import Settings
from . import alert_records
from .alarms import Alarm

BACK = timedelta(days=60)  # an alarm that has been open for longer is opened again
SIZE = 2000  # openings and closings


def read(search: Elasticsearch, settings: Settings, now: datetime) -> list[Alarm]:
    """The open alarms of this namespace's services. Raises DestinationError."""
    with translated_errors(settings):
        hits = search.search(
            index=indices(alert_records.DATASET, settings.namespace),
            ignore_unavailable=True,
            query={
                "bool": {
                    "filter": [
                        {"range": {"event.created": {"gte": timestamp(now - BACK)}}},
                        {"terms": {"service.name": list(settings.every_service)}},
                    ]
                }
            },
            sort=[{"event.created": {"order": "desc", "unmapped_type": "date"}}],
            size=SIZE,
            track_total_hits=False,
        )["hits"]["hits"]
    return alert_records.open_alarms(hit["_source"] for hit in hits)
