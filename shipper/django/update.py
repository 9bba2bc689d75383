"""Audits QuerySet.update() and bulk_update(), which send no signals. `customer.order_set.clear()` uses update()."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db.models import QuerySet

from ..guard import never_raise
from . import change_records, registry, rows, save
from .change_records import CHANGED, Change, bulk_change, record_changes
from .patching import wrap as wrap_method
from .querysets import database_of, filter_names
from .registry import AuditedModel
from .rows import ROWS_LIMIT, Rows
from .values import is_expression, normal

Original = Callable[..., Any]

_within_bulk_update: ContextVar[bool] = ContextVar("shipper_django_bulk_update", default=False)


def wrap() -> None:
    """Wrap the methods for all querysets. For models that are not audited it costs one dictionary lookup."""
    wrap_method(QuerySet, "update", _update)
    wrap_method(QuerySet, "bulk_update", _bulk_update)


def _update(original: Original, queryset: Any, /, **values: Any) -> Any:  # a field may have any name
    updates: list[_Update] = []
    with never_raise("update"):
        updates = [_Update(audited, fields, queryset, values) for audited, fields in _audited(queryset, values)]
    count = original(queryset, **values)
    for update in updates:
        with never_raise("update"):
            record_changes(update.changes(count), update.using)
    return count


def _audited(queryset: Any, values: Iterable[str]) -> Iterator[tuple[AuditedModel, tuple[Any, ...]]]:
    audited_models = registry.of(queryset.model)
    if not audited_models or _within_bulk_update.get() or queryset.query.is_sliced or queryset.query.combinator:
        return  # Django refuses to update sliced and combined querysets
    for audited in audited_models:
        if fields := audited.among(values):
            yield audited, fields


class _Update:
    """One update() of one audited model: reads the rows before it, and makes the Changes after it."""

    def __init__(
        self, audited: AuditedModel, fields: tuple[Any, ...], queryset: Any, values: Mapping[str, Any]
    ) -> None:
        self.using = database_of(queryset)
        self._audited, self._fields = audited, fields
        self._filter = ",".join(filter_names(queryset))
        self._values = {field: values.get(field.name, values.get(field.attname)) for field in fields}
        self._before = rows.of_queryset(audited, queryset, fields, self.using)

    def changes(self, count: int) -> list[Change]:
        known = {field.name: normal(field, value) for field, value in self._values.items() if not is_expression(value)}
        if self._before is None:
            names = ",".join(field.name for field in self._fields)
            return [bulk_change(self._audited, CHANGED, count, after=known, fields=names, filter=self._filter)]
        after: Rows = {key: dict(known) for key in self._before}
        if unknown := [field for field in self._fields if field.name not in known]:
            for key, computed in rows.by_key(self._audited, self._before, unknown, self.using).items():
                after[key] |= computed
        return change_records.changed_rows(self._audited, self._before, after)


def _bulk_update(original: Original, queryset: Any, objs: Any, fields: Any, *args: Any, **kwargs: Any) -> Any:
    audited_models: tuple[AuditedModel, ...] = ()
    with never_raise("bulk_update"):
        audited_models = registry.of(queryset.model)
    if not audited_models:
        return original(queryset, objs, fields, *args, **kwargs)
    objs, fields = tuple(objs), tuple(fields)  # iterators would be exhausted
    updates: list[_BulkUpdate] = []
    with never_raise("bulk_update"):
        using = database_of(queryset)
        chosen = [(audited, audited.among(fields)) for audited in audited_models]
        updates = [_BulkUpdate(audited, names, objs, using) for audited, names in chosen if names]
    with _as_one():
        count = original(queryset, objs, fields, *args, **kwargs)
    for update in updates:
        with never_raise("bulk_update"):
            record_changes(update.changes(count), update.using)
    return count


@contextmanager
def _as_one() -> Iterator[None]:
    """Within the block, update() is not audited: bulk_update() calls it for each batch."""
    before = _within_bulk_update.set(True)
    try:
        yield
    finally:
        _within_bulk_update.reset(before)


class _BulkUpdate:
    """One bulk_update() of one audited model: reads the rows before it, and makes the Changes after it."""

    def __init__(self, audited: AuditedModel, fields: tuple[Any, ...], objects: tuple[Any, ...], using: str) -> None:
        self.using = using
        self._audited, self._fields, self._objects = (
            audited,
            fields,
            {getattr(one, audited.key): one for one in objects},
        )
        self._before: Rows | None = None
        if len(self._objects) <= ROWS_LIMIT:
            self._before = rows.by_key(audited, self._objects, fields, using)

    def changes(self, count: int) -> list[Change]:
        if self._before is None:
            names = ",".join(field.name for field in self._fields)
            return [bulk_change(self._audited, CHANGED, count, fields=names, filter="pk")]
        after = {
            key: save.values_of(self._objects[key], self._audited, self._fields, self.using) for key in self._before
        }
        changes = change_records.changed_rows(self._audited, self._before, after)
        return [change._replace(name=change_records.name_of(self._objects[change.key])) for change in changes]
