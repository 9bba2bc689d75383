"""Audits delete() of objects and querysets, with the rows that are deleted or set to null by cascades.

Wraps Django's Collector, which does all of that. With a signal receiver instead, Django would load each object that it
can otherwise delete by one query.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from django.db.models import QuerySet
from django.db.models.deletion import Collector

from ..guard import never_raise
from . import change_records, many_to_many, registry, rows
from .change_records import CHANGED, DELETED, Change, bulk_change, record_changes
from .patching import wrap as wrap_method
from .querysets import filter_names
from .registry import AuditedModel, AuditedRelation
from .rows import ROWS_LIMIT, Rows
from .values import is_expression, normal

Original = Callable[..., Any]


def wrap() -> None:
    """Wrap all deletions."""
    wrap_method(Collector, "delete", _delete)


def _delete(original: Original, collector: Any, *args: Any, **kwargs: Any) -> Any:
    deletion = None
    with never_raise("delete"):
        if _is_audited(collector):
            deletion = _Deletion(collector)
    if deletion is None:
        return original(collector, *args, **kwargs)
    before = change_records.reason.set(deletion.why)  # for updates by querysets that Django does meanwhile
    try:
        result = original(collector, *args, **kwargs)
    finally:
        change_records.reason.reset(before)
    with never_raise("delete"):
        record_changes(deletion.changes(result[1]), collector.using)
    return result


def _is_audited(collector: Any) -> bool:
    models = {*collector.data, *(one.model for one in collector.fast_deletes)}
    return any(registry.of_table(model) or registry.relations_through(model) for model in models) or any(
        registry.of(field.model) for field, _ in collector.field_updates
    )


class _Deletion:
    """One deletion: reads the audited rows before it, and makes the Changes after it."""

    def __init__(self, collector: Any) -> None:
        self._using: str = collector.using
        self._origin = collector.origin
        self._origin_model = _model_of(self._origin)
        self.why = _why(self._origin_model)
        self._rows: dict[AuditedModel, Rows | None] = {}
        self._keys: dict[AuditedModel, set[Any]] = {}
        self._names: dict[Any, str | None] = {}
        self._labels: dict[Any, set[str]] = {}
        self._pairs: dict[AuditedRelation, list[many_to_many.Pair] | None] = {}
        for model, instances in collector.data.items():
            self._read_objects(model, list(instances))
        for queryset in collector.fast_deletes:
            self._read_queryset(queryset)
        self._updates = list(_updates(collector))

    def _read_objects(self, model: Any, instances: list[Any]) -> None:
        keys = [one.pk for one in instances]
        few = len(keys) <= ROWS_LIMIT
        if audited := registry.of_table(model):
            self._keys.setdefault(audited, set()).update(keys)
            self._add_rows(audited, model, rows.by_key(audited, keys, audited.fields, self._using) if few else None)
            if few:
                self._names |= {(audited, one.pk): change_records.name_of(one) for one in instances}
        for relation in registry.relations_through(model):
            queryset = QuerySet(model, using=self._using).filter(pk__in=keys)
            self._add_pairs(relation, model, rows.pairs(relation, queryset, self._using) if few else None)

    def _read_queryset(self, queryset: Any) -> None:
        model = queryset.model
        if audited := registry.of_table(model):
            self._add_rows(audited, model, rows.of_queryset(audited, queryset, audited.fields, self._using))
        for relation in registry.relations_through(model):
            self._add_pairs(relation, model, rows.pairs(relation, queryset, self._using))

    def _add_rows(self, audited: AuditedModel, model: Any, new: Rows | None) -> None:
        self._labels.setdefault(audited, set()).add(model._meta.label)
        known = self._rows.get(audited, {})
        merged = None if known is None or new is None else known | new
        self._rows[audited] = merged if merged is not None and len(merged) <= ROWS_LIMIT else None

    def _add_pairs(self, relation: AuditedRelation, model: Any, new: list[many_to_many.Pair] | None) -> None:
        self._labels.setdefault(relation, set()).add(model._meta.label)
        known = self._pairs.get(relation, [])
        merged = None if known is None or new is None else known + new
        self._pairs[relation] = merged if merged is not None and len(merged) <= ROWS_LIMIT else None

    def changes(self, counts: Mapping[str, int]) -> list[Change]:
        """The Changes, after the deletion. `counts` has the number of deleted rows by model label."""
        changes = [change for update in self._updates for change in update.changes(self._using)]
        for relation, pairs in self._pairs.items():
            changes += self._removed_members(relation, pairs, self._count(relation, counts))
        for audited, deleted in self._rows.items():
            changes += self._deleted_rows(audited, deleted, self._count(audited, counts))
        return [
            change if change.reason or change.audited.model is self._origin_model else change._replace(reason=self.why)
            for change in changes
        ]

    def _count(self, what: object, counts: Mapping[str, int]) -> int:
        return sum(counts.get(label, 0) for label in self._labels[what])

    def _deleted_rows(self, audited: AuditedModel, deleted: Rows | None, count: int) -> list[Change]:
        if deleted is None:
            chosen = isinstance(self._origin, QuerySet) and self._origin_model is audited.model
            names = ",".join(filter_names(self._origin)) if chosen else None
            return [bulk_change(audited, DELETED, count, filter=names)]
        return [
            Change(audited, DELETED, key, self._names.get((audited, key)), values) for key, values in deleted.items()
        ]

    def _removed_members(
        self, relation: AuditedRelation, pairs: list[many_to_many.Pair] | None, count: int
    ) -> list[Change]:
        """Changes of rows that still exist. The members of deleted rows are added to the values of those."""
        gone = self._keys.get(relation.audited, set())
        if pairs is None:
            return [] if gone else [many_to_many.bulk_members(relation, count)]
        deleted = self._rows.get(relation.audited) or {}
        for source, members in many_to_many.by_source(pairs).items():
            if source in deleted:
                deleted[source][relation.name] = members
        return many_to_many.removed(relation, [pair for pair in pairs if pair[0] not in gone])


def _model_of(origin: Any) -> Any:
    """The model whose rows delete() was called for."""
    return getattr(origin, "model", type(origin))._meta.concrete_model if origin is not None else None


def _why(model: Any) -> str | None:
    """The reason on changes of other models' rows. None for the removal of many-to-many members."""
    return f"deletion of {model._meta.label_lower}" if model and not registry.relations_through(model) else None


class _FieldUpdate:
    """Rows whose foreign key to a deleted row is set to null or another value."""

    def __init__(self, audited: AuditedModel, field: Any, value: Any, instances: list[Any], using: str) -> None:
        self._audited, self._field, self._value, self._instances = audited, field, value, instances
        self._before = None
        if len(instances) <= ROWS_LIMIT:
            keys = [getattr(one, audited.key) for one in instances]
            self._before = rows.by_key(audited, keys, [field], using)

    def changes(self, using: str) -> list[Change]:
        if self._before is None:
            return [bulk_change(self._audited, CHANGED, len(self._instances), fields=self._field.name)]
        if is_expression(self._value):
            after = rows.by_key(self._audited, self._before, [self._field], using)
        else:
            value = normal(self._field, self._value)
            after = {key: {self._field.name: value} for key in self._before}
        return change_records.changed_rows(self._audited, self._before, after)


def _updates(collector: Any) -> Iterator[_FieldUpdate]:
    for (field, value), collected in collector.field_updates.items():
        # Lazy querysets are changed by update(), which is audited in update.py.
        instances = [one for some in collected if not _is_lazy(some) for one in some]
        for audited in registry.of(type(instances[0])) if instances else ():
            if field in audited.fields:
                yield _FieldUpdate(audited, field, value, instances, collector.using)


def _is_lazy(instances: Any) -> bool:
    return isinstance(instances, QuerySet) and instances._result_cache is None
