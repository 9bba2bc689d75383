"""Changes of many-to-many fields, which are creations and deletions of rows of the `through` model.

add(), set(), remove() and clear() call bulk_create() and delete() of the `through` model, and so do cascades. A record
shows the members that were removed and those that were added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from . import change_records
from .change_records import CHANGED, Change, bulk_change
from .registry import AuditedRelation
from .rows import ROWS_LIMIT

Pair = tuple[Any, Any]


def pairs_of(relation: AuditedRelation, instances: Iterable[Any]) -> list[Pair]:
    """(source, target) of instances of the `through` model."""
    source, target = relation.source, relation.target
    return [
        (source.to_python(getattr(one, source.attname)), target.to_python(getattr(one, target.attname)))
        for one in instances
    ]


def added(relation: AuditedRelation, pairs: Collection[Pair]) -> list[Change]:
    """The Changes for new pairs."""
    if len(pairs) > ROWS_LIMIT:
        return [bulk_members(relation, len(pairs), pairs)]
    return [
        Change(relation.audited, CHANGED, source, None, {relation.name: []}, {relation.name: members}, why())
        for source, members in by_source(pairs).items()
    ]


def removed(relation: AuditedRelation, pairs: Iterable[Pair]) -> list[Change]:
    """The Changes for deleted pairs."""
    return [
        Change(relation.audited, CHANGED, source, None, {relation.name: members}, {relation.name: []}, why())
        for source, members in by_source(pairs).items()
    ]


def bulk_members(relation: AuditedRelation, count: int, pairs: Iterable[Pair] = ()) -> Change:
    """One Change for many pairs. It has the key of the source row if that is the same for all."""
    sources = {source for source, _ in pairs}
    key = sources.pop() if len(sources) == 1 else None
    return bulk_change(relation.audited, CHANGED, count, key=key, why=f"of the field {relation.name}")


def by_source(pairs: Iterable[Pair]) -> dict[Any, list[Any]]:
    members: dict[Any, list[Any]] = {}
    for source, target in pairs:
        members.setdefault(source, []).append(target)
    return members


def why() -> str | None:
    return change_records.reason.get()
