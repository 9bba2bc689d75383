"""Writes the audit records of row changes, when their transaction has committed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, NoReturn

from django.db import connections, transaction
from django.db.models import Model
from rq.timeouts import BaseTimeoutException

from .. import context, settings
from ..audit import api as audit
from ..audit.writer import Event
from ..forking import no_fork
from ..guard import never_raise
from ..redact import Redactor
from .registry import AuditedModel
from .rows import Rows, Values
from .values import plain

log = logging.getLogger("shipper")

BULK_TAG, FIXTURE_TAG, UNCOMMITTED_TAG = "bulk", "fixture", "uncommitted"

CREATED, CHANGED, DELETED = "created", "changed", "deleted"

_cached_redactor: Redactor | None = None

reason: ContextVar[str | None] = ContextVar("shipper_django_reason", default=None)
"""`event.reason` of rows that change as a consequence: by the deletion of other rows."""


class Change(NamedTuple):
    """The change of one row, or of several if `labels` has their number."""

    audited: AuditedModel
    kind: str
    key: Any = None
    name: str | None = None
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reason: str | None = None
    tags: tuple[str, ...] = ()
    labels: Mapping[str, object] = {}


def changed_rows(audited: AuditedModel, before: Rows, after: Rows) -> list[Change]:
    """A Change for each row that differs, with the fields that differ. Rows missing in `after` are unchanged."""
    changes = []
    for key, old in before.items():
        new = after.get(key, old)
        changed = [name for name in old if name in new and _differ(old[name], new[name])]
        if changed:
            changes.append(
                Change(
                    audited,
                    CHANGED,
                    key,
                    None,
                    {name: old[name] for name in changed},
                    {name: new[name] for name in changed},
                    reason.get(),
                )
            )
    return changes


def bulk_change(
    audited: AuditedModel,
    kind: str,
    count: int,
    *,
    after: Values | None = None,
    key: Any = None,
    why: str = "",
    **labels: object,
) -> Change:
    """One Change for several rows: too many for a record each, or with unknown values."""
    text = "; ".join(filter(None, (f"{count} rows at once", why, reason.get())))
    return Change(audited, kind, key, None, None, after, text, (BULK_TAG,), {"rows": count, **labels})


def record_changes(changes: Sequence[Change], using: str) -> None:
    """Write the records at the commit, in the current log context. They are dropped at a rollback."""
    if not changes:
        return
    events = [(_event(change), change.labels) for change in changes]
    connection = connections[using]
    if connection.in_atomic_block or connection.get_autocommit():
        transaction.on_commit(partial(_write, events), using=using)
        return
    for event, _ in events:  # the application commits by itself, which Django does not notice
        event.tags = (*event.tags, UNCOMMITTED_TAG)
    _write(events)


def _event(change: Change) -> Event:
    shown = {"before": change.before, "after": change.after}
    return Event(
        action=f"{change.audited.name}-{change.kind}",
        resource=(change.audited.name, change.key, change.name),
        category="database",
        type="change",
        reason=change.reason,
        tags=change.tags,
        changes={when: plain(values) for when, values in shown.items() if values is not None} or None,
    )


def _write(events: Iterable[tuple[Event, Mapping[str, object]]]) -> None:
    for event, labels in events:
        with never_raise("audited"), context.log_context(**labels):
            audit.trail().write(event)


def name_of(instance: Any) -> str | None:
    """`str(instance)`, if its class defines it, it needs no query, and it contains no secret value of the row."""
    model = type(instance)
    if model.__str__ is Model.__str__ or _redactor().is_secret(model._meta.model_name):
        return None
    try:
        with _refusing_queries():
            name = str(instance)
    except BaseTimeoutException:  # RQ's job timeout, which interrupted our code
        raise
    except Exception:  # the application's code failed, or needed a query
        return None
    for field in model._meta.concrete_fields:
        value = instance.__dict__.get(field.attname)
        if value and _redactor().is_secret(field.name) and str(value) in name:
            return None
    return name


@contextmanager
def _refusing_queries() -> Iterator[None]:
    with ExitStack() as stack:
        for connection in connections.all(initialized_only=True):
            stack.enter_context(connection.execute_wrapper(_refuse))
        yield


def _refuse(*_: Any) -> NoReturn:
    raise LookupError("a name is not worth a query")


def _redactor() -> Redactor:
    global _cached_redactor  # noqa: PLW0603 - one per process, created on first use
    if _cached_redactor is None:
        with no_fork:
            _cached_redactor = Redactor(settings.load(complain=log.error).redact)
    return _cached_redactor


def _differ(before: Any, after: Any) -> bool:
    return bool(before != after) and plain(before) != plain(after)
