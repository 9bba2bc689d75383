"""Puts a function of ours around a method of Django's."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

_DONE = "_shipper_wrapped"


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Call `wrapper(original, *args, **kwargs)` for whoever calls `owner.name`. Doing it again does nothing."""
    original = getattr(owner, name)
    if hasattr(original, _DONE):
        return

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(wrapped, _DONE, True)
    setattr(owner, name, wrapped)
