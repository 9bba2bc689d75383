"""The log context, actor and web request of the current code: context variables that jobs carry and records show."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, str] = MappingProxyType({})
_current: ContextVar[Mapping[str, str]] = ContextVar("shipper_log_context", default=_NOTHING)

# Context names with a field of their own, as (object, key). Every other name is a label.
_PLACES = {
    "user": ("user", "id"),
    "customer": ("organization", "id"),
    "trace_id": ("trace", "id"),
    "span_id": ("span", "id"),
}


class RunningJob(NamedTuple):
    """The job that this process, or thread of a SimpleWorker, is running."""

    job_id: str
    function: str | None
    queue: str
    attempt: int
    execution_id: str | None
    root_job_id: str
    parent_job_id: str | None = None


running: ContextVar[RunningJob | None] = ContextVar("shipper_running_job", default=None)


class Actor(NamedTuple):
    """Who acts. `type` is user, api_key, job, system or operator; `effective_id` is whom they act as."""

    type: str
    id: str | None = None
    name: str | None = None
    roles: tuple[str, ...] = ()
    effective_id: str | None = None


class Request:
    """The current web request.

    Mutable, and shared by the threads and tasks that handle it, as the user may be authenticated long after the
    middleware created it. `trace_id` is that of the `traceparent` header, `generated_trace_id` is used without one.
    `find_actor` is called when the actor is first needed, and again until it returns one.
    """

    __slots__ = ("_find_actor", "actor", "address", "agent", "generated_trace_id", "id", "path", "trace_id")

    def __init__(
        self,
        *,
        id: str,
        path: str | None = None,
        address: str | None = None,
        agent: str | None = None,
        trace_id: str | None = None,
        find_actor: Callable[[], Actor | None] = lambda: None,
    ) -> None:
        self.id, self.path, self.address, self.agent, self.trace_id = id, path, address, agent, trace_id
        self.generated_trace_id = trace_id or secrets.token_hex(16)
        self.actor: Actor | None = None
        self._find_actor = find_actor

    def resolve_actor(self) -> Actor | None:
        """The actor set by `identify`, else the one the middleware finds. None if there is none."""
        if self.actor is None:
            try:
                self.actor = self._find_actor()
            except Exception:  # the application's function must not cost a record
                return None
        return self.actor


request: ContextVar[Request | None] = ContextVar("shipper_request", default=None)
_actor: ContextVar[Actor | None] = ContextVar("shipper_actor", default=None)
_request_id: ContextVar[str | None] = ContextVar("shipper_request_id", default=None)


def request_id() -> str | None:
    """The id of the current web request; in a job, of the one in which it was enqueued."""
    web_request = request.get()
    return web_request.id if web_request is not None else _request_id.get()


@contextmanager
def within_request(identifier: str | None) -> Iterator[None]:
    """Within the block, a job runs that was enqueued in the web request of this id."""
    before = _request_id.set(identifier)
    try:
        yield
    finally:
        _request_id.reset(before)


def current_actor() -> Actor | None:
    """The actor of the innermost `actor` block, else of the web request. None if there is none."""
    actor = _actor.get()
    if actor is not None:
        return actor
    web_request = request.get()
    return web_request.resolve_actor() if web_request is not None else None


@contextmanager
def actor(
    type: str = "user",
    id: object = None,
    *,
    name: object = None,
    roles: Iterable[object] = (),
    effective_id: object = None,
) -> Iterator[None]:
    """Set the actor for the audit records written, and the jobs enqueued, in the with-block. Also a decorator.

    `type` is user, api_key, job, system or operator; `effective_id` is whom they act as (impersonation).
    Blocks nest, and the previous actor is restored at the end. Never raises for a value.
    """
    before = _actor.set(_make_actor(type, id, name, roles, effective_id))
    try:
        yield
    finally:
        _actor.reset(before)


def identify(
    id: object, *, type: str = "user", name: object = None, roles: Iterable[object] = (), effective_id: object = None
) -> None:
    """Set the actor of the current web request, up to its end. Does nothing outside of a request.

    For applications that authenticate the user in code that our middleware calls.
    """
    web_request = request.get()
    if web_request is not None:
        web_request.actor = _make_actor(type, id, name, roles, effective_id)


@contextmanager
def acting_as(new_actor: Actor | None) -> Iterator[None]:
    """Like `actor`, for an existing Actor. None keeps the current one."""
    before = _actor.set(new_actor if new_actor is not None else _actor.get())
    try:
        yield
    finally:
        _actor.reset(before)


def _make_actor(type: str, id: object, name: object, roles: Iterable[object], effective_id: object) -> Actor:
    return Actor(
        _text(type) or "user",
        None if id is None else _text(id),
        None if name is None else _text(name),
        (_text(roles),) if isinstance(roles, str) else tuple(map(_text, roles)),
        None if effective_id is None else _text(effective_id),
    )


def current() -> Mapping[str, str]:
    """The log context, with the user and the trace filled in.

    The trace is that of `log_context`, else of the request's `traceparent`, else of the OpenTelemetry span, else one
    generated for the request. The user is that of `log_context`, else the actor.
    """
    fields = _current.get()
    web_request = request.get()
    who = current_actor()
    if who is not None and who.type == "user" and who.id is not None and "user" not in fields:
        fields = {**fields, "user": who.effective_id or who.id}
    if "trace_id" in fields:
        return fields
    if web_request is not None and web_request.trace_id is not None:
        return {**fields, "trace_id": web_request.trace_id}
    if _OPENTELEMETRY in sys.modules and (span := _opentelemetry_span()):
        return {**fields, **span}
    return {**fields, "trace_id": web_request.generated_trace_id} if web_request is not None else fields


_OPENTELEMETRY = "opentelemetry.trace"


def _opentelemetry_span() -> dict[str, str]:
    api = sys.modules.get(_OPENTELEMETRY)  # never imported here, only used if the application has it
    span = api.get_current_span().get_span_context() if api is not None else None
    if span is None or not span.is_valid:
        return {}
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


class CapturedContext:
    """The values of our context variables when it was created, to restore them around a later call.

    Other context variables are not touched. False if all of ours were unset. Does not look up the request's actor.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: list[tuple[ContextVar[Any], Any]] = [
            (variable, value) for variable in _CAPTURED if (value := variable.get())
        ]
        web_request = request.get()
        has_trace = "trace_id" in _current.get() or (web_request is not None and web_request.trace_id is not None)
        if not has_trace and (span := _opentelemetry_span()):  # the span may have ended at the later call
            self._values.append((_current, {**_current.get(), **span}))

    def __bool__(self) -> bool:
        return bool(self._values)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Within the block, our context variables have the captured values, or are unset."""
        values = {variable: None if variable is not _current else _NOTHING for variable in _CAPTURED}
        before = [(variable, variable.set(value)) for variable, value in (values | dict(self._values)).items()]
        try:
            yield
        finally:
            for variable, token in before:
                variable.reset(token)


_CAPTURED: tuple[ContextVar[Any], ...] = (_current, running, request, _actor, _request_id)


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Add fields to every record written, and to the records of every job enqueued, in the with-block.

    `user` becomes `user.id`, `customer` becomes `organization.id`, `trace_id` and `span_id` become `trace.id`
    and `span.id`; every other name becomes a label. Values are converted to text; None removes a field.
    Blocks nest, and the previous values are restored at the end. Also a decorator: `@log_context(customer="42")`.
    """
    kept = {**_current.get(), **{name: _text(value) for name, value in fields.items() if value is not None}}
    for name, value in fields.items():
        if value is None:
            kept.pop(name, None)
    before = _current.set(kept)
    try:
        yield
    finally:
        _current.reset(before)


def fields_of(context: Mapping[str, str]) -> dict[str, Any]:
    """A log context as fields of a record: `{"user": {"id": …}, "labels": {…}}`."""
    fields: dict[str, Any] = {}
    labels = {}
    for name, value in context.items():
        if place := _PLACES.get(name):
            kind, key = place
            fields[kind] = {key: value}
        else:
            labels[name.replace("\0", "\\0")] = value  # Elasticsearch refuses a NUL in a flattened field's key
    if labels:
        fields["labels"] = labels
    return fields


def job_fields(job: RunningJob) -> dict[str, Any]:
    """The running job as fields of a record."""
    rq: dict[str, Any] = {"attempt": job.attempt, "root_job_id": job.root_job_id}
    if job.execution_id:
        rq["execution_id"] = job.execution_id
    if job.parent_job_id:
        rq["parent_job_id"] = job.parent_job_id
    fields: dict[str, Any] = {
        "messaging": {"system": "rq", "destination": {"name": job.queue}, "message": {"id": job.job_id}},
        "rq": rq,
    }
    if job.function:
        fields["code"] = {"function": {"name": job.function}}
    return fields


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # a foreign __str__ may raise anything, and must not make the job fail
        return f"<{type(value).__name__} that cannot be shown>"
