"""A SpawnWorker's child is a new Python that builds RQ's base classes: it has to be instrumented anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

Wrapper = Callable[..., Any]

_FIRST = "import shipper; shipper.instrument()\n"


def fork_work_horse(original: Wrapper, worker: Any, *args: Any, **kwargs: Any) -> Any:
    """Put one line before the program that RQ hands to the child."""
    spawn = os.spawnv

    def spawn_instrumented(mode: int, path: Any, arguments: Any) -> int:
        program, flag, code = arguments
        return spawn(mode, path, [program, flag, _FIRST + code])

    os.spawnv = spawn_instrumented  # type: ignore[assignment]
    try:
        return original(worker, *args, **kwargs)
    finally:
        os.spawnv = spawn
