"""What a queryset tells of itself without being asked of the database."""

from __future__ import annotations

from typing import Any

from django.db import router

from ..guard import never_raise


def database_of(queryset: Any) -> str:
    """The database that the queryset writes to."""
    return str(queryset._db or router.db_for_write(queryset.model, **queryset._hints))


def filter_names(queryset: Any) -> list[str]:
    """By which fields the rows were chosen; the values stay here."""
    found: dict[str, None] = {}

    def look(node: Any) -> None:
        column = getattr(node, "target", None)
        if column is not None:
            own = column.model._meta.concrete_model is queryset.model._meta.concrete_model
            found[column.name if own else f"{column.model._meta.model_name}.{column.name}"] = None
        for child in getattr(node, "children", None) or getattr(node, "get_source_expressions", list)():
            look(child)

    with never_raise("filter"):
        look(queryset.query.where)
    return list(found)
