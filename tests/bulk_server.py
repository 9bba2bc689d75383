"""A `_bulk` server that misbehaves on order: real HTTP on a real socket, nothing behind it.

Each request takes the next step of the plan; when the plan is used up, `choose` says how it is answered: well,
unless a test has other ideas. Documents
are kept as Elasticsearch keeps them: by index and id, a second `create` is a 409.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .serving import serve

Answer = Callable[["Handler", list[tuple[dict[str, Any], bytes]]], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BulkServer

    def do_POST(self) -> None:
        body = self.body()
        if "/_delete_by_query" in self.path:  # of states that are past their days
            self.send(200, {"task": "one:1"})
            return
        lines = body.split(b"\n")[:-1]
        pairs = [(json.loads(lines[at]), lines[at + 1]) for at in range(0, len(lines), 2)]
        self.server.requests.append(len(pairs))
        self.server.headers.append(dict(self.headers))
        step = self.server.plan.pop(0) if self.server.plan else self.server.choose()
        step(self, pairs)

    def body(self) -> bytes:
        length = int(self.headers["content-length"])
        sent = self.rfile.read(length)
        if len(sent) < length:
            raise ConnectionResetError("the shipper is gone, in the middle of its request")
        return gzip.decompress(sent) if self.headers["content-encoding"] == "gzip" else sent

    def do_GET(self) -> None:
        """What the shipper asks before it ships: are the templates there? And which indices are past?"""
        kind, _, name = self.path.strip("/").partition("/")
        if self.server.get_status != 404:
            self.send(self.server.get_status, {"error": {"type": "planned", "reason": "planned"}, "status": 0})
        elif not kind.startswith("_"):
            self.send(200, {})
        elif name in self.server.templates:
            self.send(200, {f"{kind[1:]}s": [{"name": name, kind[1:]: self.server.templates[name]}]})
        else:
            self.send(404, {"error": {"type": "resource_not_found_exception", "reason": name}, "status": 404})

    def do_PUT(self) -> None:
        """A template is installed."""
        body = json.loads(self.body())
        self.server.templates[self.path.rpartition("/")[2]] = body
        self.send(200, {"acknowledged": True})

    def keep(self, pairs: list[tuple[dict[str, Any], bytes]]) -> list[dict[str, Any]]:
        """Index the documents and return the items of the answer."""
        items = []
        with self.server.lock:
            for action, source in pairs:
                ((operation, target),) = action.items()
                key = (target["_index"], target["_id"])
                if self.server.refuses(source):
                    error = {"type": "document_parsing_exception", "reason": "planned"}
                    items.append({operation: {"status": 400, "error": error}})
                    continue
                if operation == "create":
                    status = 409 if key in self.server.documents else 201
                    self.server.documents.setdefault(key, source)
                else:
                    newer = target["version"] > self.server.states.get(key, (0, b""))[0]
                    status = 200 if newer else 409
                    if newer:
                        self.server.states[key] = (target["version"], source)
                items.append({operation: {"status": status}})
        return items

    def send(self, status: int, content: object) -> None:
        body = json.dumps(content, separators=(",", ":")).encode()  # as Elasticsearch writes it
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("x-elastic-product", "Elasticsearch")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # a shipper that was killed in the middle of a request
            super().handle()


class BulkServer(ThreadingHTTPServer):
    """`plan` is what the next requests get; `documents`, `requests` (their sizes) and `headers` are what came."""

    daemon_threads = True

    def __init__(self, plan: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = plan
        self.refuses: Callable[[bytes], bool] = lambda source: False
        self.choose: Callable[[], Answer] = lambda: well
        self.documents: dict[tuple[str, str], bytes] = {}
        self.states: dict[tuple[str, str], tuple[int, bytes]] = {}
        self.requests: list[int] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.get_status = 404
        self.templates: dict[str, Any] = {}

    @property
    def jobs(self) -> dict[tuple[str, str], bytes]:
        """The job records among the documents: a daemon sends some of its own, too."""
        return {key: source for key, source in list(self.documents.items()) if key[0].startswith("rq-job-")}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def serving(*plan: Answer) -> AbstractContextManager[BulkServer]:
    return serve(BulkServer(list(plan)))


def well(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
    items = handler.keep(pairs)
    handler.send(200, {"errors": any(_status(item) >= 300 for item in items), "items": items})


def _status(item: dict[str, Any]) -> int:
    (result,) = item.values()
    return int(result["status"])


def status(code: int) -> Answer:
    """The whole request is answered with this status, and nothing is kept."""
    return lambda handler, pairs: handler.send(code, {"error": {"type": "planned", "reason": f"{code}"}})


def kept_but_lost(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
    """The documents are indexed, but the connection breaks before the answer."""
    handler.keep(pairs)
    handler.close_connection = True


def cut_short(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
    """The answer ends in the middle, though its length promised more."""
    body = json.dumps({"errors": False, "items": handler.keep(pairs)}).encode()
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def one_item_too_few(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
    handler.send(200, {"errors": False, "items": handler.keep(pairs)[:-1]})


def each(code: int, kind: str, where: Callable[[bytes], bool] = lambda source: True) -> Answer:
    """Documents for which `where` holds are answered with this status and error; the others are kept."""

    def answer(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
        items = [
            {next(iter(action)): {"status": code, "error": {"type": kind, "reason": "planned"}}}
            if where(source)
            else handler.keep([(action, source)])[0]
            for action, source in pairs
        ]
        handler.send(200, {"errors": True, "items": items})

    return answer


def invalid_if(where: Callable[[dict[str, Any], bytes], bool]) -> Answer:
    """400 for the whole request if `where` holds for the action's target and source of any document in it."""

    def answer(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
        if any(where(next(iter(action.values())), source) for action, source in pairs):
            error = {"type": "action_request_validation_exception", "reason": "Validation Failed: planned;"}
            handler.send(400, {"error": error, "status": 400})
        else:
            well(handler, pairs)

    return answer


def no_elasticsearch(code: int) -> Answer:
    """The answer of something in between, which never saw an Elasticsearch."""

    def answer(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
        body = b"<html><h1>400 Bad Request</h1>nginx</html>"
        handler.send_response(code)
        handler.send_header("content-type", "text/html")
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def at_most(count: int) -> Answer:
    """413 for more documents than this."""

    def answer(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
        if len(pairs) > count:
            status(413)(handler, pairs)
        else:
            well(handler, pairs)

    return answer


def slow(seconds: float) -> Answer:
    """Everything is well, but takes its time."""

    def answer(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
        time.sleep(seconds)
        well(handler, pairs)

    return answer


def reset(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
    """The connection is reset before anything was indexed."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def answered_twice(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
    """Every item of the answer is there two times."""
    items = handler.keep(pairs)
    handler.send(200, {"errors": False, "items": [*items, *items]})


def no_json(handler: Handler, pairs: list[tuple[dict[str, Any], bytes]]) -> None:
    """200, from something in between that is no Elasticsearch."""
    body = b"<html>welcome</html>"
    handler.send_response(200)
    handler.send_header("content-type", "text/html")
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
