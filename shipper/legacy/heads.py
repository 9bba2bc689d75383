"""Parses the beginning of a line: time, level, logger. The patterns are RQ_HEAD_ in patterns/rq."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

from . import grok
from .grok import Captures
from .tables import tables

_COMPACT = (
    ("date_compact", "date"),
    ("clock_compact", "clock"),
    ("fraction_compact", "fraction"),
    ("zone_compact", "zone"),
)
_WORD = re.compile(r"[\w.]+")
_LOGGER = re.compile(r"[^\W\d][\w]*[._]")


# RQ's own format: a time, then what only RQ begins with, or a queue. What RQ_HEAD_STAMP finds there, ten times as fast.
# No carrier begins so: after a time it has a bar, or a date before it.
_PLAIN = re.compile(
    r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9] "
    r"(?=(?!rq|root)[a-z][a-z0-9_-]*: |Worker [^\s:()\[\]|]+: |Successfully completed |Result is "
    r"|\[?Job [^\s|]+: |Moving job )"
)


def of_rq(text: str) -> Captures | None:
    """`clock` and `body` of a line as RQ writes it, without a carrier. None for any other line."""
    if text[2:3] == ":" and _PLAIN.match(text):
        return {"clock": text[:8], "body": text[9:]}
    return None


def parse(text: str) -> Captures:  # noqa: C901 - patterns in turn
    """`date`, `clock`, `fraction`, `ampm`, `zone`, `year`, `epoch`, `level`, `logger`, and always `body`."""
    if plain := of_rq(text):
        return plain
    first = text[:1]
    patterns = _patterns()
    found = None
    if first in "Tt":
        found = patterns["TASK"].match(text)
    elif first in "DIWEF" and text[1:5].isdigit():
        found = patterns["GLOG"].match(text)
    if found is None:
        found = patterns["STAMP"].match(text)
    if found is None and '] "' in text[:200]:
        found = patterns["ACCESS"].match(text)
    if found is None and first in "[DIWECFN":
        found = patterns["LEVEL"].match(text)
    if found is None:
        return {"body": text}
    found.setdefault("body", "")
    if "date_compact" in found:
        for compact, name in _COMPACT:
            if compact in found:
                found[name] = found.pop(compact)
    _name_level_and_logger(found)
    return found


def is_stamped(text: str) -> bool:
    """Whether a line begins with a time or a level, which begins a record."""
    if not text or text[0] in " \t|+":
        return False
    return len(parse(text)) > 1


def log_level(name: str) -> str | None:
    """The value of `log.level` for a level's name, letter or syslog number."""
    level: str | None = tables()["levels"].get(name.upper())
    return level


def _name_level_and_logger(found: Captures) -> None:
    """Set `level` and `logger` from the words before and after the time."""
    around = f"{found.pop('before', '')} {found.pop('after', '')} {found.pop('decoration', '')}"
    if not around.isspace():
        for name, word in _level_and_logger(around):
            found.setdefault(name, word)


@lru_cache(maxsize=1000)  # most lines of a file have the same
def _level_and_logger(around: str) -> Sequence[tuple[str, str]]:
    named = []
    for word in _WORD.findall(around):
        if word.upper() in tables()["levels"] and not word.isdigit():
            named.append(("level", word))
        elif _LOGGER.match(word) and not word.endswith(".py"):
            named.append(("logger", word))
    return named


@cache
def _patterns() -> dict[str, grok.Expression]:
    return grok.compiled("RQ_HEAD_")
