"""Which files may hold records of jobs, of the audit trail and of the shipper: those that our own emitters write.

Whoever can write to any other file that is tailed could otherwise forge them.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from glob import escape
from pathlib import Path

from ...settings import Settings
from .tail import STDIN


def is_trusted(path: Path, settings: Settings) -> bool:
    """Whether it is `log` or one of its rotated files, matches `trusted_files`, or is standard input."""
    names = str(path).split("/")
    return str(path) == STDIN or any(
        _matches(names, globs) for globs in _globs(str(settings.log), tuple(settings.trusted_files))
    )


@cache
def _globs(log: str, trusted_files: tuple[str, ...]) -> list[list[str]]:
    """The globs, split into the parts that match one name each."""
    log = escape(log)
    return [
        one.split("/") for one in (log, f"{log}.*", f"{log}-[0-9]*", *trusted_files)
    ]  # as we and logrotate rename it


def _matches(names: Sequence[str], globs: Sequence[str]) -> bool:
    """Whether the names of a path match the parts of a glob one by one; `**` is any number of names."""
    if not globs:
        return not names
    if globs[0] == "**":
        return any(_matches(names[skipped:], globs[1:]) for skipped in range(len(names) + 1))
    if not names or not (names[0] == globs[0] or fnmatchcase(names[0], globs[0])):
        return False
    return _matches(names[1:], globs[1:])
