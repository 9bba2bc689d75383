"""A SpawnWorker's child is a new Python that builds RQ's base classes: it has to be instrumented anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Wrapper = Callable[..., Any]

_FIRST = "import shipper; shipper.instrument()\n"

set_up: list[str] = []
"""Lines of Python that come before that one: what a framework needs in the child to be configured as it is here."""

_CHILD = "main_work_horse"  # what RQ's program for the child calls


def fork_work_horse(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    """Put our lines before the program that RQ hands to the child: by os.spawnv, since RQ 3 by os.posix_spawn."""
    with _instrumenting("spawnv"), _instrumenting("posix_spawn"):
        return original(worker, *args, **kwargs)


@contextmanager
def _instrumenting(name: str) -> Iterator[None]:
    """In the block a function of `os` starts work-horses with our lines. Not every system has each of them."""
    original: Any = getattr(os, name, None)
    if original is None:
        yield
        return

    def spawn(*args: Any, **kwargs: Any) -> Any:
        return original(*map(_instrumented, args), **kwargs)

    setattr(os, name, spawn)
    try:
        yield
    finally:
        setattr(os, name, original)


def _instrumented(argument: Any) -> Any:
    """The arguments of a work-horse with our lines; anything else as it is: other threads start programs, too."""
    if isinstance(argument, list) and len(argument) == 3 and argument[1] == "-c" and _CHILD in argument[2]:
        program, flag, code = argument
        return [program, flag, "".join(set_up) + _FIRST + code]
    return argument
