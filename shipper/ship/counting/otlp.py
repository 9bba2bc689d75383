"""Spans and counters of jobs to an OpenTelemetry collector, by OTLP over HTTP (opentelemetry.io/docs/specs/otlp).

A thread of its own sends them. Spans wait in memory, at most HELD_LIMIT bytes of them, while the collector is away: it
holds nothing up. What is beyond is dropped, which is said in the log.
"""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import urllib3

from ...errors import SettingsError
from ..bulk.backoff import LogThrottle
from .counter import JobCounter
from .spans import ResourceKey, field
from .tally import BOUNDS_S, EVENTS, MEASURES, Labels, buckets, event_count

try:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
    from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric, ResourceMetrics
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource
except ImportError as missing:
    raise SettingsError(["The setting 'otlp' needs opentelemetry-proto: pip install 'rq-shipper[otel]'."]) from missing

if TYPE_CHECKING:
    from opentelemetry.proto.metrics.v1.metrics_pb2 import ScopeMetrics

log = logging.getLogger("shipper")

HELD_LIMIT = 16_000_000  # bytes of spans that wait: some 30,000
REQUEST_LIMIT = 1_000_000  # bytes of one request
SPANS_EVERY_S = 1.0
METRICS_EVERY_S = 15.0
TIMEOUT_S = 10.0
_RETRYABLE = (429, 502, 503, 504)  # the specification's

_NAMES = {
    "enqueued": "messaging.client.sent.messages",
    "started": "messaging.client.consumed.messages",
    "duration": "messaging.process.duration",
}
"""What the semantic conventions for messaging have a name for. The rest is rq.jobs.<event> and rq.job.<measure>."""


class Otlp:
    """Sends spans that are added, and the counters. `url`: the collector's, without `/v1/traces`."""

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        counter: JobCounter,
        environment: str | None,
        folder: Path | None,
    ) -> None:
        self._url = url.rstrip("/")
        self._headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip", **headers}
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT_S)
        self._counter = counter
        self._environment = environment
        # Two shippers of one host are two instances: their sums are not each other's.
        self._instance = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{socket.gethostname()}{folder or uuid.uuid4()}"))
        self._lock = threading.Lock()
        self._spans: list[tuple[ResourceKey, bytes]] = []
        self._held = self._dropped = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._throttle, self._full = LogThrottle(), LogThrottle()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Send what is left, for at most `timeout_s`."""
        self._stopped.set()
        self._thread.join(timeout_s)

    def add(self, spans: Sequence[tuple[ResourceKey, bytes]]) -> None:
        """Have spans sent. Does not wait."""
        with self._lock:
            for one in spans:
                if self._held + len(one[1]) > HELD_LIMIT:
                    self._dropped += 1
                    continue
                self._spans.append(one)
                self._held += len(one[1])

    def _run(self) -> None:
        metrics_at = time.monotonic() + METRICS_EVERY_S
        while not self._stopped.wait(SPANS_EVERY_S):
            self._send(with_metrics=time.monotonic() >= metrics_at)
            if time.monotonic() >= metrics_at:
                metrics_at = time.monotonic() + METRICS_EVERY_S
        self._send(with_metrics=True)

    def _send(self, *, with_metrics: bool) -> None:
        try:
            self._send_spans()
            if with_metrics:
                self._send_metrics()
        except Exception:  # the next time may be better, and this thread is the only one that sends
            if self._throttle.due():
                log.exception("Spans or metrics could not be sent.", extra={"event.action": "otlp-failed"})

    def _send_spans(self) -> None:
        while chunk := self._chunk():
            if not self._post("/v1/traces", traces(chunk)):
                self._give_back(chunk)
                break
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped and self._full.due():
            log.warning(
                "%d spans were dropped, as %s takes them too slowly. The records are in Elasticsearch.",
                dropped,
                self._url,
                extra={"event.action": "spans-dropped"},
            )

    def _chunk(self) -> list[tuple[ResourceKey, bytes]]:
        with self._lock:
            size = count = 0
            for _, encoded in self._spans:
                size += len(encoded)
                count += 1
                if size >= REQUEST_LIMIT:
                    break
            chunk, self._spans = self._spans[:count], self._spans[count:]
            self._held -= size
        return chunk

    def _give_back(self, chunk: list[tuple[ResourceKey, bytes]]) -> None:
        with self._lock:
            self._spans = chunk + self._spans
            self._held += sum(len(encoded) for _, encoded in chunk)

    def _send_metrics(self) -> None:
        read = self._counter.read()
        if read:
            message = metrics(read, self._counter.since_ns, time.time_ns(), self._instance, self._environment)
            self._post("/v1/metrics", message)

    def _post(self, path: str, message: bytes) -> bool:
        """Whether the collector has had it: it took the message, or will never take it."""
        body = gzip.compress(message, 1)
        try:
            answer = self._pool.request("POST", self._url + path, body=body, headers=self._headers)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            self._complain(f"cannot be reached: {error}")
            return False
        if 200 <= answer.status < 300:
            if self._throttle.over():
                log.info("OpenTelemetry's collector takes spans again.", extra={"event.action": "otlp-recovered"})
            return True
        self._complain(f"answers {answer.status} to {path}")
        return answer.status not in _RETRYABLE

    def _complain(self, what: str) -> None:
        if self._throttle.due():
            log.warning(
                "OpenTelemetry's collector at %s %s. Records are shipped all the same.",
                self._url,
                what,
                extra={"event.action": "otlp-failed"},
            )


def traces(spans: Sequence[tuple[ResourceKey, bytes]]) -> bytes:
    """An ExportTraceServiceRequest of encoded spans."""
    by_resource: dict[ResourceKey, list[bytes]] = defaultdict(list)
    for key, encoded in spans:
        by_resource[key].append(encoded)
    message = b""
    for key, ours in by_resource.items():
        scope_spans = b"".join((field(b"\x0a", _SCOPE.SerializeToString()), *ours))
        resource = field(b"\x0a", _resource_of(key).SerializeToString())
        message += field(b"\x0a", resource + field(b"\x12", scope_spans))
    return message


def metrics(
    read: Sequence[tuple[Labels, list[int]]], since_ns: int, now_ns: int, instance: str, environment: str | None
) -> bytes:
    """An ExportMetricsServiceRequest of the counters: cumulative, a resource for each service."""
    request = ExportMetricsServiceRequest()
    by_service: dict[str, list[tuple[Labels, list[int]]]] = defaultdict(list)
    for labels, numbers in read:
        by_service[labels[0]].append((labels, numbers))
    for service, series in by_service.items():
        about = {"service.name": service, "service.instance.id": instance, "host.name": socket.gethostname()}
        if environment:
            about["deployment.environment.name"] = environment
        found: ResourceMetrics = request.resource_metrics.add(resource=_resource(about))
        scope = found.scope_metrics.add(scope=_SCOPE)
        for event in (*EVENTS, "failed"):
            _add_sum(scope, event, series, since_ns, now_ns)
        for measure in MEASURES:
            _add_histogram(scope, measure, series, since_ns, now_ns)
    encoded: bytes = request.SerializeToString()
    return encoded


def _add_sum(
    scope: ScopeMetrics, event: str, series: list[tuple[Labels, list[int]]], since_ns: int, now_ns: int
) -> None:
    counted = [(labels, count) for labels, numbers in series if (count := event_count(numbers, event))]
    if not counted:
        return
    unit = "{message}" if event in _NAMES else "{job}"
    metric: Metric = scope.metrics.add(name=_NAMES.get(event, f"rq.jobs.{event}"), unit=unit)
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    for labels, count in counted:
        metric.sum.data_points.add(
            attributes=_attributes(labels), start_time_unix_nano=since_ns, time_unix_nano=now_ns, as_int=count
        )


def _add_histogram(
    scope: ScopeMetrics, measure: str, series: list[tuple[Labels, list[int]]], since_ns: int, now_ns: int
) -> None:
    measured = [(labels, *buckets(numbers, measure)) for labels, numbers in series]
    measured = [one for one in measured if any(one[1])]
    if not measured:
        return
    metric: Metric = scope.metrics.add(name=_NAMES.get(measure, f"rq.job.{measure}"), unit="s")
    metric.histogram.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    for labels, counts, total_s in measured:
        metric.histogram.data_points.add(
            attributes=_attributes(labels),
            start_time_unix_nano=since_ns,
            time_unix_nano=now_ns,
            count=sum(counts),
            sum=total_s,
            bucket_counts=counts,
            explicit_bounds=BOUNDS_S,
        )


def _attributes(labels: Labels) -> list[KeyValue]:
    _, queue, function = labels
    pairs = {"messaging.system": "rq", "messaging.destination.name": queue, "code.function.name": function}
    return _pairs(pairs)


def _resource_of(key: ResourceKey) -> Resource:
    about = {
        "service.name": key.service,
        "service.version": key.version,
        "deployment.environment.name": key.environment,
        "host.name": key.host,
    }
    return _resource({name: value for name, value in about.items() if value})


def _resource(about: Mapping[str, str]) -> Resource:
    return Resource(attributes=_pairs(about))


def _pairs(about: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in about.items()]


_SCOPE = InstrumentationScope(name="rq-shipper")
