"""Compiles the Grok patterns, which Logstash and Elasticsearch use, to Python regular expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

_REFERENCE = re.compile(r"%\{(\w+)(?::(\w+))?\}")
_NAMED_GROUP = re.compile(r"\(\?<(?=[a-z])")  # not (?<= and (?<!


@cache
def patterns() -> Mapping[str, str]:
    """All patterns of patterns/rq by name, in the order of the file."""
    lines = files(__package__).joinpath("patterns/rq").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def heads() -> list[str]:
    """The names of the patterns for the beginning of a line. The first that matches is used."""
    return [name for name in patterns() if name.startswith("RQ_HEAD_")]


def lines() -> list[str]:
    """The names of the patterns for the body of a line. The first that matches is used."""
    return [name for name in patterns() if name.startswith("RQ_LINE_")]


def compiled(name: str) -> re.Pattern[str]:
    """The pattern as a regular expression, with the captures as named groups."""
    return re.compile(_NAMED_GROUP.sub("(?P<", _expanded(patterns()[name])))


def _expanded(pattern: str) -> str:
    def expand(reference: re.Match[str]) -> str:
        inner = _expanded(patterns()[reference[1]])
        return f"(?<{reference[2]}>{inner})" if reference[2] else f"(?:{inner})"

    return _REFERENCE.sub(expand, pattern)
