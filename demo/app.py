"""The shop's web application: an order becomes jobs. Small enough for the standard library's server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from redis import Redis, RedisError

import shipper
from shipper import settings

from .load import Shop

_INTRODUCTION = """The shop. To order something for customer 42:

    curl -X POST 'http://127.0.0.1:8000/orders?customer=42'
"""


class Application:
    """A WSGI application: GET /, GET /health, POST /orders?customer=ID."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._shop = Shop(redis)
        self._numbers = itertools.count(1000)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, text = self._answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"])
        start_response(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [text.encode()]

    def _answer(self, method: str, path: str, query: str) -> tuple[str, str]:
        try:
            match method, path:
                case "GET", "/":
                    return "200 OK", _INTRODUCTION
                case "GET", "/health":
                    self._redis.ping()
                    return "200 OK", "ok\n"
                case "POST", "/orders":
                    return self._order(parse_qs(query).get("customer", []))
                case _:
                    return "404 Not Found", "There is only GET /, GET /health and POST /orders?customer=ID.\n"
        except RedisError as trouble:
            return "503 Service Unavailable", f"Redis: {trouble}\n"

    def _order(self, customers: list[str]) -> tuple[str, str]:
        if not customers:
            return "400 Bad Request", "Whose order? Add ?customer=ID.\n"
        number = next(self._numbers)
        self._shop.order(number, customers[0])
        return "201 Created", f"order {number} of customer {customers[0]}\n"


def main() -> None:
    """Serve until told to stop. DEMO_HOST and DEMO_PORT say where; this machine only, unless told otherwise."""
    shipper.instrument()
    host, port = os.environ.get("DEMO_HOST", "127.0.0.1"), int(os.environ.get("DEMO_PORT", "8000"))
    application = Application(Redis.from_url(settings.load().redis))
    with make_server(host, port, application) as server:
        print(f"the shop is open at http://{host}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
