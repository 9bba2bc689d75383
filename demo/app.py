"""The shop's web application: an order becomes jobs. Small enough for the standard library's server."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from redis import Redis, RedisError

import shipper
from shipper import settings
from shipper.web.wsgi import Middleware

from .load import Shop

_INTRODUCTION = """The shop. To order something for customer 42:

    curl -X POST 'http://127.0.0.1:8000/orders?customer=42'

To sign in as that customer, and to change the address:

    curl -X POST -c jar 'http://127.0.0.1:8000/session?customer=42'
    curl -X POST -b jar 'http://127.0.0.1:8000/address?city=Bonn'
"""


class Application:
    """A WSGI application: GET /, GET /health, POST /session, /address and /orders. Who signed in is in a cookie."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._shop = Shop(redis)
        self._numbers = itertools.count(1000)
        self._cities: dict[str, str] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        status, text, *headers = self._answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], query, customer(environ))
        start_response(status, [("Content-Type", "text/plain; charset=utf-8"), *headers])
        return [text.encode()]

    def _answer(self, method: str, path: str, query: dict[str, str], signed_in: str | None) -> tuple[Any, ...]:
        try:
            match method, path:
                case "GET", "/":
                    return "200 OK", _INTRODUCTION
                case "GET", "/health":
                    self._redis.ping()
                    return "200 OK", "ok\n"
                case "POST", "/session":
                    return self._sign_in(query.get("customer"))
                case "POST", "/address":
                    return self._move(signed_in, query.get("city", ""))
                case "POST", "/orders":
                    return self._order(query.get("customer", signed_in), int(query.get("declines", "0")))
                case _:
                    return "404 Not Found", f"There is no {method} {path}.\n"
        except RedisError as error:
            return "503 Service Unavailable", f"Redis: {error}\n"

    def _sign_in(self, customer: str | None) -> tuple[Any, ...]:
        """A shop without passwords."""
        if not customer:
            return "400 Bad Request", "Who? Add ?customer=ID.\n"
        shipper.identify(f"user-{customer}")
        with shipper.log_context(customer=customer):
            shipper.audit.record("signed-in", ("customer", customer), category="session", type="start")
        return "200 OK", f"welcome, customer {customer}\n", ("Set-Cookie", f"customer={customer}; HttpOnly; Path=/")

    def _move(self, customer: str | None, city: str) -> tuple[Any, ...]:
        with (
            shipper.log_context(customer=customer),
            shipper.audit.action("address-changed", ("customer", customer), category="web") as moving,
        ):
            if customer is None:
                moving.deny("nobody is signed in")
                return "401 Unauthorized", "Sign in first.\n"
            moving.changes = {"city": (self._cities.get(customer), city)}
            self._cities[customer] = city
            self._shop.moved(customer)
        return "200 OK", f"customer {customer} lives in {city}\n"

    def _order(self, customer: str | None, declines: int) -> tuple[Any, ...]:
        if not customer:
            return "400 Bad Request", "Whose order? Add ?customer=ID.\n"
        number = next(self._numbers)
        self._shop.order(number, customer, declines=declines)
        return "201 Created", f"order {number} of customer {customer}\n"


def customer(environ: WSGIEnvironment) -> str | None:
    """The customer who is signed in."""
    cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get("customer")
    return cookie.value if cookie is not None else None


def user(environ: WSGIEnvironment) -> str | None:
    """The same as a user's id, for the audit trail."""
    signed_in = customer(environ)
    return f"user-{signed_in}" if signed_in is not None else None


def main() -> None:
    """Serve until told to stop. DEMO_HOST and DEMO_PORT say where; this machine only, unless told otherwise."""
    shipper.instrument()
    host, port = os.environ.get("DEMO_HOST", "127.0.0.1"), int(os.environ.get("DEMO_PORT", "8000"))
    application = Middleware(Application(Redis.from_url(settings.load().redis)), user=user)
    with make_server(host, port, application) as server:
        print(f"the shop is open at http://{host}:{port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
