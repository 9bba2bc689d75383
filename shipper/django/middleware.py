"""The middleware: what a request does is recorded with the request, and with `request.user` as the actor."""

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
    """Every audit record, and every job, that comes from answering a request carries that request and its user.

    It may stand first in MIDDLEWARE: `request.user` is looked at when an actor is first needed, and not before. A
    request that neither records nor enqueues anything costs no session and no query. A subclass may say otherwise
    who acts, by `actor_of`.
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
        answered = self._answered(request)
        if self._is_async:
            return self._answer_async(request, answered)
        before = context.request.set(answered)
        try:
            return _with_parts_within(answered, self.get_response(request))
        finally:
            context.request.reset(before)

    async def _answer_async(self, request: Any, answered: Request | None) -> Any:
        before = context.request.set(answered)
        try:
            return _with_parts_within(answered, await self.get_response(request))
        finally:
            context.request.reset(before)

    def actor_of(self, user: Any) -> Actor | None:
        """Who acts, given `request.user`; None if nobody has signed in."""
        if getattr(user, "pk", None) is None or not getattr(user, "is_authenticated", False):
            return None
        return Actor("user", str(user.pk), str(user.get_username()))

    def _answered(self, request: Any) -> Request | None:
        with never_raise("request"):
            outer = context.request.get()
            user = _UserOfRequest(request, self.actor_of)
            answered = request_of(
                {name.lower(): value for name, value in request.headers.items()}, request.path,
                request.META.get("REMOTE_ADDR"), self._trusted, user,
            )  # fmt: skip
            if outer is None:
                return answered
            # One of shipper.web's middlewares is around the whole application: it is the same request.
            found = Request(
                id=outer.id, path=outer.path, address=outer.address, agent=outer.agent, trace_id=outer.trace_id,
                find_actor=lambda: outer.resolve_actor() or answered.resolve_actor(),
            )  # fmt: skip
            found.generated_trace_id = outer.generated_trace_id
            return found
        return None


class _UserOfRequest:
    """Finds out who is behind a request. Called when that is first needed, and again until somebody is."""

    def __init__(self, request: Any, actor_of: Callable[[Any], Actor | None]) -> None:
        self._request, self._actor_of = request, actor_of
        self._looking = False

    def __call__(self) -> Actor | None:
        if self._looking:  # the application records something while it looks the user up
            return None
        self._looking = True
        try:
            return self._actor_of(self._user())
        finally:
            self._looking = False

    def _user(self) -> Any:
        user = getattr(self._request, "user", None)
        if not isinstance(user, LazyObject) or user._wrapped is not empty:
            return user
        if (found := getattr(self._request, "_acached_user", None)) is not None:  # by `await request.auser()`
            return found
        if not _in_event_loop():
            return user
        # Django refuses queries in an event loop's thread, and there is no await from here.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_look_up, user).result()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _look_up(user: Any) -> Any:
    try:
        return user if user.is_authenticated else None
    finally:
        connections.close_all()  # this thread's own


def forget_actor(request: Any = None, **_: Any) -> None:
    """Somebody signs in: from here on it is they who act."""
    answered = context.request.get()
    if answered is not None and request is not None:
        answered.actor = None


def remember_actor(request: Any = None, **_: Any) -> None:
    """Somebody signs out: it is still they who do the rest of this request."""
    answered = context.request.get()
    if answered is not None and request is not None:
        answered.resolve_actor()


def _with_parts_within(answered: Request | None, response: Any) -> Any:
    """The response, made within the request even where that is bit by bit, after the middlewares."""
    with never_raise("request"):
        # A file is sent by the server itself, and nothing of the application is called meanwhile.
        if answered is not None and getattr(response, "streaming", False) and not isinstance(response, FileResponse):
            parts = response.streaming_content
            response.streaming_content = (
                _async_parts(answered, aiter(parts)) if response.is_async else _parts(answered, iter(parts))
            )
    return response


def _parts(answered: Request, parts: Iterator[Any]) -> Iterator[Any]:
    while True:
        before = context.request.set(answered)
        try:
            part = next(parts)
        except StopIteration:
            return
        finally:
            context.request.reset(before)
        yield part


async def _async_parts(answered: Request, parts: AsyncIterator[Any]) -> AsyncIterator[Any]:
    try:
        while True:
            before = context.request.set(answered)
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
