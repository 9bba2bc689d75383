"""Progress of what takes long: a bar on a terminal, a line now and then on standard error that is none.

A bar is drawn on standard error, so that the answer on standard output can go through a pipe. On a terminal that cannot
move the cursor (TERM=dumb) and in a file, there is a line every half a minute instead.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

LINE_EVERY_S = 30.0

Moved = Callable[[int, int], None]
"""Called with how much is done, and how much there is in all (0 while that is not known)."""


@contextmanager
def bar(name: str) -> Iterator[Moved]:
    """Show the progress of what `name` says, such as "Importing", until the block ends."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from .terminal import console

    out = console(stderr=True)
    if not out.is_terminal or out.is_dumb_terminal:
        yield _Lines(name)
        return
    so_far = TextColumn("{task.fields[so_far]}", justify="right")
    columns = (TextColumn("{task.description}"), BarColumn(), so_far, TimeRemainingColumn(compact=True))
    with Progress(*columns, console=out, transient=True) as shown:
        task = shown.add_task(name, total=None, so_far="")
        yield lambda done, total: shown.update(task, completed=done, total=total or None, so_far=_so_far(done, total))


def _so_far(done: int, total: int) -> str:
    """A share, or a number where nobody knows how many there are."""
    return f"{done / total:.0%}" if total else f"{done:,}"


class _Lines:
    """Says how far it is, twice a minute: nothing for what is quick."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._next = time.monotonic() + LINE_EVERY_S

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() < self._next or sys.stderr.closed:
            return
        self._next = time.monotonic() + LINE_EVERY_S
        click.echo(f"{self._name}: {_so_far(done, total)}", err=True)
