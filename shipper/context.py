"""Who and what the work at hand is for: set by the application, carried by jobs, written on every record."""

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
    """The web request that is being answered.

    Mutable, and shared by whatever threads and tasks answer it: whoever signs the user in does it far inside of
    the middleware that made this. `find_actor` is asked when the actor is first needed, and again until it
    knows one.
    """

    __slots__ = ("_find_actor", "actor", "address", "agent", "id", "minted_trace", "path", "trace_id")

    def __init__(
        self, *, id: str, path: str | None = None, address: str | None = None, agent: str | None = None,
        trace_id: str | None = None, find_actor: Callable[[], Actor | None] = lambda: None,
    ) -> None:  # fmt: skip
        self.id, self.path, self.address, self.agent, self.trace_id = id, path, address, agent, trace_id
        self.minted_trace = trace_id or secrets.token_hex(16)
        self.actor: Actor | None = None
        self._find_actor = find_actor

    def who(self) -> Actor | None:
        """Whoever was named by `identify`, else whom the middleware finds."""
        if self.actor is None:
            try:
                self.actor = self._find_actor()
            except Exception:  # the application's own function: no record is lost for it
                return None
        return self.actor


request: ContextVar[Request | None] = ContextVar("shipper_request", default=None)
_actor: ContextVar[Actor | None] = ContextVar("shipper_actor", default=None)
_asked_in: ContextVar[str | None] = ContextVar("shipper_request_id", default=None)


def request_id() -> str | None:
    """The id of the web request at hand; in a job, of the one in which it was asked for."""
    answered = request.get()
    return answered.id if answered is not None else _asked_in.get()


@contextmanager
def within_request(identifier: str | None) -> Iterator[None]:
    """In the block a job runs that was asked for in this request."""
    before = _asked_in.set(identifier)
    try:
        yield
    finally:
        _asked_in.reset(before)


def acting() -> Actor | None:
    """Who acts here and now: the nearest `actor` block, else the request's. None if nobody said."""
    actor = _actor.get()
    if actor is not None:
        return actor
    answered = request.get()
    return answered.who() if answered is not None else None


@contextmanager
def actor(
    type: str = "user", id: object = None, *, name: object = None, roles: Iterable[object] = (),
    effective_id: object = None,
) -> Iterator[None]:  # fmt: skip
    """Say who acts inside the with-block: on its audit records, and on those of the jobs enqueued in it.

    `type` is user, api_key, job, system or operator; `effective_id` is whom they act as (impersonation).
    Also a decorator. Blocks nest, and the old actor comes back at the end. Never raises for a value.
    """
    before = _actor.set(_made(type, id, name, roles, effective_id))
    try:
        yield
    finally:
        _actor.reset(before)


def identify(
    id: object, *, type: str = "user", name: object = None, roles: Iterable[object] = (), effective_id: object = None
) -> None:
    """Say who is behind the web request at hand, once they have signed in. Holds to the end of the request.

    For applications whose middlewares know the user only inside of ours. Outside of a request it does nothing.
    """
    answered = request.get()
    if answered is not None:
        answered.actor = _made(type, id, name, roles, effective_id)


@contextmanager
def acting_as(who: Actor | None) -> Iterator[None]:
    """The same as `actor`, for one that is made already; None changes nothing."""
    before = _actor.set(who if who is not None else _actor.get())
    try:
        yield
    finally:
        _actor.reset(before)


def _made(type: str, id: object, name: object, roles: Iterable[object], effective_id: object) -> Actor:
    return Actor(
        _text(type) or "user",
        None if id is None else _text(id),
        None if name is None else _text(name),
        (_text(roles),) if isinstance(roles, str) else tuple(map(_text, roles)),
        None if effective_id is None else _text(effective_id),
    )


def current() -> Mapping[str, str]:
    """What is in force here and now.

    The trace is the one that `log_context` names, else the request's `traceparent`, else the one OpenTelemetry is
    in, else the request's own. The user is the one that `log_context` names, else the actor.
    """
    given = _current.get()
    answered = request.get()
    who = acting()
    if who is not None and who.type == "user" and who.id is not None and "user" not in given:
        given = {**given, "user": who.effective_id or who.id}
    if "trace_id" in given:
        return given
    if answered is not None and answered.trace_id is not None:
        return {**given, "trace_id": answered.trace_id}
    if span := _opentelemetry_span():
        return {**given, **span}
    return {**given, "trace_id": answered.minted_trace} if answered is not None else given


def _opentelemetry_span() -> dict[str, str]:
    api = sys.modules.get("opentelemetry.trace")  # never imported for its sake: the application has it, or not
    span = api.get_current_span().get_span_context() if api is not None else None
    if span is None or not span.is_valid:
        return {}
    return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}


class CapturedContext:
    """What is in force where it is made, to be put in force again around something that is called later.

    Only our own variables: whatever else is in Python's context is as it is when the call is made. False if nothing
    is in force. Who is behind a request is not asked for here.
    """

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: list[tuple[ContextVar[Any], Any]] = [
            (variable, value) for variable in _CAPTURED if (value := variable.get())
        ]
        answered = request.get()
        known = "trace_id" in _current.get() or (answered is not None and answered.trace_id is not None)
        if not known and (span := _opentelemetry_span()):  # which may have ended by then
            self._values.append((_current, MappingProxyType({**_current.get(), **span})))

    def __bool__(self) -> bool:
        return bool(self._values)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """In the block is in force what was in force where it was captured, and nothing else of ours."""
        values = {variable: None if variable is not _current else _NOTHING for variable in _CAPTURED}
        before = [(variable, variable.set(value)) for variable, value in (values | dict(self._values)).items()]
        try:
            yield
        finally:
            for variable, token in before:
                variable.reset(token)


_CAPTURED: tuple[ContextVar[Any], ...] = (_current, running, request, _actor, _asked_in)


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


def job_fields(job: RunningJob) -> dict[str, Any]:
    """The running job as the fields of a record."""
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
    except Exception:  # somebody else's __str__ may do anything, and nobody's job is to fail for it
        return f"<{type(value).__name__} that cannot be shown>"
