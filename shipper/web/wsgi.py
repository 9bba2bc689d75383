"""Middleware for WSGI applications: Django, Flask, Pyramid, Bottle.

application = shipper.web.wsgi.Middleware(get_wsgi_application())      # Django
app.wsgi_app = shipper.web.wsgi.Middleware(app.wsgi_app)               # Flask
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from .. import context, settings
from ..guard import never_raise
from .request import request_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("shipper")


class Middleware:
    """Puts the web request and its user on all audit records and jobs that come from handling it.

    `user` is called with the WSGI environment when the actor is first needed, and returns the user's id, a
    `shipper.context.Actor`, or None. Default: REMOTE_USER. Applications that authenticate later can call
    `shipper.identify(id)` instead. `trusted_proxies` overrides the setting of that name.
    """

    def __init__(
        self,
        application: WSGIApplication,
        *,
        user: Callable[[WSGIEnvironment], object] | None = None,
        trusted_proxies: Iterable[str] | None = None,
    ) -> None:
        self._application = application
        self._user = user or (lambda environ: environ.get("REMOTE_USER") or None)
        self._trusted = tuple(trusted_proxies) if trusted_proxies is not None else _trusted()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # A copy of the context for each request. A streaming response is generated in it, too.
        own_context = contextvars.copy_context()
        with never_raise("request"):
            headers = {
                name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"
            }
            path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
            web_request = request_of(
                headers,
                path.encode("latin-1", "replace").decode("utf-8", "replace"),
                environ.get("REMOTE_ADDR"),
                self._trusted,
                lambda: self._user(environ),
            )
            own_context.run(context.request.set, web_request)
        response = own_context.run(self._application, environ, start_response)
        if type(response) in (list, tuple, environ.get("wsgi.file_wrapper")):
            return response  # it is complete, and servers optimise these types
        return _StreamingResponse(response, own_context)


class _StreamingResponse:
    """The application's response, each part of it generated in the request's context."""

    def __init__(self, response: Iterable[bytes], own_context: contextvars.Context) -> None:
        self._parts, self._context = response, own_context

    def __iter__(self) -> Iterator[bytes]:
        iterator = self._context.run(iter, self._parts)
        while True:
            try:
                part: Any = self._context.run(next, iterator)
            except StopIteration:
                return
            yield part

    def close(self) -> None:
        close = getattr(self._parts, "close", None)
        if close is not None:
            self._context.run(close)


def _trusted() -> tuple[str, ...]:
    return settings.load(complain=log.error).trusted_proxies
