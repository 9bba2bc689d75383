"""Calls a class attribute as Python would call it, whatever kind of object it is.

Usually it is a function. Tracers such as ddtrace put a wrapt object there, which Python calls through `__get__`. Tests
put a mock there, which Python calls without the instance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any

Wrapper = Callable[..., Any]
"""Called with what it wraps, and then the arguments of the call."""


def as_function(original: Any) -> Callable[..., Any]:
    """A class attribute as a function whose first argument is `self`."""
    if type(original) is FunctionType:
        return original

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _bound(original, self, type(self))(*args, **kwargs)

    return _with_metadata(original, call)


def as_class_function(original: Any) -> Callable[..., Any]:
    """A class method as a function whose first argument is the class."""
    if type(original) is classmethod and type(original.__func__) is FunctionType:
        return original.__func__

    def call(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return _bound(original, None, cls)(*args, **kwargs)

    return _with_metadata(original.__func__, call)


def _bound(original: Any, instance: Any, owner: type) -> Any:
    get = getattr(type(original), "__get__", None)
    return original if get is None else get(original, instance, owner)


def _with_metadata(original: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` with the name and docstring of `original`, if it has them."""
    return wraps(original)(call) if hasattr(original, "__name__") else call


_MARK = "_shipper"


def mark(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function as one of our wrappers."""
    wrapped.__dict__[_MARK] = True
    return wrapped


def is_ours(function: Any) -> bool:
    """Whether it is one of our wrappers, or wraps one."""
    return _MARK in getattr(function, "__dict__", {})
