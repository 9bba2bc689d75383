"""Reads the current values of audited fields from the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet

from .registry import AuditedModel, AuditedRelation
from .values import normal

ROWS_LIMIT = 1000
"""If one call changes more rows than this, they get one record with their number instead of a record each. Reading
1000 rows and writing their records at the commit takes 0.15 s; they are kept in memory until then."""

Values = dict[str, Any]
Rows = dict[Any, Values]


def by_key(audited: AuditedModel, keys: Iterable[Any], fields: Sequence[Any], using: str) -> Rows:
    """The rows with these primary keys, at most ROWS_LIMIT of them."""
    keys = list(keys)
    found: Rows = {}
    at_once = max(connections[using].ops.bulk_batch_size(["pk"], keys), 1) if keys else 1
    with _reading(using):
        for start in range(0, len(keys), at_once):
            rows = QuerySet(audited.model, using=using).filter(pk__in=keys[start : start + at_once])
            found |= _values(rows, "pk", fields)
    return found


def of_queryset(audited: AuditedModel, queryset: Any, fields: Sequence[Any], using: str) -> Rows | None:
    """The rows of a queryset of this model or of an inheriting one; None if there are more than ROWS_LIMIT."""
    key = "pk" if queryset.model._meta.concrete_model is audited.model else audited.model._meta.pk.name
    with _reading(using):
        found = _values(_bare(queryset, using)[: ROWS_LIMIT + 1], key, fields)
    return found if len(found) <= ROWS_LIMIT else None


def pairs(relation: AuditedRelation, queryset: Any, using: str) -> list[tuple[Any, Any]] | None:
    """(source, target) of the rows of a many-to-many table; None if there are more than ROWS_LIMIT."""
    names = relation.source.attname, relation.target.attname
    with _reading(using):
        found = list(_bare(queryset, using).values_list(*names)[: ROWS_LIMIT + 1])
    return found if len(found) <= ROWS_LIMIT else None


def existing_pairs(relation: AuditedRelation, wanted: Iterable[tuple[Any, Any]], using: str) -> set[tuple[Any, Any]]:
    """The pairs that exist in the database."""
    wanted = set(wanted)
    source, target = relation.source.attname, relation.target.attname
    rows = QuerySet(relation.through, using=using).filter(
        **{f"{source}__in": {one for one, _ in wanted}, f"{target}__in": {one for _, one in wanted}}
    )
    with _reading(using):
        return wanted.intersection(rows.values_list(source, target))


def _bare(queryset: Any, using: str) -> Any:
    """The same rows, without ordering, prefetching and locking."""
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
    """Use a savepoint within a transaction: otherwise PostgreSQL aborts the application's transaction if we fail."""
    connection = connections[using]
    if connection.in_atomic_block or not connection.get_autocommit():
        with transaction.atomic(using=using):
            yield
    else:
        yield
