"""Instruments the children of a SpawnWorker. Each is a new Python process that uses RQ's base classes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..descriptors import Wrapper

_FIRST = "import shipper; shipper.instrument()\n"

set_up: list[str] = []
"""Lines of Python to run before that one: a framework adds what configures it in the child."""

_CHILD = "main_work_horse"  # identifies RQ's program for the child


def fork_work_horse(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    """Prepend our lines to the program that RQ passes to the child by os.spawnv, since RQ 3 by os.posix_spawn."""
    with _instrumenting("spawnv"), _instrumenting("posix_spawn"):
        return original(worker, *args, **kwargs)


@contextmanager
def _instrumenting(name: str) -> Iterator[None]:
    """Within the block, `os.<name>` starts work-horses with our lines. Not every system has both functions."""
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
    """A work-horse's argument list with our lines. Anything else is unchanged, as other threads may start programs."""
    if isinstance(argument, list) and len(argument) == 3 and argument[1] == "-c" and _CHILD in argument[2]:
        program, flag, code = argument
        return [program, flag, "".join(set_up) + _FIRST + code]
    return argument
