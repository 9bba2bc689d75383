"""QuerySet.bulk_create(), which sends no signals. Members of a many-to-many field are added by it, too."""

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
    """From now on it is heard of, in every queryset. One of a model that is not audited costs two look-ups."""
    wrap_method(QuerySet, "bulk_create", _bulk_create)


def _bulk_create(original: Callable[..., Any], queryset: Any, objs: Any, *args: Any, **kwargs: Any) -> Any:
    creation = None
    with never_raise("bulk_create"):
        if _is_concerned(queryset.model):
            creation = _Creation(queryset, args, kwargs)
    if creation is None:
        return original(queryset, objs, *args, **kwargs)
    objs = objs if isinstance(objs, list | tuple) else list(objs)  # an iterator would be used up
    with never_raise("bulk_create"):
        creation.look_at(objs)
    made = original(queryset, objs, *args, **kwargs)
    with never_raise("bulk_create"):
        record_changes(creation.changes(objs), creation.using)
    return made


def _is_concerned(model: Any) -> bool:
    return registry.of_table(model) is not None or bool(registry.relations_through(model))


class _Creation:
    """One bulk_create() of a model that is audited, or whose rows are members of a field that is."""

    def __init__(self, queryset: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.using = database_of(queryset)
        self._audited = registry.of_table(queryset.model)
        self._relations = registry.relations_through(queryset.model)
        self._ignores = _argument(args, kwargs, "ignore_conflicts")
        self._updates = _argument(args, kwargs, "update_conflicts")
        self._older: dict[AuditedRelation, set[many_to_many.Pair]] = {}

    def look_at(self, objects: list[Any] | tuple[Any, ...]) -> None:
        """Which members are there already, and will be left out: add() does not look."""
        if self._ignores and len(objects) <= ROWS_LIMIT:
            for relation in self._relations:
                pairs = many_to_many.pairs_of(relation, objects)
                self._older[relation] = rows.among_pairs(relation, pairs, self.using)

    def changes(self, objects: list[Any] | tuple[Any, ...]) -> list[Change]:
        changes = []
        for relation in self._relations:
            older = self._older.get(relation, set())
            changes += many_to_many.added(
                relation, [pair for pair in many_to_many.pairs_of(relation, objects) if pair not in older]
            )
        if self._audited is not None and objects:
            changes += self._rows_made(self._audited, objects)
        return changes

    def _rows_made(self, audited: AuditedModel, objects: list[Any] | tuple[Any, ...]) -> list[Change]:
        if self._ignores or self._updates:  # of which rows that is true, the database does not say
            done = "left out" if self._ignores else "changed instead"
            return [bulk_change(audited, CREATED, len(objects), why=f"those that were there are {done}")]
        if len(objects) > ROWS_LIMIT:
            return [bulk_change(audited, CREATED, len(objects))]
        return [self._row_made(audited, one) for one in objects]

    def _row_made(self, audited: AuditedModel, one: Any) -> Change:
        after = save.values_of(one, audited, audited.fields, self.using)
        return Change(audited, CREATED, getattr(one, audited.key), change_records.name_of(one), None, after)


def _argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str) -> bool:
    """One of bulk_create's, which may be given by position: after `objs` and batch_size."""
    at = ("batch_size", "ignore_conflicts", "update_conflicts").index(name)
    return bool(args[at] if len(args) > at else kwargs.get(name))
