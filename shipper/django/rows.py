"""Reads the audited fields of rows, as they are in the database just now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from .registry import AuditedModel, AuditedRelation
from .values import normal

ROWS_LIMIT = 1000
"""Of how many rows that one call changes each gets a record; more have one together, which says how many. To read a
thousand, and to write their records at the commit, takes 0.15 s, and they are in memory until then."""

Values = dict[str, Any]
Rows = dict[Any, Values]


def by_key(audited: AuditedModel, keys: Iterable[Any], fields: Sequence[Any], using: str) -> Rows:
    """The rows with these primary keys. As many as ROWS_LIMIT can be asked for."""
    keys = list(keys)
    found: Rows = {}
    at_once = max(connections[using].ops.bulk_batch_size(["pk"], keys), 1) if keys else 1
    with _reading(using):
        for start in range(0, len(keys), at_once):
            rows = QuerySet(audited.model, using=using).filter(pk__in=keys[start : start + at_once])
            found |= _values(rows, "pk", fields)
    return found


def of_queryset(audited: AuditedModel, queryset: Any, fields: Sequence[Any], using: str) -> Rows | None:
    """The rows of a queryset, of this model or one that inherits from it; None if they are over the limit."""
    key = "pk" if queryset.model._meta.concrete_model is audited.model else audited.model._meta.pk.name
    with _reading(using):
        found = _values(_bare(queryset, using)[: ROWS_LIMIT + 1], key, fields)
    return found if len(found) <= ROWS_LIMIT else None


def pairs(relation: AuditedRelation, queryset: Any, using: str) -> list[tuple[Any, Any]] | None:
    """(source, target) of the rows of a many-to-many table; None if they are over the limit."""
    names = relation.source.attname, relation.target.attname
    with _reading(using):
        found = list(_bare(queryset, using).values_list(*names)[: ROWS_LIMIT + 1])
    return found if len(found) <= ROWS_LIMIT else None


def among_pairs(relation: AuditedRelation, wanted: Iterable[tuple[Any, Any]], using: str) -> set[tuple[Any, Any]]:
    """Those of the pairs that are there already."""
    wanted = set(wanted)
    source, target = relation.source.attname, relation.target.attname
    rows = QuerySet(relation.through, using=using).filter(
        **{f"{source}__in": {one for one, _ in wanted}, f"{target}__in": {one for _, one in wanted}}
    )
    with _reading(using):
        return wanted.intersection(rows.values_list(source, target))


def _bare(queryset: Any, using: str) -> Any:
    """The same rows, without what is only needed to make objects of them, or to lock them."""
    rows = queryset.all().using(using).order_by().prefetch_related(None)
    rows.query.select_for_update = False
    return rows


def _values(rows: Any, key: str, fields: Sequence[Any]) -> Rows:
    return {
        found: {field.name: normal(field, value) for field, value in zip(fields, values, strict=True)}
        for found, *values in rows.values_list(key, *(field.attname for field in fields))
    }


@contextmanager
def _reading(using: str) -> Iterator[None]:
    """If we fail in a transaction of the application's, it is as it was: PostgreSQL would refuse all the rest of it."""
    connection = connections[using]
    if connection.in_atomic_block or not connection.get_autocommit():
        with transaction.atomic(using=using):
            yield
    else:
        yield
