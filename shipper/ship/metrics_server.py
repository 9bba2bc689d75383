"""Serves `GET /metrics` for Prometheus, `GET /health` for monitoring, and `GET /live` for liveness probes.

Each client is answered in a thread of its own, for CLIENT_LIMIT_S at most, so that silent clients delay nobody.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from . import pulse
from .counting.counting import Counting
from .status import Status

log = logging.getLogger("shipper")

UNHEALTHY_AFTER_S = 60.0  # seconds of continuously failing requests
CLIENT_LIMIT_S = 5.0  # from a client's connection to the end of the answer
MOST_CLIENTS = 64  # at once; the oldest is disconnected for another

GAUGES = {
    "backlog_bytes": "Bytes of the files that are not indexed yet.",
    "backlog_age_seconds": "Time for which a position has not moved though there is a backlog.",
    "lag_seconds": "Time from a record's timestamp to its indexing.",
    "memory_bytes": "Resident memory.",
    "waiting_bytes": "Bytes of documents whose index takes none now.",
    "retrying_seconds": "Time for which requests have been failing and retried.",
    "pulse_age_seconds": "Time since the main loop last did something.",
}
COUNTERS = {
    "indexed": "Records indexed since the start.",
    "duplicates": "Records that were indexed before.",
    "dead_letters": "Lines stored as dead letters.",
    "not_indexed": "Records that Elasticsearch took and did not index.",
    "retries": "Requests that were retried.",
}
FILE_BACKLOG = ("file_backlog_bytes", "Bytes of each file that are not indexed yet.")


class MetricsServer:
    """An HTTP server that answers from the latest status, until `close()`."""

    def __init__(
        self,
        address: str,
        latest: Callable[[], Status],
        counting: Counting | None = None,
        state: Path | None = None,
    ) -> None:
        """`counting`: what jobs did is given, too. `state`: the state folder, by which `/health` tells who answers.

        Raises OSError if it cannot listen on the address.
        """
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
                return _health(latest(), state, start_response)
            if environ["PATH_INFO"] == "/live":
                return _live(start_response)
            start_response("404 Not Found", [("content-type", "text/plain")])
            return [b"There are /metrics, /health and /live.\n"]

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


def _health(status: Status, state: Path | None, start_response: Callable[..., Any]) -> list[bytes]:
    age_s = pulse.age_s()
    how = "retrying" if status.retrying_s >= UNHEALTHY_AFTER_S else "stuck" if age_s > pulse.STUCK_AFTER_S else "ok"
    start_response("200 OK" if how == "ok" else "503 Service Unavailable", [("content-type", "application/json")])
    content = {**orjson.loads(orjson.dumps(status)), "pulse_age_s": round(age_s, 1), "state_folder": str(state or "")}
    return [orjson.dumps({"status": how, **content}, option=orjson.OPT_APPEND_NEWLINE)]


def _live(start_response: Callable[..., Any]) -> list[bytes]:
    """Whether the main loop does something: what a restart may mend. It does not mend an Elasticsearch that is away."""
    stuck = pulse.age_s() > pulse.STUCK_AFTER_S
    start_response("503 Service Unavailable" if stuck else "200 OK", [("content-type", "text/plain")])
    return [b"stuck\n" if stuck else b"ok\n"]


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
            "pulse_age_seconds": pulse.age_s(),
        }
        for name, about in GAUGES.items():
            if values[name] is not None:
                yield GaugeMetricFamily(f"shipper_{name}", about, value=values[name])
        for name, about in COUNTERS.items():
            yield CounterMetricFamily(f"shipper_{name}", about, value=getattr(status, name))
        name, about = FILE_BACKLOG
        backlog = GaugeMetricFamily(f"shipper_{name}", about, labels=["path"])
        for file in status.files:
            if file.backlog_bytes:
                backlog.add_metric([file.path], file.backlog_bytes)
        yield backlog


class _Server(ThreadingMixIn, WSGIServer):
    allow_reuse_address = True
    request_queue_size = 2 * MOST_CLIENTS
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._clients: dict[Any, float] = {}  # socket → when it was accepted
        self._lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            if len(self._clients) >= MOST_CLIENTS:
                oldest = next(iter(self._clients))
                del self._clients[oldest]
                _disconnect(oldest)
            self._clients[request] = time.monotonic()
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called twice a second: disconnect the clients whose time is over, whatever they are doing."""
        now = time.monotonic()
        with self._lock:
            late = [client for client, since in self._clients.items() if now - since > CLIENT_LIMIT_S]
        for client in late:
            _disconnect(client)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do not print a traceback for a client that has gone."""


def _disconnect(client: Any) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)  # its thread reads the end of the stream, and closes it


class _SilentHandler(WSGIRequestHandler):
    timeout = CLIENT_LIMIT_S

    def log_message(self, *_: object) -> None:
        """Do not log each scrape."""
