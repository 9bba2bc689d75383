"""Reports audit records whose id was taken already, with their hashes: `shipper audit verify` compares.

Mostly the shipper sent such a record twice. But whoever knows the id that a record will have may write another one in
its place, and the shipper cannot read what is there. The report is sent before the position moves past the records.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import orjson

from ...records import ALREADY_THERE, Record, begin, content_hash, encode, record_id, timestamp
from ...service import ServiceInfo
from ...settings import Settings
from ..reader.document import Place, document
from ..reader.items import Item

REPORT_SIZE = 500  # records in one report, which is about 80 kB then
_AUDIT_INDEX = b'"_index":"rq-audit-'


def is_audit(item: Item) -> bool:
    return _AUDIT_INDEX in item.document.action


def reports(items: Sequence[Item], settings: Settings) -> Iterator[Item]:
    """The reports on these records as documents of the shipper's own."""
    service = ServiceInfo.here(settings)
    for start in range(0, len(items), REPORT_SIZE):
        part = items[start : start + REPORT_SIZE]
        line = encode(_report([_told(item, service.host["name"]) for item in part], service))[:-1]
        made, _ = document(line, Place("", "", 0), settings, datetime.now(UTC))
        yield Item(replace(made, is_record=False), line, "<shipper>", 0)


def _told(item: Item, host: str) -> dict[str, str]:
    action = orjson.loads(item.document.action)["create"]
    return {
        "index": action["_index"],
        "id": action["_id"],
        "hash": content_hash(orjson.loads(item.document.source)),
        "host": host,
    }


def _report(told: list[dict[str, str]], service: ServiceInfo) -> Record:
    now = datetime.now(UTC)
    identifier = record_id(now, *(one["id"] for one in told), str(service.pid))
    event = {"kind": "event", "category": ["process"], "type": ["info"], "action": ALREADY_THERE}
    return begin(timestamp(now), identifier, "rq.shipper", event) | {
        "ecs": service.ecs,
        "message": f"{len(told)} audit records were there already",
        "service": {**service.service, "name": "shipper"},
        "host": service.host,
        "process": {"pid": service.pid},
        "shipper": {"already_there": told},
    }
