"""A Kibana as far as `shipper setup` sees one: real HTTP on a real socket, and the checks that Kibana makes first.

It keeps objects by space, type and id, and rules by id, as Kibana does; what Kibana answers to a request without
`kbn-xsrf`, to a file of another ending, to bad credentials or an unknown space, it answers. `plan` gives the next
requests other answers: (status, body).
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from email import message_from_bytes
from email.message import Message
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .serving import serve


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KibanaServer

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["content-length"])))

    def _answer(self, body: bytes) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        if not path.startswith(self.server.base_path):
            self.send(404, {"statusCode": 404, "error": "Not Found"})
            return
        path = path.removeprefix(self.server.base_path)
        space = "default"
        if path.startswith("/s/"):
            _, _, space, rest = path.split("/", 3)
            path = f"/{rest}"
        if self.server.plan:
            self.send(*self.server.plan.pop(0))
        elif self.command == "POST" and "kbn-xsrf" not in self.headers:
            self.send(400, {"message": "Request must contain a kbn-xsrf header."})
        elif self.server.credentials and self.headers.get("authorization") != self.server.credentials:
            self._to_a_stranger(path)
        else:
            self._route(path, space, body)

    def _to_a_stranger(self, path: str) -> None:
        if path == "/api/status" and "authorization" not in self.headers:
            self.send(200, {"status": {"overall": {"level": "available"}}})
        else:
            self.send(401, {"statusCode": 401, "error": "Unauthorized", "message": "unable to authenticate user"})

    def _route(self, path: str, space: str, body: bytes) -> None:
        last = path.rpartition("/")[2]
        if path == "/api/status":
            level = {"overall": {"level": "available"}}
            self.send(200, {"name": "kibana", "version": {"number": self.server.version}, "status": level})
        elif path.startswith("/api/spaces/space/"):
            there = last in self.server.spaces
            self.send(200 if there else 404, {"id": last} if there else {"message": "Not Found"})
        elif space not in self.server.spaces:
            self.send(404, {"message": "Not Found"})
        elif path == "/api/saved_objects/_import":
            self._import(space, body)
        elif path == "/api/saved_objects/_export":
            self._export(space, body)
        elif path.startswith("/api/alerting/rule/"):
            self._rule(last, body)
        else:
            self.send(404, {"message": "Not Found"})

    def _import(self, space: str, body: bytes) -> None:
        part = _file(self.headers["content-type"], body)
        name = part.get_filename() or ""
        if not name.endswith(".ndjson"):
            self.send(400, {"message": f"Invalid file extension of {name}"})
            return
        overwrite = parse_qs(urlsplit(self.path).query).get("overwrite") == ["true"]
        content: bytes = part.get_payload(decode=True)  # type: ignore[assignment]
        errors = []
        objects = [json.loads(line) for line in content.splitlines() if line]
        for one in objects:
            key = (space, one["type"], one["id"])
            if key in self.server.objects and not overwrite:
                errors.append({"type": one["type"], "id": one["id"], "error": {"type": "conflict"}})
            elif any(other[1:] == key[1:] and other[0] != space for other in self.server.objects):
                errors.append({"type": one["type"], "id": one["id"], "error": {"type": "ambiguous_conflict"}})
            else:
                self.server.objects[key] = one
        self.send(200, {"success": not errors, "successCount": len(objects) - len(errors), "errors": errors})

    def _export(self, space: str, body: bytes) -> None:
        found: list[dict[str, Any]] = []
        missing: list[dict[str, Any]] = []
        for one in json.loads(body)["objects"]:
            key = (space, one["type"], one["id"])
            (found if key in self.server.objects else missing).append(self.server.objects.get(key, one))
        if missing:
            attributes = {"objects": missing}
            self.send(400, {"statusCode": 400, "message": "Error fetching objects to export", "attributes": attributes})
            return
        lines = [*found, {"exportedCount": len(found), "missingRefCount": 0, "missingReferences": []}]
        self.send(200, "\n".join(json.dumps(line) for line in lines))

    def _rule(self, identifier: str, body: bytes) -> None:
        if self.command == "POST":
            there = identifier in self.server.rules
            self.server.rules.setdefault(identifier, json.loads(body or b"{}"))
            self.send(409 if there else 200, {"id": identifier})
        elif identifier in self.server.rules:
            self.send(200, {"id": identifier, **self.server.rules[identifier]})
        else:
            self.send(404, {"message": f"Saved object [alert/{identifier}] not found"})

    def send(self, status: int, content: object) -> None:
        """An answer; text stays as it is, everything else becomes JSON."""
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _file(content_type: str, body: bytes) -> Message:
    """The part of a multipart body that is called `file`."""
    whole = message_from_bytes(b"content-type: " + content_type.encode() + b"\r\n\r\n" + body, policy=HTTP)
    assert whole.is_multipart(), "not multipart"
    assert not whole.defects, whole.defects
    payload: Any = whole.get_payload()
    (part,) = payload
    assert isinstance(part, Message)
    assert part.get_param("name", header="content-disposition") == "file"
    return part


class KibanaServer(ThreadingHTTPServer):
    """`requests` are (method, path, headers, body) of what came; `objects` and `rules` what was kept."""

    daemon_threads = True

    def __init__(self, **changes: Any) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.version = "9.4.3"
        self.base_path = ""
        self.credentials: str | None = None
        self.spaces = {"default", "ops"}
        self.plan: list[tuple[int, object]] = []
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.rules: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        vars(self).update(changes)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{self.base_path}"


def serving(**changes: Any) -> AbstractContextManager[KibanaServer]:
    return serve(KibanaServer(**changes))
