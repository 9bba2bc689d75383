"""An HTTP proxy of a test's own, which carries each request on."""

from __future__ import annotations

import http.server
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.programs import LIMIT_S
from tests.serving import serve


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _carry(self) -> None:
        self.server.seen.append(self.path)
        self.server.before(self.path)
        length = int(self.headers.get("content-length") or 0)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        request = urllib.request.Request(self.path, self.rfile.read(length) or None, headers, method=self.command)  # noqa: S310
        try:
            answer = urllib.request.urlopen(request, timeout=LIMIT_S)  # noqa: S310
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            body = answer.read()
            self.send_response(answer.status)
            for name in ("content-type", "x-elastic-product"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = _carry  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


class Proxy(http.server.ThreadingHTTPServer):
    """`seen` are the URLs that were asked; `before` is called with each before it is carried on, and may wait."""

    def __init__(self, before: Callable[[str], object]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.before = before
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def proxying(before: Callable[[str], object] = lambda url: None) -> AbstractContextManager[Proxy]:
    return serve(Proxy(before))
