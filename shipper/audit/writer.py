"""Builds audit records and appends them to the chain in the log.

The fields are ECS (https://www.elastic.co/docs/reference/ecs); what ECS lacks is under `audit.*`. Values are redacted
and cut before they are written.
"""

from __future__ import annotations

import atexit
import getpass
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import context
from ..context import Actor, RunningJob
from ..errors import AuditError
from ..records import Record, begin, encode, now, shorten
from ..redact import TEXT_LIMIT, Redactor
from ..service import ServiceInfo
from ..settings import Settings
from ..sink import WARN_EVERY_S, Sink, account_name
from . import chain
from .chain import Keys
from .chaining import Chain
from .seals import Kind, Seals

log = logging.getLogger("shipper")

DATASET = "rq.audit"
CUT_TAG, NO_ACTOR_TAG, UNCHAINED_TAG = "changes-cut", "no-actor", "unchained"
OUTCOMES = frozenset({"success", "failure", "denied", "unknown"})
LOGIN_ID = Path("/proc/self/loginuid")
NO_LOGIN = 2**32 - 1  # loginuid of a process that does not belong to a login session

_PAIR_LENGTH = 2


@dataclass(slots=True, kw_only=True)
class Event:
    """What an audit record is made of. See `shipper.audit.record` for the fields that are not described here."""

    action: str
    resource: Any = None
    outcome: str = "success"
    category: str | None = None
    type: str | None = None
    changes: Mapping[str, Any] | None = None
    reason: str | None = None
    target: object = None
    message: str | None = None
    duration_ns: int | None = None
    error: BaseException | None = None
    operator: bool = False
    """An operation on RQ: without an actor in the context, the actor is the logged-in user."""
    actor: Actor | None = None
    """Overrides the actor of the context."""
    more: Mapping[str, Any] | None = None
    """Additional fields of the record. Not redacted."""
    more_audit: Mapping[str, Any] | None = None
    """Additional fields of its `audit` object. Not redacted."""
    tags: tuple[str, ...] = ()
    """Additional tags of the record."""


class Trail:
    """Writes audit records to `settings.log`. Safe for threads and forks; one per process is enough.

    Without `create`, for processes of other accounts than the writers': nothing is written where there is no log.
    """

    def __init__(self, settings: Settings, sink: Sink | None = None, *, create: bool = True) -> None:
        self.sink = sink or Sink(settings.log, settings.log_mode, create=create)
        self._settings = settings
        self._redactor = Redactor(settings.redact)
        self._cached_service = ServiceInfo.here(settings)
        keys = Keys.of(settings.audit_key, settings.audit_retired_keys)
        seals = Seals(self._service, settings.audit_sign_key)
        self._chain = Chain(settings.log, self.sink, keys, seals, settings.log_mode, create=create)
        self._seals_at_exit = False
        self._warned = -WARN_EVERY_S

    def write(self, event: Event, *, durable: bool = False) -> Record:
        """Append the record of an event, and return it as written. With `durable` it is on disk by then.

        Raises AuditError with `durable` if that fails. Without, the sink logs a warning. A record that cannot be
        chained is written with the tag `unchained`.
        """
        record = self.record(event)
        try:
            written = self._append(record, event)
        except (OSError, ValueError) as error:
            self._warn(error)
            record.setdefault("tags", []).append(UNCHAINED_TAG)
            written = self.sink.append(encode(record))
        if not self._seals_at_exit:
            self._seals_at_exit = True
            atexit.register(self._seal_at_exit)  # not in work-horses: they end by os._exit
        if durable:
            self._make_durable(written)
        return record

    def seal(self, kind: Kind) -> bool:
        """Seal the chain of the log, if there is one: see Chain.seal. Never raises."""
        try:
            return self._chain.seal(kind)
        except (OSError, ValueError) as error:  # whoever appends the next record seals it
            log.debug("The audit chain could not be sealed: %s", error)
            return False

    def _seal_at_exit(self) -> None:
        self.seal(Kind())

    def _warn(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._warned >= WARN_EVERY_S:
            self._warned = now
            log.warning(
                "The audit chain of %s cannot be continued now: %s. Records are written without it, and tagged %s.",
                self.sink.path,
                error,
                UNCHAINED_TAG,
                extra={"event.action": "audit-unchained"},
            )

    def _append(self, record: Record, event: Event) -> bool:
        try:
            return self._chain.append(record)
        except ValueError:  # an integer that JSON cannot say exactly, which is rare
            exact = chain.exact(self.record(event))
            record.clear()
            record.update(exact)
            return self._chain.append(record)

    def _make_durable(self, written: bool) -> None:
        if not written:
            raise AuditError(f"The audit record could not be written to {self.sink.path}. Is the disk full?")
        try:
            self.sink.sync()
        except OSError as error:
            raise AuditError(f"{self.sink.path} could not be synced: {error.strerror}.") from error

    def record(self, event: Event) -> Record:
        """The record of an event, before it is appended to the chain."""
        stamp, since_1970_ms = now()
        service = self._service()
        job, request = context.running.get(), context.request.get()
        fields = context.fields_of(context.current())
        who, actor, tags = self._actor(event, fields, job)
        resource = _resource(event.resource)
        outcome = event.outcome if event.outcome in OUTCOMES else "unknown"
        changes, cut = _changes(event.changes, self._redactor)
        if cut:
            tags.append(CUT_TAG)
        tags += event.tags
        record = begin(
            stamp,
            f"{since_1970_ms:012x}{os.urandom(10).hex()}",
            DATASET,
            {
                "kind": "event",
                "category": [event.category or ("process" if job else "web" if request else "configuration")],
                "type": [event.type or ("change" if changes else "info"), *(["denied"] if outcome == "denied" else [])],
                "action": _clean(event.action) or "unnamed",
                "outcome": "failure" if outcome == "denied" else outcome,
            },
        )
        record["ecs"] = service.ecs
        record["service"] = service.service_of(job.queue if job else None)
        record["host"] = service.host
        record["process"] = {"pid": service.pid}
        record["audit"] = audit = {"actor": actor}
        if job is not None:
            record |= context.job_fields(job)
        if event.more:
            record |= event.more
        if event.more_audit:
            audit |= event.more_audit
        if "labels" in fields:
            fields["labels"], _ = self._redactor.named(fields["labels"])
        for name, value in fields.items():
            record.setdefault(name, value)
        _put_user(record, who, event.target)
        if resource:
            audit["resource"] = resource
        if changes:
            audit["changes"] = changes
        _put_request(record, request)
        _put_outcome(record, event)
        record["message"] = _clean(event.message) or _sentence(record, who, outcome)
        _redact_texts(record, self._redactor)
        if tags:
            record["tags"] = tags
        return record

    def _actor(
        self, event: Event, fields: Mapping[str, Any], job: RunningJob | None
    ) -> tuple[Actor | None, dict[str, str], list[str]]:
        """(the actor, `audit.actor`, tags)."""
        who = event.actor or context.current_actor()
        if who is None and "user" in fields:
            who = Actor("user", fields["user"]["id"])
        if event.actor is None and job is not None:
            return who, {"type": "job", "requester": who.type} if who else {"type": "job"}, []
        if who is None and self._settings.actor:
            who = Actor("operator", self._settings.actor)
        if who is None and event.operator and context.request.get() is None:
            who = Actor("operator", login_name())
        if who is None:
            return None, {"type": "system"}, [NO_ACTOR_TAG]
        return who, {"type": who.type}, []

    def _service(self) -> ServiceInfo:
        if self._cached_service.pid != os.getpid():
            self._cached_service = ServiceInfo.here(self._settings)
        return self._cached_service


def login_name() -> str:
    """The user who logged in, also within sudo (proc(5), loginuid), else the owner of the process."""
    try:
        number = int(LOGIN_ID.read_text(encoding="ascii"))
    except (OSError, ValueError):
        number = NO_LOGIN
    if number == NO_LOGIN:
        if not hasattr(os, "getuid"):  # Windows
            return getpass.getuser()
        number = os.getuid()
    return account_name(number)


def _resource(given: Any) -> dict[str, str]:
    """What was acted on, by type (the application's name for it, such as `customer`), id and name, as far as given.

    `"customer:42"`, `("customer", 42)`, `("customer", 42, "Ann")`, or a mapping with type, id and name.
    """
    if given is None:
        return {}
    if isinstance(given, tuple | list):
        return _resource_of(*map(_clean, given[:3]))
    if type(given) is not str and isinstance(given, Mapping):
        return _resource_of(*(_clean(given.get(name)) for name in ("type", "id", "name")))
    kind, colon, identifier = str(_clean(given)).partition(":")
    return _resource_of(kind, identifier) if colon else _resource_of(None, kind)


def _resource_of(kind: str | None = None, identifier: str | None = None, name: str | None = None) -> dict[str, str]:
    fields = {}
    if kind:
        fields["type"] = kind
    if identifier:
        fields["id"] = identifier
    if name:
        fields["name"] = name
    return fields


def _changes(given: Any, redactor: Redactor) -> tuple[dict[str, Any], bool]:
    """`{"before": {…}, "after": {…}}`, redacted, and whether something was cut.

    Also accepts `{field: (before, after)}`, and any other mapping as `after`.
    """
    if given is None:
        return {}, False
    if type(given) is not dict and not isinstance(given, Mapping):
        given = {"value": given}
    parts: Mapping[str, Mapping[Any, Any]]
    if ("before" in given or "after" in given) and _are_sides(given):
        parts = given
    else:
        parts = _sides_of_pairs(given) or {"after": given}
    shown, cut = {}, False
    for name, values in parts.items():
        if values:
            shown[name], some = redactor.named(values)
            cut |= some
    return shown, cut


def _are_sides(given: Mapping[Any, Any]) -> bool:
    return set(given) <= {"before", "after"} and all(isinstance(part, Mapping) for part in given.values())


def _sides_of_pairs(given: Mapping[Any, Any]) -> dict[str, dict[Any, Any]] | None:
    """`{field: (before, after)}` as `{"before": {…}, "after": {…}}`; None if a value is no pair."""
    before, after = {}, {}
    for name, value in given.items():
        if not isinstance(value, tuple) or len(value) != _PAIR_LENGTH:
            return None
        before[name], after[name] = value
    return {"before": before, "after": after}


def _put_user(record: Record, who: Actor | None, target: object) -> None:
    user: dict[str, Any] = {}
    if who is not None:
        _, identifier, name, roles, effective_id = who
        if identifier:
            user["id"] = _clean(identifier)
        if name:
            user["name"] = _clean(name)
        if roles:
            user["roles"] = list(map(_clean, roles))
        if effective_id is not None:
            user["effective"] = {"id": _clean(effective_id)}
    if target is not None:
        user["target"] = {"id": _clean(target)}
    if user:
        record["user"] = user
    else:
        record.pop("user", None)


def _put_request(record: Record, request: context.Request | None) -> None:
    if (identifier := context.request_id()) is not None:
        record["http"] = {"request": {"id": _clean(identifier)}}
    if request is None:
        return
    if request.address:
        record["source"] = {"ip": request.address}
    if request.agent:
        record["user_agent"] = {"original": _clean(request.agent)}
    if request.path:
        record["url"] = {"path": _clean(request.path)}


def _put_outcome(record: Record, event: Event) -> None:
    if event.reason is not None:
        record["event"]["reason"] = _clean(event.reason)
    if event.duration_ns is not None:
        record["event"]["duration"] = event.duration_ns
    if event.error is not None:
        kind = type(event.error)
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        record["error"] = {"type": name, "message": _clean(event.error) or name}


def _redact_texts(record: Record, redactor: Redactor) -> None:
    """Redact what people and exceptions wrote: message, reason, error, and the name of the resource."""
    record["message"] = redactor.text(record["message"])
    event = record["event"]
    if reason := event.get("reason"):
        event["reason"] = redactor.text(reason, "event.reason")
    if error := record.get("error"):
        error["message"] = redactor.text(error["message"], "error.message")
    resource = record["audit"].get("resource")
    if resource and (name := resource.get("name")):
        resource["name"] = redactor.text(name, "audit.resource.name")


def _sentence(record: Record, who: Actor | None, outcome: str) -> str:
    """The default message: `ann: address-changed customer 42 (denied)`."""
    audit = record["audit"]
    actor = audit["actor"]["type"]
    name = (who.name or who.id) if who else None
    if actor == "job":
        function = record.get("code", {}).get("function", {}).get("name", "a job")
        name = f"{function} for {name}" if name else function
    text = f"{_clean(name) or actor}: {record['event']['action']}"
    if resource := audit.get("resource"):
        for part in (resource.get("type"), resource.get("name") or resource.get("id")):
            if part:
                text += f" {part}"
    if outcome in ("denied", "failure"):
        text += f" ({outcome})"
    return shorten(text, TEXT_LIMIT)


def _clean(value: object) -> str | None:
    """The value as text that can be encoded, at most TEXT_LIMIT characters. None for None. Never raises."""
    if value is None or (type(value) is str and len(value) <= TEXT_LIMIT and value.isascii()):
        return value
    try:
        text = value if isinstance(value, str) else str(value)
    except Exception:  # a foreign __str__ may raise anything
        text = f"<{type(value).__name__} that cannot be shown>"
    if len(text) > TEXT_LIMIT:
        text = text[: TEXT_LIMIT - 1] + "…"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
