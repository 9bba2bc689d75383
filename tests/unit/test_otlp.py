"""Spans and metrics of jobs as a collector gets them: decoded with OpenTelemetry's own protobuf classes."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from shipper import settings
from shipper.errors import SettingsError
from shipper.records import encode
from shipper.ship import counting as package
from shipper.ship.counting import counting, otlp
from shipper.ship.counting.counter import JobCounter
from shipper.ship.counting.spans import span
from shipper.ship.counting.tally import BOUNDS_S, PlainTally
from stack.processes import wait_until
from tests.bulk_server import kept_but_lost, serving
from tests.programs import LIMIT_S
from tests.serving import serve
from tests.unit.test_counting import GOLDEN, Run, ends, golden, of_function

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def record(kind: str, **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / f"{kind}.jsonl").read_text())
    for name, value in changes.items():
        found[name] = {**found.get(name, {}), **value} if isinstance(value, dict) else value
    return found


def decoded(content: dict[str, Any]) -> Span:
    made = span(encode(content))
    assert made is not None
    _, encoded = made
    found: Span
    (found,) = ExportTraceServiceRequest.FromString(otlp.traces([made])).resource_spans[0].scope_spans[0].spans
    assert len(found.SerializeToString()) < len(encoded)  # the element has a tag and a length besides
    return found


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


def nanoseconds(time: str) -> int:
    at = datetime.fromisoformat(time)
    return int(at.replace(microsecond=0).timestamp()) * 10**9 + at.microsecond * 1000


def test_a_push_and_its_execution_are_one_trace() -> None:
    push, run = decoded(record("job-enqueued")), decoded(record("job-finished"))
    assert (push.name, push.kind) == ("enqueue payments", Span.SPAN_KIND_PRODUCER)
    assert (run.name, run.kind) == ("run payments", Span.SPAN_KIND_CONSUMER)
    assert len(run.trace_id) == 16
    assert push.trace_id == run.trace_id
    assert (push.parent_span_id, run.parent_span_id) == (b"", push.span_id)
    assert [(link.trace_id, link.span_id) for link in run.links] == [(push.trace_id, push.span_id)]
    assert run.span_id != push.span_id
    assert run.status.code == Status.STATUS_CODE_UNSET


def test_a_span_has_the_times_and_names_of_its_record() -> None:
    content = record("job-finished")
    run = decoded(content)
    assert run.start_time_unix_nano == nanoseconds(content["event"]["start"])
    assert run.end_time_unix_nano == nanoseconds(content["event"]["end"])
    assert attributes(run) == {
        "messaging.system": "rq",
        "messaging.operation.name": "run",
        "messaging.operation.type": "process",
        "messaging.destination.name": "payments",
        "messaging.message.id": content["messaging"]["message"]["id"],
        "messaging.message.body.size": 51,
        "messaging.client.id": "worker-1.4700",
        "code.function.name": "shop.jobs.charge_card",
        "rq.attempt": 2,
        "rq.event.id": content["event"]["id"],
        "rq.action": "job-finished",
        "rq.execution_id": content["rq"]["execution_id"],
        "rq.lag_ms": 1200,
        "rq.total_ms": 1546,
    }
    push = decoded(record("job-enqueued"))
    assert push.start_time_unix_nano == push.end_time_unix_nano == nanoseconds("2026-11-21T03:17:30.000250Z")
    assert attributes(push)["rq.cause"] == "api"


def test_the_carried_trace_is_kept() -> None:
    carried = {"trace": {"id": TRACE}, "span": {"id": PARENT}}
    push, run = decoded(record("job-enqueued", **carried)), decoded(record("job-finished", **carried))
    assert push.trace_id.hex() == run.trace_id.hex() == TRACE
    assert push.parent_span_id.hex() == PARENT
    assert run.parent_span_id == push.span_id


@pytest.mark.parametrize("trace", ["", "0" * 32, "x" * 32, "abc", None])
def test_a_trace_id_that_is_none_is_replaced(trace: str | None) -> None:
    push = decoded(record("job-enqueued", trace={"id": trace}, span={"id": PARENT}))
    assert push.trace_id == decoded(record("job-enqueued")).trace_id
    assert push.parent_span_id == b""


def test_jobs_of_one_root_are_one_trace() -> None:
    root = record("job-enqueued")
    child = record("job-enqueued", rq={"root_job_id": root["messaging"]["message"]["id"], "parent_job_id": "x"})
    child["messaging"]["message"]["id"] = "another"
    assert decoded(child).trace_id == decoded(root).trace_id
    assert decoded(child).span_id != decoded(root).span_id


def test_a_killed_job_has_a_span_that_says_so() -> None:
    run = decoded(record("job-dead-killed"))
    assert run.status.code == Status.STATUS_CODE_ERROR
    assert "signal 9" in run.status.message
    found = attributes(run)
    assert (found["error.type"], found["rq.reason"], found["rq.signal"]) == ("killed", "killed", "SIGKILL")
    assert run.end_time_unix_nano > run.start_time_unix_nano
    assert list(run.events) == []


def test_an_exception_is_an_event_of_the_span() -> None:
    content = record("job-dead", error={"stack_trace": "é" * 10_000})
    run = decoded(content)
    (event,) = run.events
    assert event.name == "exception"
    assert event.time_unix_nano == run.end_time_unix_nano
    found = attributes(event)
    assert found["exception.type"] == attributes(run)["error.type"] == "shop.jobs.CardDeclined"
    assert found["exception.message"] == run.status.message == "order 33 declined"
    assert 4000 < len(found["exception.stacktrace"]) < 4200


def test_each_attempt_is_a_span_of_its_own() -> None:
    spans = [
        decoded(
            record("job-retried", event={"id": f"{number:032x}"}, rq={"enqueued_at": f"2026-11-21T03:17:3{number}Z"})
        )
        for number in range(3)
    ]
    assert len({one.span_id for one in spans}) == len({one.parent_span_id for one in spans}) == 3
    assert len({one.trace_id for one in spans}) == 1


def test_an_execution_whose_job_is_put_back_has_a_span() -> None:
    content = record("job-busy")
    run = decoded(content)
    assert (run.name, attributes(run)["rq.action"]) == ("run payments", "job-busy")
    assert run.start_time_unix_nano == nanoseconds(content["rq"]["started_at"])
    assert run.end_time_unix_nano == nanoseconds(content["@timestamp"])
    assert run.status.code == Status.STATUS_CODE_UNSET
    del content["rq"]["retry_at"]  # it goes on, or fails: then another record closes it
    assert span(encode(content)) is None


def test_a_job_that_never_ran_has_no_execution() -> None:
    expired = record("job-dead", event={"reason": "expired"}, rq={"inferred": True})
    del expired["event"]["start"], expired["event"]["duration"], expired["rq"]["execution_id"]
    assert span(encode(expired)) is None
    for kind in ("job-started", "job-progressed", "job-canceled", "job-deleted", "job-scheduled", "job-deferred"):
        assert span(encode(record(kind))) is None


@pytest.mark.parametrize(
    "line", [b"{}", b"[1]", b"not JSON", b'{"@timestamp":"x","event":{"action":"job-enqueued","id":"1"}}']
)
def test_what_is_no_record_makes_no_span(line: bytes) -> None:
    assert span(line) is None


def test_a_time_that_is_none_makes_no_span() -> None:
    assert span(encode(record("job-finished", event={"end": "yesterday"}))) is None
    assert span(encode(record("job-finished", event={"end": "1066-10-14T09:00:00Z"}))) is None


NUMBERS = {name: st.integers(-(2**70), 2**70) for name in ("attempt", "lag_ms", "total_ms")}
TEXTS = {name: st.text(max_size=200) for name in ("execution_id", "root_job_id", "enqueued_at", "signal")}


@given(
    st.fixed_dictionaries(
        {},
        optional={name: st.integers(-(2**70), 2**70) for name in ("attempt", "lag_ms", "total_ms")}
        | {
            name: st.text(max_size=200)
            for name in ("execution_id", "root_job_id", "enqueued_at", "signal", "retry_verdict")
        },
    ),
    st.text(alphabet="0123456789abcdefx ", min_size=32, max_size=32),
    st.text(max_size=300),
)
def test_whatever_stands_in_a_record_its_span_can_be_decoded(rq: dict[str, Any], trace: str, text: str) -> None:
    content = record("job-dead", rq=rq, trace={"id": trace}, span={"id": trace[:16]}, error={"message": text})
    content["messaging"]["message"]["id"] = text or "x"
    made = span(encode(content))
    if made is None:  # numbers beyond 64 bits are none in JSON as msgspec reads it
        return
    found = decoded(content)
    assert (len(found.trace_id), len(found.span_id), len(found.parent_span_id)) == (16, 8, 8)
    assert attributes(found)["messaging.message.id"] == content["messaging"]["message"]["id"]


def test_long_names_are_encoded_as_protobuf_has_it() -> None:
    content = record("job-finished", code={"function": {"name": "f" * 20_000}})
    content["messaging"]["message"]["id"] = "é" * 300
    found = attributes(decoded(content))
    assert found["code.function.name"] == "f" * 20_000
    assert found["messaging.message.id"] == "é" * 300


# --- a collector ---


class Collector(ThreadingHTTPServer):
    """Keeps what it is sent. `plan`: the statuses of the next answers; then 200."""

    daemon_threads = True

    def __init__(self, plan: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.plan = plan
        self.headers: list[dict[str, str]] = []
        self.spans: list[tuple[dict[str, Any], Span]] = []
        self.metrics: list[tuple[dict[str, Any], Metric]] = []
        self.asked = threading.Semaphore(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Collector

    def do_POST(self) -> None:
        body = gzip.decompress(self.rfile.read(int(self.headers["content-length"])))
        self.server.headers.append(dict(self.headers))
        status = self.server.plan.pop(0) if self.server.plan else 200
        if status == 200 and self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                found = attributes(resource.resource)
                self.server.spans += [(found, one) for scope in resource.scope_spans for one in scope.spans]
        elif status == 200 and self.path == "/v1/metrics":
            for metrics in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                found = attributes(metrics.resource)
                self.server.metrics += [(found, one) for scope in metrics.scope_metrics for one in scope.metrics]
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()
        self.server.asked.release()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting(*plan: int) -> Iterator[Collector]:
    with serve(Collector(list(plan))) as collector:
        yield collector


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "SPANS_EVERY_S", 0.01)
    monkeypatch.setattr(counting, "STOP_S", LIMIT_S)  # who sends may get no processor for a while


def test_a_collector_gets_a_span_for_each_record_that_was_accepted(tmp_path: Path) -> None:
    with serving() as server, collecting(503) as collector:
        headers = "authorization=Bearer x,x-scope=shop"
        run = Run(tmp_path, server, SHIPPER_OTLP=f"{collector.url}/", SHIPPER_OTLP_HEADERS=headers)
        run.counting.start()
        run.ship(*ends(1), *ends(2))
        run.ship(*ends(2))
        assert collector.asked.acquire(timeout=LIMIT_S)  # refused once; at the end it is tried only once
        run.counting.stop()
    assert len(collector.spans) == 12  # of each push and each ending
    assert len({one.span_id for _, one in collector.spans}) == 11  # both times it is the same push
    assert collector.spans[0][0] == {
        "service.name": "shop", "service.version": "1.4.0", "deployment.environment.name": "production",
        "host.name": "worker-1",
    }  # fmt: skip
    assert collector.headers[-1]["authorization"] == "Bearer x"
    assert collector.headers[-1]["content-type"] == "application/x-protobuf"


def test_a_collector_gets_the_counters(tmp_path: Path) -> None:
    with serving() as server, collecting() as collector:
        run = Run(tmp_path, server, SHIPPER_OTLP=collector.url)
        run.counting.start()
        run.ship(*ends(1), *ends(2))
        run.counting.stop()
    found = {metric.name: metric for _, metric in collector.metrics}
    (resource,) = {tuple(sorted(resource.items())) for resource, _ in collector.metrics}
    assert {"service.name", "service.instance.id", "host.name"} <= {name for name, _ in resource}
    sums = {name: metric.sum for name, metric in found.items() if metric.HasField("sum")}
    assert {name: one.data_points[0].as_int for name, one in sums.items()} == {
        "messaging.client.sent.messages": 2,
        "messaging.client.consumed.messages": 2,
        "rq.jobs.finished": 2,
        "rq.jobs.retried": 2,
        "rq.jobs.dead": 4,
        "rq.jobs.stopped": 2,
        "rq.jobs.failed": 6,
    }
    assert all(
        one.is_monotonic and one.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        for one in sums.values()
    )
    duration = found["messaging.process.duration"]
    (point,) = duration.histogram.data_points
    assert duration.unit == "s"
    assert (point.count, sum(point.bucket_counts)) == (10, 10)
    assert list(point.explicit_bounds) == list(BOUNDS_S)
    assert point.sum == pytest.approx(3.45678)
    assert 0 < point.start_time_unix_nano < point.time_unix_nano
    assert attributes(point) == {
        "messaging.system": "rq",
        "messaging.destination.name": "payments",
        "code.function.name": "shop.jobs.charge_card",
    }
    assert {"rq.job.lag", "rq.job.total"} <= set(found)


def test_a_record_whose_response_was_lost_makes_no_second_span(tmp_path: Path) -> None:
    with serving(kept_but_lost) as server, collecting() as collector:
        run = Run(tmp_path, server, SHIPPER_OTLP=collector.url)
        run.counting.start()
        run.ship(*ends(1))
        run.counting.stop()
    assert collector.spans == []


def test_spans_wait_while_the_collector_is_away(tmp_path: Path) -> None:
    with collecting(503, 429, 502) as collector:
        sender = otlp.Otlp(collector.url, {}, JobCounter(None, 10), None, tmp_path)
        sender.start()
        for number in range(3):
            sender.add([made for line in ends(number) if (made := span(line))])
            assert collector.asked.acquire(timeout=LIMIT_S)
        wait_until(lambda: len(collector.spans) == 18, LIMIT_S, "the spans")
        sender.stop(LIMIT_S)
    assert len(collector.spans) == 18


@pytest.mark.parametrize("status", [400, 404])
def test_spans_that_will_never_be_taken_hold_nothing_up(
    tmp_path: Path, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with collecting(status) as collector:
        sender = otlp.Otlp(collector.url, {}, JobCounter(None, 10), None, tmp_path)
        sender.start()
        sender.add([made for line in ends(1) if (made := span(line))])
        assert collector.asked.acquire(timeout=LIMIT_S)
        sender.add([made for line in ends(2) if (made := span(line))])
        wait_until(lambda: len(collector.spans) == 6, LIMIT_S, "the later spans")
        sender.stop(LIMIT_S)
    assert f"answers {status}" in caplog.text


def test_what_is_too_much_is_dropped_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(otlp, "HELD_LIMIT", 3000)
    sender = otlp.Otlp("http://127.0.0.1:9", {}, JobCounter(None, 10), None, tmp_path)
    sender.add([made for number in range(20) for line in ends(number) if (made := span(line))])
    assert sender._held <= 3000
    sender.start()
    sender.stop(LIMIT_S)
    assert "spans were dropped" in caplog.text
    assert "cannot be reached" in caplog.text


def test_a_service_each_is_a_resource_of_its_own() -> None:
    tally = PlainTally()
    for number, service in enumerate(("shop", "crm")):
        content = {**json.loads(golden("job-finished", number)), "service": {"name": service}}
        tally.add(content, fresh=True)
    tally.add(json.loads(of_function("g")), fresh=True)
    counter = JobCounter(None, 10)
    counter.add(tally.series())
    request = ExportMetricsServiceRequest.FromString(otlp.metrics(counter.read(), 1, 2, "i", "production"))
    found = [attributes(one.resource) for one in request.resource_metrics]
    assert [one["service.name"] for one in found] == ["shop", "crm"]
    assert {one["deployment.environment.name"] for one in found} == {"production"}


def test_without_the_extra_the_setting_is_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, otlp.__name__)
    monkeypatch.delattr(package, "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2", None)
    asked = settings.load(environment={"SHIPPER_OTLP": "http://127.0.0.1:4318"})
    with pytest.raises(SettingsError, match=r"rq-shipper\[otel\]"):
        counting.check(asked)
    counting.check(settings.load(environment={}))
