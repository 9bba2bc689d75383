"""Compiles the grok patterns, which Logstash and Elasticsearch use, to Python regular expressions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

Captures = dict[str, str]
"""What a pattern found, by the names of its captures without `rq_`. What is absent in the text is absent here."""

OWN_ID = "RQ_OWN_ID"
STEPS = ("RQ_CARRIER", "RQ_HEAD", "RQ_LINE", "RQ_ERROR")
"""The patterns of each step in one, for Logstash. Names of groups come several times, which Python does not take."""

_REFERENCE = re.compile(r"%\{(\w+)(?::(\w+))?\}")
_NAMED_GROUP = re.compile(r"\(\?<(?=[a-z])")  # not (?<= and (?<!
_BACK_REFERENCE = re.compile(r"\\k<(\w+)>")


@cache
def patterns() -> Mapping[str, str]:
    """All patterns of patterns/rq by name, in the order of the file."""
    lines = files(__package__).joinpath("patterns/rq").read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def with_own_ids(job_ids: str | None) -> Mapping[str, str]:
    """All patterns, with the setting `job_ids` in the place of RQ_OWN_ID."""
    return {**patterns(), OWN_ID: job_ids} if job_ids else patterns()


def names(prefix: str) -> list[str]:
    """The names of the patterns that are tried in turn, such as all `RQ_LINE_`."""
    return [name for name in patterns() if name.startswith(prefix)]


def expression(name: str, definitions: Mapping[str, str] | None = None) -> str:
    """The pattern as a regular expression of Oniguruma, without references."""
    definitions = patterns() if definitions is None else definitions

    def expand(reference: re.Match[str]) -> str:
        inner = expression(reference[1], definitions)
        return f"(?<{reference[2]}>{inner})" if reference[2] else f"(?:{inner})"

    return _REFERENCE.sub(expand, definitions[name])


class Expression:
    """A pattern as one of Python's. All of its groups have names."""

    __slots__ = ("_match", "_names", "pattern")

    def __init__(self, name: str, definitions: Mapping[str, str] | None = None) -> None:
        text = _BACK_REFERENCE.sub(r"(?P=\1)", expression(name, definitions))
        self.pattern = re.compile(_NAMED_GROUP.sub("(?P<", text))
        self._match = self.pattern.match
        self._names = tuple(name[3:] for name in self.pattern.groupindex)

    def match(self, text: str) -> Captures | None:
        """What the pattern finds at the text's beginning. None if it does not match."""
        found = self._match(text)
        if found is None:
            return None
        return {name: value for name, value in zip(self._names, found.groups()) if value}  # noqa: B905 - a tenth of a line's time


def compiled(prefix: str, definitions: Mapping[str, str] | None = None) -> dict[str, Expression]:
    """The patterns that are tried in turn, by their names without the prefix."""
    return {name.removeprefix(prefix): Expression(name, definitions) for name in names(prefix)}
