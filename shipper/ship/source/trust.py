"""Which files may hold records of jobs, of the audit trail and of the shipper: those that our own emitters write.

Whoever can write to any other file that is tailed could otherwise forge them.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import escape
from pathlib import Path

from ...settings import Settings
from .tail import STDIN


def is_trusted(path: Path, settings: Settings) -> bool:
    """Whether it is `log` or one of its rotated files, matches `trusted_files`, or is standard input."""
    log = escape(str(settings.log))
    globs = (log, f"{log}.*", f"{log}-[0-9]*", *settings.trusted_files)  # as we and logrotate rename it
    return str(path) == STDIN or any(_matches(str(path).split("/"), glob.split("/")) for glob in globs)


def _matches(names: Sequence[str], globs: Sequence[str]) -> bool:
    """Whether the names of a path match the parts of a glob one by one; `**` is any number of names."""
    if not globs:
        return not names
    if globs[0] == "**":
        return any(_matches(names[skipped:], globs[1:]) for skipped in range(len(names) + 1))
    return bool(names) and fnmatchcase(names[0], globs[0]) and _matches(names[1:], globs[1:])
