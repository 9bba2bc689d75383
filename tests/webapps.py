"""Real applications behind the middlewares, each in the way of its framework: `python -m tests.webapps flask PORT`.

Each answers `POST /login?user=ID`, which signs in further in than the middleware, `POST /change/ID`, which asks for
a job and is audited, `GET /stream`, which records while its answer is being made, and `GET /forbidden`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from redis import Redis
from rq import Queue

import shipper
from tests.programs import ROOT

TRUSTED = ["127.0.0.0/8"]


def change(thing: str) -> None:
    """What every application does."""
    with shipper.audit.action("thing-changed", ("thing", thing)):
        Queue("letters", connection=Redis.from_url(os.environ["SHIPPER_REDIS"])).enqueue("tests.work.audited", thing)


def parts() -> Iterator[bytes]:
    yield b"first\n"
    shipper.audit.record("streamed")
    yield b"second\n"


def flask() -> Any:
    from flask import Flask, Response, abort, request

    from shipper.web.wsgi import Middleware

    app = Flask("tests")
    app.wsgi_app = Middleware(app.wsgi_app, user=lambda environ: environ.get("HTTP_X_USER"), trusted_proxies=TRUSTED)  # type: ignore[method-assign]

    @app.post("/login")
    def login() -> str:
        shipper.identify(request.args["user"])
        shipper.audit.record("signed-in", category="session")
        return "ok"

    @app.post("/change/<thing>")
    def changed(thing: str) -> str:
        change(thing)
        return "ok"

    @app.get("/stream")
    def stream() -> Response:
        return Response(parts())

    @app.get("/forbidden")
    @shipper.audit.action("vault-opened", "vault:1")
    def forbidden() -> str:
        abort(403)

    return app


def django() -> Any:
    """Django with a middleware of its own that identifies the user, as in docs/audit.md."""
    import django
    from django.conf import settings
    from django.core.exceptions import PermissionDenied
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse, StreamingHttpResponse
    from django.urls import path

    from shipper.web.wsgi import Middleware

    def who(get_response: Any) -> Any:
        def middleware(request: Any) -> Any:
            if user := request.headers.get("x-user"):
                shipper.identify(user)
            return get_response(request)

        return middleware

    def login(request: Any) -> HttpResponse:
        shipper.identify(request.GET["user"])
        shipper.audit.record("signed-in", category="session")
        return HttpResponse("ok")

    def changed(request: Any, thing: str) -> HttpResponse:
        change(thing)
        return HttpResponse("ok")

    @shipper.audit.action("vault-opened", "vault:1")
    def forbidden(request: Any) -> HttpResponse:
        raise PermissionDenied

    module = sys.modules[__name__]
    module.who = who  # type: ignore[attr-defined]
    module.urlpatterns = [  # type: ignore[attr-defined]
        path("login", login),
        path("change/<thing>", changed),
        path("forbidden", forbidden),
        path("stream", lambda request: StreamingHttpResponse(parts())),
    ]
    settings.configure(ROOT_URLCONF=module, MIDDLEWARE=[f"{__name__}.who"], ALLOWED_HOSTS=["*"], SECRET_KEY="x" * 50)
    django.setup()
    return Middleware(get_wsgi_application(), trusted_proxies=TRUSTED)


def fastapi() -> Any:
    from fastapi import FastAPI, HTTPException, Request
    from fastapi.responses import StreamingResponse

    from shipper.web.asgi import Middleware

    app = FastAPI()

    @app.middleware("http")  # runs the endpoint in another task
    async def who(request: Request, call_next: Any) -> Any:
        if user := request.headers.get("x-user"):
            shipper.identify(user)
        return await call_next(request)

    @app.post("/login")
    async def login(user: str) -> str:
        shipper.identify(user)
        shipper.audit.record("signed-in", category="session")
        return "ok"

    @app.post("/change/{thing}")
    def changed(thing: str) -> str:  # in a thread
        change(thing)
        return "ok"

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(parts())

    @app.get("/forbidden")
    @shipper.audit.action("vault-opened", "vault:1")
    async def forbidden() -> str:
        raise HTTPException(403)

    app.add_middleware(Middleware, trusted_proxies=TRUSTED)
    return app


def documented_flask() -> Any:
    """An application with a login and a job, set up by the lines in docs/beside.md, word for word."""
    import flask

    app = flask.Flask("tests")
    app.secret_key = "x" * 50

    @app.post("/login")
    def login() -> str:
        flask.session["user_id"] = flask.request.args["user"]
        return "ok"

    @app.post("/order/<number>")
    def order(number: str) -> str:
        enqueue(number)
        return "ok"

    exec(snippet("Flask"), {"app": app, "flask": flask})  # noqa: S102 - our own documentation
    return app


def documented_fastapi() -> Any:
    from fastapi import FastAPI
    from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.requests import HTTPConnection

    class ByHeader(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
            user = conn.headers.get("x-user")
            return (AuthCredentials(), SimpleUser(user)) if user else None

    app = FastAPI()
    app.add_middleware(AuthenticationMiddleware, backend=ByHeader())

    @app.post("/order/{number}")
    def order(number: str) -> str:
        enqueue(number)
        return "ok"

    exec(snippet("FastAPI"), {"app": app})  # noqa: S102 - our own documentation
    return app


def enqueue(number: str) -> None:
    Queue("letters", connection=Redis.from_url(os.environ["SHIPPER_REDIS"])).enqueue("tests.work.audited", number)


def snippet(framework: str) -> str:
    """The lines for a framework in docs/beside.md."""
    (shown,) = re.findall(rf"```python\n# {framework}\n(.*?)```", (ROOT / "docs/beside.md").read_text(), re.DOTALL)
    return str(shown)


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        return


def main(name: str, port: int) -> None:
    if not name.startswith("documented"):  # the documented lines do it themselves
        shipper.instrument()
    if name.endswith("fastapi"):
        import uvicorn

        application = documented_fastapi() if name.startswith("documented") else fastapi()
        uvicorn.run(application, host="127.0.0.1", port=port, log_level="warning")
        return
    application = {"flask": flask, "django": django, "documented_flask": documented_flask}[name]()
    with make_server("127.0.0.1", port, application, handler_class=Quiet) as server:
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
