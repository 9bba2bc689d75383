"""What stands in a class under a method's name, called as Python would call it.

As a rule that is a function. A tracer may have put an object of its own there (ddtrace and others do so by wrapt), and
a test a mock: Python calls the first through its `__get__`, and the second without the instance.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any


def as_function(original: Any) -> Callable[..., Any]:
    """What stands in a class, as a function of `self`."""
    if type(original) is FunctionType:
        return original

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _bound(original, self, type(self))(*args, **kwargs)

    return _like(original, call)


def as_class_function(original: Any) -> Callable[..., Any]:
    """The same of a class method, as a function of the class."""
    if type(original) is classmethod and type(original.__func__) is FunctionType:
        return original.__func__

    def call(cls: Any, *args: Any, **kwargs: Any) -> Any:
        return _bound(original, None, cls)(*args, **kwargs)

    return _like(original.__func__, call)


def _bound(original: Any, instance: Any, owner: type) -> Any:
    get = getattr(type(original), "__get__", None)
    return original if get is None else get(original, instance, owner)


def _like(original: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    """`call` with the name and the documentation of what it stands for."""
    return wraps(original)(call) if hasattr(original, "__name__") else call


_MARK = "_shipper"


def mark(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """Say that a function is a wrapper of ours."""
    wrapped.__dict__[_MARK] = True
    return wrapped


def is_ours(function: Any) -> bool:
    """Whether it is a wrapper of ours, or was put around one."""
    return _MARK in getattr(function, "__dict__", {})
