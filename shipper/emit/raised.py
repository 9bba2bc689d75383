"""Makes an ExceptionInfo from an exception, or from the traceback that RQ has stored of it."""

from __future__ import annotations

import re
import traceback
from typing import Any

from .events import ExceptionInfo

# Functions of RQ whose frames show which part of the work raised.
_PARTS = {"import_attribute": "import", "execute_success_callback": "callback"}
_HEADER = "Traceback (most recent call last):"
_FRAME = re.compile(r'^  File "(?P<file>.*)", line \d+, in (?P<function>\S+)$')
_LAST = re.compile(r"^(?P<type>[^\W\d][\w.<>]*)(?:: (?P<message>.*))?$", re.DOTALL)


def from_exc_info(exc_info: Any, where: str | None = None) -> ExceptionInfo | None:
    """`sys.exc_info()` as an ExceptionInfo; None if there was no exception. Value and traceback may be None."""
    if exc_info is None or exc_info[0] is None:
        return None
    kind, value, trace = exc_info
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    try:
        message = str(value)
    except Exception:  # a foreign __str__ may raise anything
        message = "(an exception that cannot be shown)"
    stack = "".join(traceback.format_exception(kind, value, trace))
    return ExceptionInfo(name, message, stack, where or _part(_frames_of(trace)))


def from_text(text: str) -> ExceptionInfo | None:
    """A formatted traceback as an ExceptionInfo; None if the text is not one. RQ stores it for a failed job."""
    lines = text.rstrip().splitlines()
    if _HEADER not in lines:
        return None
    header = len(lines) - 1 - lines[::-1].index(_HEADER)  # of chained exceptions, the last one reached RQ
    frames, at = [], header + 1
    while at < len(lines) and lines[at].startswith("  "):
        if found := _FRAME.match(lines[at]):
            frames.append((found["file"], found["function"]))
        at += 1
    last = _LAST.match("\n".join(lines[at:]))
    if last is None:
        return None
    return ExceptionInfo(last["type"], last["message"] or "", text, _part(frames))


def _frames_of(trace: Any) -> list[tuple[str, str]]:
    return [(frame.f_code.co_filename, frame.f_code.co_name) for frame, _ in traceback.walk_tb(trace)]


def _part(frames: list[tuple[str, str]]) -> str | None:
    """Which part of the work raised: `import` of the function, its `callback`, or None for the function itself."""
    for file, function in frames:
        if "rq" in file and (part := _PARTS.get(function)):
            return part
    return None
