"""Values as people read them on a terminal. Nothing that comes from Redis or a record is obeyed by the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..printable import printable as escaped

if TYPE_CHECKING:
    from rich.text import Text


def text(value: object, style: str = "", limit: int = 200) -> Text:
    """A text as it is: no markup, and what controls a terminal replaced."""
    from rich.text import Text  # not needed for JSON

    return Text(printable(value, limit), style=style)


def printable(value: object, limit: int = 200) -> str:
    """One line of printable characters, of at most `limit`. Control characters are shown as escapes."""
    made = escaped(str(value)[: limit + 1])
    return made if len(made) <= limit else f"{made[: limit - 1]}…"


def size(number: float) -> str:
    """Bytes in the largest unit of which there is one."""
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def span(seconds: float | None) -> str:
    """A duration in the unit of which there are two or more; `-` for None."""
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 2 else f"{seconds:.1f} s"
