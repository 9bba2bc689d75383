"""Formulas: figures that are computed from others. Lens keeps a formula's text, and the columns it was read into.

A formula is a tree of calls. Its leaves are columns and numbers. Lens keeps each column under `<id>X<number>`, and
after them one column with the tree (`tinymathAst`), whose leaves are the names of those columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from .columns import Column

SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


@dataclass(frozen=True)
class Call:
    """An operation on two operands: `name` is one of SIGNS."""

    name: str
    left: Operand
    right: Operand


Operand: TypeAlias = "Call | Column | float"


def over(left: Operand, right: Operand) -> Call:
    """A quotient. There is none where `right` is 0 or has no value: Lens shows "N/A" then."""
    return Call("divide", left, right)


def times(left: Operand, right: Operand) -> Call:
    return Call("multiply", left, right)


def less(left: Operand, right: Operand) -> Call:
    return Call("subtract", left, right)


def text_of(operand: Operand) -> str:
    """The formula as a person would type it in Lens."""
    if isinstance(operand, Call):
        sides = (
            f"({text_of(one)})" if isinstance(one, Call) else text_of(one) for one in (operand.left, operand.right)
        )
        return f" {SIGNS[operand.name]} ".join(sides)
    if isinstance(operand, int | float):
        return str(operand)
    return _text_of_column(operand)


def _text_of_column(column: Column) -> str:
    if "'" in column.where:
        raise ValueError(f"a formula puts KQL between single quotes: {column.where!r}")
    arguments = [] if column.operation == "count" else [str(column.of)]
    if column.operation == "percentile":
        arguments.append(f"percentile={column.params['percentile']}")
    if column.where:
        arguments.append(f"kql='{column.where}'")
    return f"{column.operation}({', '.join(arguments)})"


def leaves(operand: Operand) -> list[Column]:
    """The columns of a tree, each once, in the order of the text."""
    if isinstance(operand, Call):
        found = leaves(operand.left)
        return found + [one for one in leaves(operand.right) if one not in found]
    return [] if isinstance(operand, int | float) else [operand]


def states(column: Column, tree: Call) -> dict[str, dict[str, Any]]:
    """A formula's column as Lens keeps it, by id; the columns that it is made of come after it."""
    parts = leaves(tree)
    names = {part: f"{column.id}X{number}" for number, part in enumerate(parts)}
    computed = f"{column.id}X{len(parts)}"
    text = text_of(tree)
    common = {"dataType": "number", "isBucketed": False, "scale": "ratio"}
    hidden = {"label": f"Part of {column.label}", "customLabel": True}
    found: dict[str, dict[str, Any]] = {
        column.id: {
            "label": column.label,
            "customLabel": True,
            **common,
            "operationType": "formula",
            "params": {"formula": text, "isFormulaBroken": False, **column.params},
            "references": [computed],
        }
    }
    for part, name in names.items():
        found[name] = {**next(iter(part.states().values())), **hidden}
    found[computed] = {
        **hidden,
        **common,
        "operationType": "math",
        "params": {"tinymathAst": _tree(tree, names, text)},
        "references": list(names.values()),
    }
    return found


def _tree(operand: Operand, names: Mapping[Column, str], text: str) -> Any:
    if isinstance(operand, Call):
        return {
            "type": "function",
            "name": operand.name,
            "args": [_tree(one, names, text) for one in (operand.left, operand.right)],
            "location": {"min": 0, "max": len(text)},
            "text": text_of(operand),
        }
    return operand if isinstance(operand, int | float) else names[operand]


def sortable_part(operand: Operand, sortable: Sequence[str] | frozenset[str]) -> Column | None:
    """The first column of a formula by which Elasticsearch can order groups."""
    return next((one for one in leaves(operand) if one.operation in sortable), None)
