"""Audits QuerySet.bulk_create(), which sends no signals. Django also uses it to add many-to-many members."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import QuerySet

from ..guard import never_raise
from . import change_records, many_to_many, registry, rows, save
from .change_records import CREATED, Change, bulk_change, record_changes
from .patching import wrap as wrap_method
from .querysets import database_of
from .registry import AuditedModel, AuditedRelation
from .rows import ROWS_LIMIT


def wrap() -> None:
    """Wrap the method for all querysets. For models that are not audited it costs two dictionary lookups."""
    wrap_method(QuerySet, "bulk_create", _bulk_create)


def _bulk_create(original: Callable[..., Any], queryset: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
    creation = None
    with never_raise("bulk_create"):
        if _is_audited(queryset.model):
            creation = _Creation(queryset, args, kwargs)
    if creation is None:
        return original(queryset, objs, *args, **kwargs)
    objs = objs if isinstance(objs, list | tuple) else list(objs)  # an iterator would be exhausted
    with never_raise("bulk_create"):
        creation.read_existing(objs)
    created = original(queryset, objs, *args, **kwargs)
    with never_raise("bulk_create"):
        record_changes(creation.changes(objs), creation.using)
    return created


def _is_audited(model: Any) -> bool:
    return registry.of_table(model) is not None or bool(registry.relations_through(model))


class _Creation:
    """One bulk_create() of an audited model, or of the `through` model of an audited many-to-many field."""

    def __init__(self, queryset: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.using = database_of(queryset)
        self._audited = registry.of_table(queryset.model)
        self._relations = registry.relations_through(queryset.model)
        self._ignores = _argument(args, kwargs, "ignore_conflicts")
        self._updates = _argument(args, kwargs, "update_conflicts")
        self._existing: dict[AuditedRelation, set[many_to_many.Pair]] = {}

    def read_existing(self, objects: list[Any] | tuple[Any, ...]) -> None:
        """Read which members exist and will be ignored, as add() does not check that."""
        if self._ignores and len(objects) <= ROWS_LIMIT:
            for relation in self._relations:
                pairs = many_to_many.pairs_of(relation, objects)
                self._existing[relation] = rows.existing_pairs(relation, pairs, self.using)

    def changes(self, objects: list[Any] | tuple[Any, ...]) -> list[Change]:
        changes = []
        for relation in self._relations:
            existing = self._existing.get(relation, set())
            changes += many_to_many.added(
                relation, [pair for pair in many_to_many.pairs_of(relation, objects) if pair not in existing]
            )
        if self._audited is not None and objects:
            changes += self._created_rows(self._audited, objects)
        return changes

    def _created_rows(self, audited: AuditedModel, objects: list[Any] | tuple[Any, ...]) -> list[Change]:
        if self._ignores or self._updates:  # the database does not report for which rows
            done = "left out" if self._ignores else "changed instead"
            return [bulk_change(audited, CREATED, len(objects), why=f"those that were there are {done}")]
        if len(objects) > ROWS_LIMIT:
            return [bulk_change(audited, CREATED, len(objects))]
        return [self._created_row(audited, one) for one in objects]

    def _created_row(self, audited: AuditedModel, one: Any) -> Change:
        after = save.values_of(one, audited, audited.fields, self.using)
        return Change(audited, CREATED, getattr(one, audited.key), change_records.name_of(one), None, after)


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> bool:
    """An argument of bulk_create, given by keyword or position."""
    at = ("batch_size", "ignore_conflicts", "update_conflicts").index(name)
    return bool(args[at] if len(args) > at else kwargs.get(name))
