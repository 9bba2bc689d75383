"""Where commands write: to people at a terminal of any width and encoding, or to a pipe whose reader may go away.

rich decides on colours: NO_COLOR, TERM=dumb and pipes have none. A command's answer goes to standard output; what it
says about its answer, and progress, go to standard error.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_ASCII = {"…": "...", "×": "x", "·": "-", "→": "->", "—": "-", "–": "-", "“": '"', "”": '"', "’": "'"}
_HANDLER = "shipper.terminal"


def prepare() -> None:
    """What the encoding of standard output or error lacks is written in other letters, instead of an exception."""
    codecs.register_error(_HANDLER, _otherwise)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def _otherwise(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and (known := _ASCII.get(error.object[error.start])):
        return known, error.start + 1
    return codecs.backslashreplace_errors(error)


def console(*, stderr: bool = False, markup: bool = False) -> Console:
    """A rich Console that raises BrokenPipeError when its reader is gone. It shows text as it is, unless `markup`."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise  # noqa: PLE0704 - rich calls it where it handles the BrokenPipeError

    return Plain(stderr=stderr, highlight=False, markup=markup, emoji=False)


def columns() -> int | None:
    """The width of the terminal that standard output is, None if it is none: a pipe has no width."""
    return console().width if sys.stdout.isatty() else None


@contextmanager
def until_nobody_reads() -> Iterator[None]:
    """End the block silently when the reader of standard output or error, such as `head`, has closed it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        for stream in (sys.stdout, sys.stderr):
            _discard(stream)


def _discard(stream: TextIO) -> None:
    """What is still buffered goes nowhere, so that the interpreter does not complain at its end."""
    with suppress(OSError, ValueError):
        stream.flush()
        return
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
