"""Who and what the work at hand is for: set by the application, carried by jobs, written on every record."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_NOTHING: Mapping[str, str] = MappingProxyType({})
_current: ContextVar[Mapping[str, str]] = ContextVar("shipper_log_context", default=_NOTHING)


def current() -> Mapping[str, str]:
    """What is in force here and now."""
    return _current.get()


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Put fields on every record made inside the with-block, and on those of the jobs enqueued in it.

    `user` becomes `user.id` and `customer` becomes `organization.id`; every other name becomes a label.
    Values are written as text; None takes a field away. Blocks nest, and the old values come back at the
    end. Also a decorator: `@log_context(customer="42")`.
    """
    kept = {**_current.get(), **{name: str(value) for name, value in fields.items() if value is not None}}
    for name, value in fields.items():
        if value is None:
            kept.pop(name, None)
    before = _current.set(MappingProxyType(kept))
    try:
        yield
    finally:
        _current.reset(before)
