"""Regular expressions must mean the same in every Python that we promise to run on."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from re import _constants, _parser
from typing import Any

import shipper
from shipper.legacy import grok

# Both are new in Python 3.11, whose first releases get them wrong: https://github.com/python/cpython/issues/100061 and
# https://github.com/python/cpython/issues/106052, mended in 3.11.5. Debian 12 has 3.11.2.
FORBIDDEN = {_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP}


def _every_pattern() -> Iterator[tuple[str, re.Pattern[Any]]]:
    for name in grok.patterns().keys() - set(grok.STEPS):
        yield name, grok.Expression(name).pattern
    for found in pkgutil.walk_packages(shipper.__path__, "shipper.", onerror=lambda _: None):
        if found.name.startswith("shipper.django"):  # needs a configured Django, and has none of its own: below
            continue
        for name, value in vars(importlib.import_module(found.name)).items():
            if isinstance(value, re.Pattern):
                yield f"{found.name}.{name}", value


def _operations(parsed: Any) -> Iterator[Any]:
    """Every operation of a parsed pattern, those inside of others included."""
    if isinstance(parsed, _parser.SubPattern | list | tuple):
        for part in parsed:
            yield from _operations(part)
    else:
        yield parsed


def test_no_pattern_rests_on_possessive_repeats_or_atomic_groups() -> None:
    patterns = dict(_every_pattern())
    assert len(patterns) > 60
    wrong = [name for name, pattern in patterns.items() if FORBIDDEN & set(_flat(pattern))]
    assert not wrong


def _flat(pattern: re.Pattern[Any]) -> list[Any]:
    found = _operations(_parser.parse(pattern.pattern, pattern.flags).data)
    return [one for one in found if isinstance(one, _constants._NamedIntConstant)]


def test_the_check_above_sees_what_it_looks_for() -> None:
    for hidden in (r"a(?:b|(c++))", r"(?=(?>x))", r"[ab]{2,3}+"):
        assert FORBIDDEN & set(_flat(re.compile(hidden)))


def test_what_is_not_looked_at_above_has_no_patterns() -> None:
    (folder,) = (Path(place) / "django" for place in shipper.__path__)
    assert not [file.name for file in folder.rglob("*.py") if "re.compile" in file.read_text(encoding="utf-8")]
