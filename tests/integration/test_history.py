"""What the watch asks Elasticsearch, on a real one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from shipper import settings
from shipper.client import connect as connect_cluster
from shipper.index import setup
from shipper.records import index_name, timestamp
from shipper.settings import Settings
from shipper.watch import known, options
from shipper.watch.history import Durations, Endings, Historian, History
from tests.unit.test_gauges import KINDS

NOW = datetime.now(UTC).replace(microsecond=0)


def job(action: str, minutes: float, **fields: Any) -> dict[str, Any]:
    """A job's record, as far as it is asked for."""
    at = timestamp(NOW - timedelta(minutes=minutes))
    return {
        "@timestamp": at,
        "event": {
            "dataset": "rq.job",
            "action": f"job-{action}",
            "duration": fields.pop("ns", None),
            "reason": fields.pop("reason", None),
        },
        "service": {"name": "tests"},
        "host": {"name": fields.pop("host", "w1")},
        "messaging": {"destination": {"name": fields.pop("queue", "low")}},
        "code": {"function": {"name": fields.pop("function", "shop.f")}},
        "rq": fields,
    }


def status(minutes: float, host: str, **numbers: Any) -> dict[str, Any]:
    return {
        "@timestamp": timestamp(NOW - timedelta(minutes=minutes)),
        "event": {"dataset": "rq.shipper"},
        "host": {"name": host},
        "process": {"pid": 1},
        "shipper": {"state": "shipping", "backlog_bytes": 0, "backlog_age_s": 0, "dead_letters": 0, **numbers},
    }


def queue_of(service: str) -> dict[str, Any]:
    record = json.loads(json.dumps(KINDS["queue-sampled"]()))
    record["@timestamp"] = timestamp(NOW - timedelta(minutes=1))
    record["service"]["name"] = service
    return dict(record)


@pytest.fixture
def config(made: Settings) -> Settings:
    environment = {"SHIPPER_OBJECTIVES": "low=10s"}
    return settings.load(
        {"namespace": made.namespace, "elasticsearch": made.elasticsearch, "service": "tests"}, environment
    )


@pytest.fixture
def history(config: Settings, search: Elasticsearch) -> History:
    with connect_cluster(config) as cluster:
        setup.apply(cluster, setup.plan(cluster, config))
    records = [
        *(job("started", 2, lag_ms=11_000) for _ in range(3)),
        *(job("started", 20, lag_ms=9_000) for _ in range(4)),
        job("started", 3, lag_ms=11_000, queue="other"),
        job("started", 3, lag_ms=-6_000, host="w2"),
        *(job("finished", 5, ns=2_000_000_000) for _ in range(3)),
        job("retried", 5, ns=2_000_000_000),
        job("dead", 6, ns=2_000_000_000),
        job("dead", 6, reason="expired"),  # in its queue: it never ran
        job("dead", 60 * 30, ns=2_000_000_000, function="shop.old"),
        status(14, "h1", dead_letters=1),
        status(1, "h1", dead_letters=3, backlog_age_s=7),
        status(60, "h2", state="stopped"),
        queue_of("crm"),
        queue_of("shop"),
    ]
    for record in records:
        at = datetime.fromisoformat(record["@timestamp"])
        index = index_name(record["event"]["dataset"], at, config.namespace)
        search.index(index=index, document=record)
    search.indices.refresh(index=f"rq-*-{config.namespace}-*")
    return Historian(search, config, options.read(config)).read(NOW)


def test_records_are_counted_as_the_rules_need_them(history: History) -> None:
    assert history.starts[("low", 300)] == (4, 3)
    assert history.starts[("low", 1800)] == (8, 3)
    assert history.starts[("other", 300)] == (1, 0)  # its objective is the default, 15 minutes
    assert history.endings == {"shop.f": Endings(5, 2, 1)}
    assert history.dead == {"shop.f": 2}
    assert history.durations["shop.f"] == Durations(5, 2.0)
    assert history.durations["shop.old"] == Durations(1, 2.0)
    assert history.hosts == {"w1": NOW - timedelta(minutes=2), "w2": NOW - timedelta(minutes=3)}
    assert history.early == {"w2": (1, 6.0)}
    assert [(one.host, one.state, one.dead_letters, one.backlog_age_s) for one in history.shippers] == [
        ("h1", "shipping", 2, 7),
        ("h2", "stopped", 0, 0),
    ]
    ((queue, _redis), services), *others = history.shared.items()
    assert (queue, services, others) == ("payments", ("crm", "shop"), [])


def test_where_nothing_was_indexed_yet_nothing_is_known(made: Settings, search: Elasticsearch) -> None:
    assert Historian(search, made, options.read(made)).read(NOW) == History(at=NOW)
    assert known.read(search, made, NOW) == []
