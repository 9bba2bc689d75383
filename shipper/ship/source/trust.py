"""Which files may hold records of jobs, of the audit trail and of the shipper: those that our own emitters write.

Whoever can write to any other file that is tailed could otherwise forge them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import cache
from glob import escape
from pathlib import Path

from ...settings import Settings
from .tail import STDIN


def is_trusted(path: Path, settings: Settings) -> bool:
    """Whether it is `log`, what that was renamed to, matched by `trusted_files`, or piped to us by hand."""
    log = escape(str(settings.log))
    globs = (log, f"{log}.*", f"{log}-[0-9]*", *settings.trusted_files)  # as we and logrotate rename it
    return str(path) == STDIN or any(pattern.match(str(path)) for pattern in _patterns(globs))


@cache
def _patterns(globs: Iterable[str]) -> list[re.Pattern[str]]:
    return [re.compile("/".join(_part(part) for part in glob.split("/")) + r"\Z") for glob in globs]


def _part(part: str) -> str:
    """A glob's part between two slashes as a pattern: `*` goes beyond no slash, `**` does."""
    return ".*" if part == "**" else re.sub(r"\.\*", "[^/]*", translate(part).removeprefix("(?s:").removesuffix(r")\Z"))
