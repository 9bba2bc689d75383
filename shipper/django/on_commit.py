"""Carries log context and actor over to functions that Django or django-rq call later, at the commit.

`transaction.on_commit(f)` calls f when the outermost `atomic()` ends, and django-rq enqueues that way. By then the
`shipper.log_context` and `shipper.actor` blocks around the call of on_commit have ended.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from django.apps import apps
from django.db.backends.base.base import BaseDatabaseWrapper

from .. import context
from ..guard import never_raise
from .patching import wrap


def wrap_on_commit() -> None:
    """Wrap the method that `transaction.on_commit` calls.

    Only our own context variables are restored for the callback: a copy of the whole context would also restore
    Django's language and time zone.
    """
    wrap(BaseDatabaseWrapper, "on_commit", _on_commit)


def wrap_thread_queue() -> None:
    """Wrap django-rq's other mode, which enqueues after the request."""
    if apps.is_installed("django_rq"):
        wrap(import_module("django_rq.thread_queue"), "add", _add)


def _on_commit(original: Callable[..., Any], connection: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    with never_raise("on_commit"):
        if callable(func):  # Django rejects anything else
            func = _in_this_context(func)
    return original(connection, func, *args, **kwargs)


def _add(original: Callable[..., Any], queue: Any, *args: Any, **kwargs: Any) -> Any:
    with never_raise("thread_queue"):
        queue = _QueueInContext(queue)
    return original(queue, *args, **kwargs)


class _QueueInContext:
    """A queue that enqueues later, in the context of its creation."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.original_enqueue_call = _in_this_context(queue.original_enqueue_call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def _in_this_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, wrapped to be called in the current context; unchanged if there is none."""
    captured = context.CapturedContext()
    if not captured:
        return function

    @wraps(function, updated=())  # Django logs failed callbacks by their __qualname__
    def call(*args: Any, **kwargs: Any) -> Any:
        with captured.restored():
            return function(*args, **kwargs)

    return call
