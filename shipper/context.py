"""Who and what the work at hand is for: set by the application, carried by jobs, written on every record."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, str] = MappingProxyType({})
_current: ContextVar[Mapping[str, str]] = ContextVar("shipper_log_context", default=_NOTHING)

# Names with a place of their own in a record; every other name is a label.
_PLACES = {
    "user": ("user", "id"),
    "customer": ("organization", "id"),
    "trace_id": ("trace", "id"),
    "span_id": ("span", "id"),
}


class RunningJob(NamedTuple):
    """The job that this process (or thread of a SimpleWorker) is running."""

    job_id: str
    function: str | None
    queue: str
    attempt: int
    execution_id: str | None
    root_job_id: str


running: ContextVar[RunningJob | None] = ContextVar("shipper_running_job", default=None)


def current() -> Mapping[str, str]:
    """What is in force here and now, and the trace that OpenTelemetry is in, unless `log_context` names one."""
    given = _current.get()
    api = sys.modules.get("opentelemetry.trace")  # never imported for its sake: the application has it, or not
    if api is None or "trace_id" in given:
        return given
    span = api.get_current_span().get_span_context()
    if not span.is_valid:
        return given
    return {**given, "trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Put fields on every record made inside the with-block, and on those of the jobs enqueued in it.

    `user` becomes `user.id`, `customer` becomes `organization.id`, `trace_id` and `span_id` become `trace.id`
    and `span.id`; every other name becomes a label. Values are written as text; None takes a field away.
    Blocks nest, and the old values come back at the end. Also a decorator: `@log_context(customer="42")`.
    """
    kept = {**_current.get(), **{name: _text(value) for name, value in fields.items() if value is not None}}
    for name, value in fields.items():
        if value is None:
            kept.pop(name, None)
    before = _current.set(MappingProxyType(kept))
    try:
        yield
    finally:
        _current.reset(before)


def fields_of(context: Mapping[str, str]) -> dict[str, Any]:
    """A context as the fields of a record: `{"user": {"id": …}, "labels": {…}}`."""
    fields: dict[str, Any] = {}
    labels = {}
    for name, value in context.items():
        if place := _PLACES.get(name):
            fields.setdefault(place[0], {})[place[1]] = value
        else:
            labels[name.replace("\0", "\\0")] = value  # Elasticsearch refuses a NUL in a flattened field's key
    if labels:
        fields["labels"] = labels
    return fields


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # somebody else's __str__ may do anything, and nobody's job is to fail for it
        return f"<{type(value).__name__} that cannot be shown>"
