"""Middleware for ASGI applications: FastAPI, Starlette, Django's ASGI, Quart.

app.add_middleware(shipper.web.asgi.Middleware)                         # FastAPI, Starlette
application = shipper.web.asgi.Middleware(get_asgi_application())       # Django
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from .. import context, settings
from ..guard import never_raise
from .request import request_of

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]

log = logging.getLogger("shipper")


class Middleware:
    """Like `shipper.web.wsgi.Middleware`, for HTTP requests and WebSockets.

    `user` is called with the scope. Without it the user is `scope["user"]`, which Starlette's and Django's
    authentication set.
    """

    def __init__(
        self,
        app: Application,
        *,
        user: Callable[[Scope], object] | None = None,
        trusted_proxies: Iterable[str] | None = None,
    ) -> None:
        self._app = app
        self._user = user or _user_of
        loaded = trusted_proxies if trusted_proxies is not None else settings.load(complain=log.error).trusted_proxies
        self._trusted = tuple(loaded)

    async def __call__(
        self, scope: Scope, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        web_request = None
        with never_raise("request"):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            client = scope.get("client")
            web_request = request_of(
                headers, scope["path"], client[0] if client else None, self._trusted, lambda: self._user(scope)
            )
        before = context.request.set(web_request)
        try:
            await self._app(scope, receive, send)
        finally:
            context.request.reset(before)


def _user_of(scope: Scope) -> object:
    user = scope.get("user")
    if user is None or not getattr(user, "is_authenticated", False):
        return None
    for name in ("identity", "pk", "username", "display_name"):
        try:
            if (value := getattr(user, name, None)) is not None:
                return value
        except NotImplementedError:  # Starlette's BaseUser.identity
            continue
    return None
