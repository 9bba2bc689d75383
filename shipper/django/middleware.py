"""Django middleware: puts the web request, and `request.user` as the actor, on audit records and jobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.db import connections
from django.http import FileResponse
from django.utils.functional import LazyObject, empty

from .. import context, settings
from ..context import Actor, Request
from ..guard import never_raise
from ..web.request import request_of

log = logging.getLogger("shipper")


class Middleware:
    """Puts the web request and its user on all audit records and jobs that come from handling it.

    May be first in MIDDLEWARE, as `request.user` is only evaluated when an actor is needed. A request that writes no
    records and enqueues no jobs loads no session and needs no query. Override `actor_of` to choose another actor.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)
        self._trusted = settings.load(complain=log.error).trusted_proxies

    def __call__(self, request: Any) -> Any:
        web_request = self._request(request)
        if self._is_async:
            return self._call_async(request, web_request)
        before = context.request.set(web_request)
        try:
            return _streamed_within(web_request, self.get_response(request))
        finally:
            context.request.reset(before)

    async def _call_async(self, request: Any, web_request: Request | None) -> Any:
        before = context.request.set(web_request)
        try:
            return _streamed_within(web_request, await self.get_response(request))
        finally:
            context.request.reset(before)

    def actor_of(self, user: Any) -> Actor | None:
        """The actor for `request.user`; None if it is not authenticated."""
        if getattr(user, "pk", None) is None or not getattr(user, "is_authenticated", False):
            return None
        return Actor("user", str(user.pk), str(user.get_username()))

    def _request(self, request: Any) -> Request | None:
        with never_raise("request"):
            outer = context.request.get()
            user = _UserOfRequest(request, self.actor_of)
            web_request = request_of(
                {name.lower(): value for name, value in request.headers.items()},
                request.path,
                request.META.get("REMOTE_ADDR"),
                self._trusted,
                user,
            )
            if outer is None:
                return web_request
            # One of shipper.web's middlewares wraps the whole application: it is the same request.
            merged = Request(
                id=outer.id,
                path=outer.path,
                address=outer.address,
                agent=outer.agent,
                trace_id=outer.trace_id,
                find_actor=lambda: outer.resolve_actor() or web_request.resolve_actor(),
            )
            merged.generated_trace_id = outer.generated_trace_id
            return merged
        return None


class _UserOfRequest:
    """Finds the actor of a request. Called when it is first needed, and again until there is one."""

    def __init__(self, request: Any, actor_of: Callable[[Any], Actor | None]) -> None:
        self._request, self._actor_of = request, actor_of
        self._is_running = False

    def __call__(self) -> Actor | None:
        if self._is_running:  # the application writes a record while it loads the user
            return None
        self._is_running = True
        try:
            return self._actor_of(self._user())
        finally:
            self._is_running = False

    def _user(self) -> Any:
        user = getattr(self._request, "user", None)
        if not isinstance(user, LazyObject) or user._wrapped is not empty:
            return user
        if (cached := getattr(self._request, "_acached_user", None)) is not None:  # by `await request.auser()`
            return cached
        if not _in_event_loop():
            return user
        # Django refuses queries in an event loop's thread, and this function is not async.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_load_user, user).result()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _load_user(user: Any) -> Any:
    try:
        return user if user.is_authenticated else None
    finally:
        connections.close_all()  # those of this thread


def forget_actor(request: Any = None, **_: Any) -> None:
    """After a login, the new user is the actor."""
    web_request = context.request.get()
    if web_request is not None and request is not None:
        web_request.actor = None


def remember_actor(request: Any = None, **_: Any) -> None:
    """Before a logout: the user remains the actor for the rest of the request."""
    web_request = context.request.get()
    if web_request is not None and request is not None:
        web_request.resolve_actor()


def _streamed_within(web_request: Request | None, response: Any) -> Any:
    """The response. A streaming one is generated in the request's context, though that is after the middlewares."""
    with never_raise("request"):
        # The server sends a file itself, without calling the application.
        if web_request is not None and getattr(response, "streaming", False) and not isinstance(response, FileResponse):
            parts = response.streaming_content
            response.streaming_content = (
                _async_parts(web_request, aiter(parts)) if response.is_async else _parts(web_request, iter(parts))
            )
    return response


def _parts(web_request: Request, parts: Iterator[Any]) -> Iterator[Any]:
    while True:
        before = context.request.set(web_request)
        try:
            part = next(parts)
        except StopIteration:
            return
        finally:
            context.request.reset(before)
        yield part


async def _async_parts(web_request: Request, parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        while True:
            before = context.request.set(web_request)
            try:
                part = await anext(parts)
            except StopAsyncIteration:
                return
            finally:
                context.request.reset(before)
            yield part
    finally:
        close: Callable[[], Awaitable[None]] | None = getattr(parts, "aclose", None)
        if close is not None:
            await close()
