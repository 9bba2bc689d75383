"""Runs our Lua scripts in Redis, which executes each as one step. A script is a file in its package's folder `lua`."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError

from .forking import no_fork


@cache
def source(package: str, name: str) -> str:
    """The text of a script."""
    with no_fork:
        return files(package).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


@cache
def _digest(package: str, name: str) -> str:
    return hashlib.sha1(source(package, name).encode(), usedforsecurity=False).hexdigest()  # EVALSHA's


def run(connection: Any, package: str, name: str, keys: list[str], *arguments: object) -> Any:
    """The answer of a script. One round trip, and a second one if Redis does not have the script yet."""
    try:
        return connection.evalsha(_digest(package, name), len(keys), *keys, *arguments)
    except NoScriptError:  # Redis has started since, or this is the first call
        return connection.eval(source(package, name), len(keys), *keys, *arguments)
