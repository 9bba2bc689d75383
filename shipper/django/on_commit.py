"""What is in force at a call goes along to where Django, or django-rq, carries it out: at the commit.

`transaction.on_commit(f)` calls f when the outermost `atomic()` ends, and django-rq enqueues so. By then the
with-blocks of `shipper.log_context` and `shipper.actor` around the call have ended.
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
    """Wrap the one method that `connection.on_commit` and `transaction.on_commit` come down to.

    A callback is called within our own context variables as they were at the call, and for the rest as Django does
    it: Python's whole context would also bring back the language and the time zone of the call.
    """
    wrap(BaseDatabaseWrapper, "on_commit", _on_commit)


def wrap_thread_queue() -> None:
    """The same for django-rq's other mode, which enqueues when the request has been answered."""
    if apps.is_installed("django_rq"):
        wrap(import_module("django_rq.thread_queue"), "add", _add)


def _on_commit(original: Callable[..., Any], connection: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
    with never_raise("on_commit"):
        if callable(func):  # what else it may be, Django is about to refuse
            func = _in_this_context(func)
    return original(connection, func, *args, **kwargs)


def _add(original: Callable[..., Any], queue: Any, *args: Any, **kwargs: Any) -> Any:
    with never_raise("thread_queue"):
        queue = _QueueInContext(queue)
    return original(queue, *args, **kwargs)


class _QueueInContext:
    """A queue that will enqueue what is kept for it in the context of now."""

    def __init__(self, queue: Any) -> None:
        self._queue = queue
        self.original_enqueue_call = _in_this_context(queue.original_enqueue_call)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def _in_this_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to be called in the context that is in force now; itself where none is."""
    captured = context.CapturedContext()
    if not captured:
        return function

    @wraps(function, updated=())  # Django names a robust callback that fails by its __qualname__
    def call(*args: Any, **kwargs: Any) -> Any:
        with captured.restored():
            return function(*args, **kwargs)

    return call
