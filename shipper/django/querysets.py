"""Properties of querysets that need no query."""

from __future__ import annotations

from typing import Any

from django.db import router

from ..guard import never_raise


def database_of(queryset: Any) -> str:
    """The database that the queryset writes to."""
    return str(queryset._db or router.db_for_write(queryset.model, **queryset._hints))


def filter_names(queryset: Any) -> list[str]:
    """The names of the fields in the queryset's filters, without the values."""
    names: dict[str, None] = {}

    def visit(node: Any) -> None:
        column = getattr(node, "target", None)
        if column is not None:
            own = column.model._meta.concrete_model is queryset.model._meta.concrete_model
            names[column.name if own else f"{column.model._meta.model_name}.{column.name}"] = None
        for child in getattr(node, "children", None) or getattr(node, "get_source_expressions", list)():
            visit(child)

    with never_raise("filter"):
        visit(queryset.query.where)
    return list(names)
