"""Serves `GET /metrics` for Prometheus and `GET /health` for liveness probes, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from .counting.counting import Counting
from .status import Status

log = logging.getLogger("shipper")

UNHEALTHY_AFTER_S = 60.0  # seconds of continuously failing requests

_GAUGES = {
    "backlog_bytes": "Bytes of the files that are not indexed yet.",
    "backlog_age_seconds": "Time for which a position has not moved though there is a backlog.",
    "lag_seconds": "Time from a record's timestamp to its indexing.",
    "memory_bytes": "Resident memory.",
    "waiting_bytes": "Bytes of documents whose index takes none now.",
    "retrying_seconds": "Time for which requests have been failing and retried.",
}
_COUNTERS = {
    "indexed": "Records indexed since the start.",
    "duplicates": "Records that were indexed before.",
    "dead_letters": "Lines stored as dead letters.",
    "not_indexed": "Records that Elasticsearch took and did not index.",
    "retries": "Requests that were retried.",
}


class MetricsServer:
    """An HTTP server that answers from the latest status, until `close()`."""

    def __init__(self, address: str, latest: Callable[[], Status], counting: Counting | None = None) -> None:
        """`counting`: what jobs did is given, too. Raises OSError if it cannot listen on the address."""
        host, _, port = address.rpartition(":")
        registry = CollectorRegistry()
        registry.register(_Collector(latest))
        if counting is not None:
            from .counting.prometheus import JobCollector

            registry.register(JobCollector(counting.counter))
        metrics = make_wsgi_app(registry)

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            if environ["PATH_INFO"] == "/metrics":
                return metrics(environ, start_response)
            if environ["PATH_INFO"] == "/health":
                return _health(latest(), start_response)
            start_response("404 Not Found", [("content-type", "text/plain")])
            return [b"There are /metrics and /health.\n"]

        self._server = make_server(
            host.strip("[]"), int(port), answer, server_class=_Server, handler_class=_SilentHandler
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="listen", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _health(status: Status, start_response: Callable[..., Any]) -> list[bytes]:
    good = status.retrying_s < UNHEALTHY_AFTER_S
    start_response("200 OK" if good else "503 Service Unavailable", [("content-type", "application/json")])
    content = orjson.loads(orjson.dumps(status))
    return [orjson.dumps({"status": "ok" if good else "retrying", **content}, option=orjson.OPT_APPEND_NEWLINE)]


class _Collector:
    def __init__(self, latest: Callable[[], Status]) -> None:
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        status = self._latest()
        values = {
            "backlog_bytes": status.backlog_bytes,
            "backlog_age_seconds": status.backlog_age_s,
            "lag_seconds": None if status.lag_ms is None else status.lag_ms / 1000,
            "memory_bytes": status.memory_bytes,
            "waiting_bytes": status.waiting_bytes,
            "retrying_seconds": status.retrying_s,
        }
        for name, about in _GAUGES.items():
            if values[name] is not None:
                yield GaugeMetricFamily(f"shipper_{name}", about, value=values[name])
        for name, about in _COUNTERS.items():
            yield CounterMetricFamily(f"shipper_{name}", about, value=getattr(status, name))
        backlog = GaugeMetricFamily(
            "shipper_file_backlog_bytes", "Bytes of each file that are not indexed yet.", labels=["path"]
        )
        for file in status.files:
            if file.backlog_bytes:
                backlog.add_metric([file.path], file.backlog_bytes)
        yield backlog


class _Server(WSGIServer):
    allow_reuse_address = True


class _SilentHandler(WSGIRequestHandler):
    timeout = 5.0  # an idle client must not block others for long

    def log_message(self, *_: object) -> None:
        """Do not log each scrape."""
