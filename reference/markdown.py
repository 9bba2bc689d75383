"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTE = "<!-- Made from the code by `make reference`: changes here are lost. -->"


def page(title: str, *parts: str) -> str:
    """A page of parts, with blank lines between them."""
    return "\n\n".join((f"# {title}", NOTE, *(part.strip("\n") for part in parts))) + "\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. A `|` in a cell is escaped."""
    lines = [
        _row(heads),
        "|" + "---|" * len(heads),
        *(_row([cell.replace("|", "\\|") for cell in row]) for row in rows),
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def code(text: str) -> str:
    """Inline code, empty for an empty text."""
    return f"`{text}`" if text else ""
