"""A SpawnWorker's child is a new Python that builds RQ's base classes: it has to be instrumented anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Wrapper = Callable[..., Any]

_FIRST = "import shipper; shipper.instrument()\n"
set_up: list[str] = []
"""Lines of Python that come before that one: what a framework needs in the child to be configured as it is here."""

_CHILD = "main_work_horse"  # what RQ's program for the child calls


def fork_work_horse(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    """Put our lines before the program that RQ hands to the child: by os.spawnv, since RQ 3 by os.posix_spawn."""
    spawnv, posix_spawn = os.spawnv, os.posix_spawn

    def spawnv_instrumented(mode: int, path: Any, arguments: Any) -> int:
        return spawnv(mode, path, _instrumented(arguments))

    def posix_spawn_instrumented(path: Any, arguments: Any, *rest: Any, **more: Any) -> int:
        return posix_spawn(path, _instrumented(arguments), *rest, **more)

    os.spawnv, os.posix_spawn = spawnv_instrumented, posix_spawn_instrumented  # type: ignore[assignment]
    try:
        return original(worker, *args, **kwargs)
    finally:
        os.spawnv, os.posix_spawn = spawnv, posix_spawn


def _instrumented(arguments: Any) -> Any:
    """The same arguments, but of a work-horse: another thread may start something of its own meanwhile."""
    if len(arguments) == 3 and arguments[1] == "-c" and _CHILD in arguments[2]:
        program, flag, code = arguments
        return [program, flag, "".join(set_up) + _FIRST + code]
    return arguments
