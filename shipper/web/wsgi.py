"""The middleware for WSGI applications: Django, Flask, Pyramid, Bottle.

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
    """Every audit record, and every job, that comes from answering a request carries that request and its user.

    `user` is called with the WSGI environment when the actor is first needed, and returns the user's id, a
    `shipper.context.Actor`, or None. Without it REMOTE_USER counts. Applications that know the user only
    further in call `shipper.identify(id)` there. `trusted_proxies` is the setting of that name, unless given.
    """

    def __init__(
        self, application: WSGIApplication, *, user: Callable[[WSGIEnvironment], object] | None = None,
        trusted_proxies: Iterable[str] | None = None,
    ) -> None:  # fmt: skip
        self._application = application
        self._user = user or (lambda environ: environ.get("REMOTE_USER") or None)
        self._trusted = tuple(trusted_proxies) if trusted_proxies is not None else _trusted()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # A context of its own for each request, which is also that of an answer that is made bit by bit.
        within = contextvars.copy_context()
        with never_raise("request"):
            headers = {
                name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name[:5] == "HTTP_"
            }
            path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
            answered = request_of(
                headers, path.encode("latin-1", "replace").decode("utf-8", "replace"), environ.get("REMOTE_ADDR"),
                self._trusted, lambda: self._user(environ),
            )  # fmt: skip
            within.run(context.request.set, answered)
        answer = within.run(self._application, environ, start_response)
        if type(answer) in (list, tuple, environ.get("wsgi.file_wrapper")):
            return answer  # all of it is there already; servers look at its type to send it faster
        return _Answer(answer, within)


class _Answer:
    """The application's answer, each part of it made within the request's context."""

    def __init__(self, answer: Iterable[bytes], within: contextvars.Context) -> None:
        self._answer, self._within = answer, within

    def __iter__(self) -> Iterator[bytes]:
        parts = self._within.run(iter, self._answer)
        while True:
            try:
                part: Any = self._within.run(next, parts)
            except StopIteration:
                return
            yield part

    def close(self) -> None:
        close = getattr(self._answer, "close", None)
        if close is not None:
            self._within.run(close)


def _trusted() -> tuple[str, ...]:
    return settings.load(complain=log.error).trusted_proxies
