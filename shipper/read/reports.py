"""The reports of `shipper top`: tables of functions and queues, each from one aggregation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..client import translated_errors
from ..records import indices
from ..settings import Settings
from .timeline import Query, filters

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

NS_PER_S = 1_000_000_000

_ENDED = {"exists": {"field": "event.duration"}}
_DURATION = {"field": "event.duration"}
_LAG = {"field": "rq.lag_ms"}
_SIZE = {"field": "messaging.message.body.size"}


@dataclass(frozen=True, slots=True)
class Report:
    """A table of the records that match `filter`, grouped by the field `by`, ordered by the metric `order`.

    `metrics`: the aggregations of each row.
    `columns`: (name, path in the row's bucket, divisor). The divisor converts to the unit in the name.
    """

    title: str
    filter: Mapping[str, Any]
    by: str
    order: str
    metrics: Mapping[str, Any]
    columns: tuple[tuple[str, str, float], ...]


_TIMES = {
    "total": {"sum": _DURATION},
    "percentiles": {"percentiles": {**_DURATION, "percents": [50, 95]}},
    "max": {"max": _DURATION},
}
_TIME_COLUMNS = (
    ("jobs", "doc_count", 1),
    ("total_s", "total.value", NS_PER_S),
    ("p50_s", "percentiles.values.50.0", NS_PER_S),
    ("p95_s", "percentiles.values.95.0", NS_PER_S),
    ("max_s", "max.value", NS_PER_S),
)
_FUNCTION, _QUEUE = "code.function.name", "messaging.destination.name"

REPORTS: Mapping[str, Report] = {
    "functions_by_total_time": Report(
        "Functions that take the most time in all", _ENDED, _FUNCTION, "total", _TIMES, _TIME_COLUMNS
    ),
    "slowest_functions": Report(
        "Slowest functions (by p95)", _ENDED, _FUNCTION, "percentiles.95", _TIMES, _TIME_COLUMNS
    ),
    "functions_by_payload": Report(
        "Functions whose payloads bloat Redis",
        {"term": {"event.action": "job-enqueued"}},
        _FUNCTION,
        "total",
        {"total": {"sum": _SIZE}, "mean": {"avg": _SIZE}, "max": {"max": _SIZE}},
        (
            ("jobs", "doc_count", 1),
            ("total_kb", "total.value", 1000),
            ("mean_kb", "mean.value", 1000),
            ("max_kb", "max.value", 1000),
        ),
    ),
    "queues_by_demand": Report(
        "Queues that accrue the most demand (jobs × duration)", _ENDED, _QUEUE, "total", _TIMES, _TIME_COLUMNS
    ),
    "queues_by_lag": Report(
        "Queues whose jobs wait longest",
        {"term": {"event.action": "job-started"}},
        _QUEUE,
        "percentiles.95",
        {"percentiles": {"percentiles": {**_LAG, "percents": [50, 95]}}, "max": {"max": _LAG}},
        (
            ("jobs", "doc_count", 1),
            ("p50_s", "percentiles.values.50.0", 1000),
            ("p95_s", "percentiles.values.95.0", 1000),
            ("max_s", "max.value", 1000),
        ),
    ),
}


def run(client: Elasticsearch, settings: Settings, criteria: Query, size: int = 10) -> dict[str, list[dict[str, Any]]]:
    """The rows of every report in REPORTS, by its name: `name` and the columns. Raises DestinationError."""
    with translated_errors(settings):
        answer = client.search(
            index=indices("rq.job", settings.namespace),
            ignore_unavailable=True,
            size=0,
            query={"bool": {"filter": filters(criteria)}},
            aggs={name: _aggregation(report, size) for name, report in REPORTS.items()},
        )
    aggregations = answer.get("aggregations", {})
    return {name: _rows(report, aggregations.get(name, {})) for name, report in REPORTS.items()}


def executions(client: Elasticsearch, settings: Settings, criteria: Query, size: int = 10) -> list[dict[str, Any]]:
    """The executions that took longest: `ended`, `duration_s`, `function`, `queue`, `job`. Raises DestinationError."""
    with translated_errors(settings):
        answer = client.search(
            index=indices("rq.job", settings.namespace),
            ignore_unavailable=True,
            size=size,
            query={"bool": {"filter": [*filters(criteria), _ENDED]}},
            sort=[{"event.duration": {"order": "desc", "unmapped_type": "long"}}, {"@timestamp": "asc"}],
            source_includes=["@timestamp", "event.duration", _FUNCTION, _QUEUE, "messaging.message.id"],
        )
    return [_execution(hit["_source"]) for hit in answer["hits"]["hits"]]


def _execution(record: Mapping[str, Any]) -> dict[str, Any]:
    messaging = record.get("messaging", {})
    return {
        "ended": record["@timestamp"],
        "duration_s": record["event"]["duration"] / NS_PER_S,
        "function": record.get("code", {}).get("function", {}).get("name", "-"),
        "queue": messaging.get("destination", {}).get("name", "-"),
        "job": messaging.get("message", {}).get("id", "-"),
    }


def _aggregation(report: Report, size: int) -> dict[str, Any]:
    terms = {"field": report.by, "size": size, "order": {report.order: "desc"}}
    return {"filter": report.filter, "aggs": {"rows": {"terms": terms, "aggs": report.metrics}}}


def _rows(report: Report, aggregation: Mapping[str, Any]) -> list[dict[str, Any]]:
    buckets = aggregation.get("rows", {}).get("buckets", [])
    return [
        {"name": bucket["key"], **{name: _value(bucket, path, per) for name, path, per in report.columns}}
        for bucket in buckets
    ]


def _value(bucket: Mapping[str, Any], path: str, per: float) -> float | int | None:
    value: Any = bucket
    head, _, rest = path.partition(".values.")  # the keys of percentiles contain dots: "95.0"
    for key in head.split("."):
        value = value[key]
    if rest:
        value = value["values"][rest]
    if value is None or per == 1:
        return value  # type: ignore[no-any-return]
    return round(float(value) / per, 3)
