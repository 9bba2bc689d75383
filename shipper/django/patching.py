"""Wraps methods of Django."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

_MARK = "_shipper_wrapped"


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace `owner.name` by a call of `wrapper(original, *args, **kwargs)`. Repeating it does nothing."""
    original = getattr(owner, name)
    if hasattr(original, _MARK):
        return

    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(wrapped, _MARK, True)
    setattr(owner, name, wrapped)
