"""What the records in Elasticsearch tell about the last minutes and days: aggregations, in one request."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from elasticsearch import Elasticsearch

from ..client import addresses_for_people, translated_errors
from ..diagnosis import refusal
from ..records import indices, parse_timestamp, timestamp
from ..settings import Settings
from .options import RuleOptions, objective_s

# Windows of the latency objective, in seconds: a long one, and a short one that ends the alarm soon after the cause.
BURN_WINDOWS = (300, 1800, 3600, 21_600)
DURATIONS_OVER = timedelta(days=7)
DURATIONS_EVERY = timedelta(minutes=10)  # of a week, which is the one expensive aggregation
SIZE = 1000  # functions, queues and hosts in one answer
LOST_AFTER = timedelta(days=1)  # a shipper or host that was silent for longer was taken away

_QUEUE, _FUNCTION = "messaging.destination.name", "code.function.name"


@dataclass(frozen=True, slots=True)
class Endings:
    """Ended executions of a function. `failed`: of them; `dead`: jobs that failed for good."""

    total: int
    failed: int
    dead: int


@dataclass(frozen=True, slots=True)
class Durations:
    """How long executions of a function took over the last week."""

    count: int
    p99_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipperStatus:
    """The last status of a shipper. `dead_letters`: new ones in the last 15 minutes."""

    host: str
    at: datetime
    state: str
    backlog_bytes: int
    backlog_age_s: float
    dead_letters: int
    service: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """`starts`: (queue, window) → (started jobs, those that had waited longer than the queue's objective)."""

    at: datetime
    starts: Mapping[tuple[str, int], tuple[int, int]] = field(default_factory=dict)
    endings: Mapping[str, Endings] = field(default_factory=dict)
    dead: Mapping[str, int] = field(default_factory=dict)
    durations: Mapping[str, Durations] = field(default_factory=dict)
    shippers: Sequence[ShipperStatus] = ()
    hosts: Mapping[str, datetime] = field(default_factory=dict)
    """Host → the time of its last job record."""
    early: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    """Host → (jobs that started before they were pushed, the largest difference in seconds): clocks differ."""
    shared: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(queue, Redis) → the services whose watches see workers on it, if several do."""


class Historian:
    """Asks Elasticsearch. Remembers the durations, which are asked for less often. Not thread-safe."""

    def __init__(self, search: Elasticsearch, settings: Settings, options: RuleOptions) -> None:
        self._search = search
        self._settings = settings
        self._options = options
        self._durations: Mapping[str, Durations] = {}
        self._durations_at: datetime | None = None

    def read(self, at: datetime) -> History:
        """Raises DestinationError."""
        settings = self._settings
        requests = [
            *_request(settings, "rq.job", at, timedelta(seconds=max(BURN_WINDOWS)), self._job_aggregations(at)),
            *_request(settings, "rq.shipper", at, LOST_AFTER, _shippers(at), only_ours=False),
            *_request(settings, "rq.queue", at, timedelta(minutes=15), _SHARED, only_ours=False),
        ]
        asks_durations = self._durations_at is None or at - self._durations_at >= DURATIONS_EVERY
        if asks_durations:
            requests += _request(settings, "rq.job", at, DURATIONS_OVER, _DURATIONS)
        with translated_errors(settings):
            answers = self._search.msearch(searches=requests)["responses"]
        for answer in answers:
            if "error" in answer:  # of one search; no answer is not the same as nothing found
                raise refusal(answer["status"], str(answer["error"].get("type")), addresses_for_people(settings))
        found = [answer.get("aggregations", {}) for answer in answers]
        if asks_durations:
            self._durations = dict(_durations(found[3]))
            self._durations_at = at
        jobs = found[0]
        return History(
            at=at,
            starts=dict(_starts(jobs, settings)),
            endings={name: one for name, one in _endings(jobs, "endings") if one.total},
            dead={name: one.dead for name, one in _endings(jobs, "dead") if one.dead},
            durations=self._durations,
            shippers=tuple(_statuses(found[1])),
            hosts={one["key"]: _moment(one["last"]) for one in _buckets(jobs, "hosts")},
            early=dict(_early(jobs)),
            shared=dict(_shared(found[2])),
        )

    def _job_aggregations(self, at: datetime) -> dict[str, Any]:
        objectives = sorted({*self._settings.objectives.values(), objective_s(self._settings, "\0")})
        late = {f"{seconds:g}": {"range": {"rq.lag_ms": {"gt": seconds * 1000}}} for seconds in objectives}
        started = {"term": {"event.action": "job-started"}}
        windows = {str(window): _since(at, window) for window in BURN_WINDOWS}
        by_queue = {"terms": {"field": _QUEUE, "size": SIZE}, "aggs": {"late": {"filters": {"filters": late}}}}
        ended = {
            "by_function": {
                "terms": {"field": _FUNCTION, "size": SIZE},
                "aggs": {
                    "actions": {"terms": {"field": "event.action", "size": 10}},
                },
            }
        }
        options = self._options
        skew_ms = options.clock_skew.max * 1000
        return {
            "starts": {
                "filter": started,
                "aggs": {"windows": {"filters": {"filters": windows}, "aggs": {"queues": by_queue}}},
            },
            "endings": {"filter": _all(_ended_since(at, options.function_failures.window), _RAN), "aggs": ended},
            "dead": {"filter": _ended_since(at, options.dead_jobs.window), "aggs": ended},
            "hosts": {
                "terms": {"field": "host.name", "size": SIZE},
                "aggs": {"last": {"max": {"field": "@timestamp"}}},
            },
            "early": {
                "filter": _all(_since(at, 900), started, {"range": {"rq.lag_ms": {"lt": -skew_ms}}}),
                "aggs": {
                    "hosts": {
                        "terms": {"field": "host.name", "size": SIZE},
                        "aggs": {"least": {"min": {"field": "rq.lag_ms"}}},
                    }
                },
            },
        }


# A job whose time to live ran out in the queue is dead, but it was never executed: it is no failed execution.
_RAN = {"bool": {"must_not": {"term": {"event.reason": "expired"}}}}
_ENDED_ACTIONS = ("job-finished", "job-retried", "job-dead")

_DURATIONS = {
    "by_function": {
        "terms": {"field": _FUNCTION, "size": SIZE},
        "aggs": {
            "measured": {"value_count": {"field": "event.duration"}},
            "p99": {"percentiles": {"field": "event.duration", "percents": [99]}},
        },
    }
}

_SHARED = {
    "working": {
        "filter": {"range": {"rq.queue.workers": {"gt": 0}}},
        "aggs": {
            "queues": {
                "terms": {"field": _QUEUE, "size": SIZE},
                "aggs": {
                    "redis": {
                        "terms": {"field": "rq.redis.run_id", "size": 10},
                        "aggs": {
                            "databases": {
                                "terms": {"field": "rq.redis.database", "size": 16},
                                "aggs": {"services": {"terms": {"field": "service.name", "size": 10}}},
                            }
                        },
                    }
                },
            }
        },
    }
}


def _shippers(at: datetime) -> dict[str, Any]:
    return {
        "hosts": {
            "terms": {"field": "host.name", "size": SIZE},
            "aggs": {
                "last": {
                    "top_hits": {
                        "size": 1,
                        "sort": [{"@timestamp": "desc"}],
                        "_source": ["@timestamp", "shipper", "host", "service"],
                    }
                },
                "recent": {
                    "filter": _since(at, 900),
                    "aggs": {
                        "processes": {
                            "terms": {"field": "process.pid", "size": 10},
                            "aggs": {
                                "most": {"max": {"field": "shipper.dead_letters"}},
                                "least": {"min": {"field": "shipper.dead_letters"}},
                            },
                        }
                    },
                },
            },
        }
    }


def _request(
    settings: Settings,
    dataset: str,
    at: datetime,
    back: timedelta,
    aggregations: Mapping[str, Any],
    *,
    only_ours: bool = True,
) -> list[dict[str, Any]]:
    """A search of `msearch`: header and body."""
    filters = [_since(at, back.total_seconds())]
    filters += [{"term": {"event.dataset": dataset}}] if dataset == "rq.queue" else []
    filters += [{"terms": {"service.name": list(settings.every_service)}}] if only_ours else []
    return [
        {"index": indices(dataset, settings.namespace), "ignore_unavailable": True, "allow_no_indices": True},
        {"size": 0, "track_total_hits": False, "query": _all(*filters), "aggs": aggregations},
    ]


def _all(*clauses: Mapping[str, Any]) -> dict[str, Any]:
    return {"bool": {"filter": list(clauses)}}


def _since(at: datetime, seconds: float) -> dict[str, Any]:
    return {"range": {"@timestamp": {"gte": timestamp(at - timedelta(seconds=seconds))}}}


def _ended_since(at: datetime, seconds: float) -> dict[str, Any]:
    return _all(_since(at, seconds), {"terms": {"event.action": list(_ENDED_ACTIONS)}})


def _buckets(found: Mapping[str, Any], *path: str) -> Sequence[Mapping[str, Any]]:
    for name in path:
        found = found.get(name, {})
    buckets: Sequence[Mapping[str, Any]] = found.get("buckets", [])
    return buckets


def _moment(aggregation: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(aggregation["value"] / 1000, UTC)


def _starts(jobs: Mapping[str, Any], settings: Settings) -> Iterator[tuple[tuple[str, int], tuple[int, int]]]:
    windows = jobs.get("starts", {}).get("windows", {}).get("buckets", {})
    for window, answer in windows.items():
        for bucket in _buckets(answer, "queues"):
            seconds = objective_s(settings, bucket["key"])
            late = bucket["late"]["buckets"][f"{seconds:g}"]["doc_count"]
            yield (bucket["key"], int(window)), (bucket["doc_count"], late)


def _endings(jobs: Mapping[str, Any], name: str) -> Iterator[tuple[str, Endings]]:
    for bucket in _buckets(jobs, name, "by_function"):
        counts = {one["key"]: one["doc_count"] for one in bucket["actions"]["buckets"]}
        dead, retried = counts.get("job-dead", 0), counts.get("job-retried", 0)
        yield bucket["key"], Endings(sum(counts.values()), dead + retried, dead)


def _durations(found: Mapping[str, Any]) -> Iterator[tuple[str, Durations]]:
    for bucket in _buckets(found, "by_function"):
        p99 = bucket["p99"]["values"].get("99.0")
        if p99 is not None:
            yield bucket["key"], Durations(int(bucket["measured"]["value"]), p99 / 1e9)


def _statuses(found: Mapping[str, Any]) -> Iterator[ShipperStatus]:
    for bucket in _buckets(found, "hosts"):
        source = bucket["last"]["hits"]["hits"][0]["_source"]
        status = source.get("shipper", {})
        new = sum(int(one["most"]["value"] - one["least"]["value"]) for one in _buckets(bucket, "recent", "processes"))
        yield ShipperStatus(
            host=bucket["key"],
            at=parse_timestamp(source["@timestamp"]),
            state=str(status.get("state", "")),
            backlog_bytes=int(status.get("backlog_bytes", 0)),
            backlog_age_s=float(status.get("backlog_age_s", 0)),
            dead_letters=new,
        )


def _early(jobs: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, float]]]:
    for bucket in _buckets(jobs, "early", "hosts"):
        yield bucket["key"], (bucket["doc_count"], -float(bucket["least"]["value"]) / 1000)


def _shared(found: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    for queue in _buckets(found, "working", "queues"):
        for redis in _buckets(queue, "redis"):
            for database in _buckets(redis, "databases"):
                services = tuple(sorted(one["key"] for one in _buckets(database, "services")))
                if len(services) > 1:
                    yield (queue["key"], f"{redis['key'][:12]}/{database['key']}"), services
