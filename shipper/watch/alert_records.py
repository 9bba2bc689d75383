"""An alarm's opening and closing as records of the dataset rq.alert (`event.kind: alert`), and back. Pure.

The record of the opening has the time since when it is so as its `@timestamp`, and the alarm's id. So the record is the
same, in the same index, whichever watcher writes it. `event.created` is when it was noticed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..records import Record, begin, parse_timestamp, record_id, timestamp
from ..service import ServiceInfo
from .alarms import Alarm, Finding, Transition
from .rules import RULES
from .rules.from_redis import span

DATASET = "rq.alert"
OPENED, CLOSED = "alarm-opened", "alarm-closed"
REFERENCE = "https://github.com/rq-shipper/rq-shipper/blob/main/docs/watch.md#{rule}"
_SEVERITIES = {"warning": 47, "critical": 99}  # event.severity is a number, and these are those of Elastic's rules


def record(transition: Transition, service: ServiceInfo, now: datetime) -> Record:
    """The record of an alarm that opened or closed. `now`: when it is written."""
    alarm, finding, is_end = transition.alarm, transition.alarm.finding, transition.kind == "closed"
    event: dict[str, Any] = {
        "kind": "alert",
        "category": ["process"],
        "type": ["end" if is_end else "start"],
        "action": CLOSED if is_end else OPENED,
        "severity": _SEVERITIES[finding.severity],
        "created": timestamp(now),
        "start": timestamp(alarm.since),
    }
    if is_end:
        event["end"] = timestamp(transition.at)
        event["duration"] = max(0, (transition.at - alarm.since) // timedelta(microseconds=1) * 1000)
    at = transition.at if is_end else alarm.since
    identifier = record_id(at, "closed", alarm.id) if is_end else alarm.id
    facts = {name: value for name, value in finding.facts.items() if value is not None}
    numbers = {"value": finding.value, "limit": finding.limit, "unit": finding.unit}
    alert = {
        "id": alarm.id,
        "subject": finding.subject,
        "state": "closed" if is_end else "open",
        "severity": finding.severity,
        **{name: value for name, value in numbers.items() if value is not None},
        **({"facts": facts} if facts else {}),
    }
    result = begin(timestamp(at), identifier, DATASET, event) | {
        "ecs": service.ecs,
        "message": _over(transition) if is_end else finding.message,
        "service": {**service.service, "name": finding.service} if finding.service else service.service,
        "host": service.host,
        "rule": {
            "name": finding.rule,
            "description": RULES[finding.rule].description,
            "reference": REFERENCE.format(rule=finding.rule),
        },
        "rq": {"alert": alert},
    }
    for name, value in finding.fields.items():
        _put(result, name, value)
    return result


def _over(transition: Transition) -> str:
    lasted = span((transition.at - transition.alarm.since).total_seconds())
    return f"Over after {lasted}. It was: {transition.alarm.finding.message}"


def _put(record: Record, name: str, value: Any) -> None:
    """Set a field by its dotted name. Objects on the way are copied, as records share them."""
    *path, last = name.split(".")
    part = record
    for key in path:
        part[key] = dict(part.get(key, {}))
        part = part[key]
    part[last] = value


def open_alarms(found: Iterable[Mapping[str, Any]]) -> list[Alarm]:
    """The alarms of which there is a record of the opening and none of the closing."""
    records = list(found)
    closed = {one["rq"]["alert"]["id"] for one in records if one["event"]["action"] == CLOSED}
    return [
        _alarm(one)
        for one in records
        if one["event"]["action"] == OPENED
        and one["rq"]["alert"]["id"] not in closed
        and one.get("rule", {}).get("name") in RULES
    ]


def _alarm(one: Mapping[str, Any]) -> Alarm:
    event, alert = one["event"], one["rq"]["alert"]
    finding = Finding(
        rule=one["rule"]["name"],
        subject=alert["subject"],
        message=one["message"],
        severity="critical" if alert.get("severity") == "critical" else "warning",
        value=alert.get("value"),
        limit=alert.get("limit"),
        unit=alert.get("unit"),
        service=one.get("service", {}).get("name"),
        facts=alert.get("facts", {}),
    )
    since = parse_timestamp(event["start"])
    return Alarm(id=alert["id"], finding=finding, since=since, opened_at=parse_timestamp(event["created"]))
