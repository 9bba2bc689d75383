"""Lines that are JSON but for what several languages write all the same: half of a surrogate pair, NaN, NULs. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from ...records import BYTE_ORDER_MARK

# An escape of a JSON text: a whole pair of surrogates, half of one, or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
# A text, or a word of Python's and JavaScript's that JSON does not have.
_TEXT_OR_WORD = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b', re.DOTALL)
_TEXT_OR_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*', re.DOTALL)


def loads(text: bytes) -> Any:
    """What JSON says. Raises ValueError. Numbers beyond a double's range are infinite here, and JSON all the same."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as wrong:
        if "infinity" not in wrong.msg:
            raise
        # Python's parser has all numbers. It also takes what is no JSON, so the rest has to be right for orjson.
        orjson.loads(_TEXT_OR_NUMBER.sub(lambda found: found[0] if found[0].startswith(b'"') else b"0", text))
        return json.loads(text)


def clean(line: bytes) -> bytes:
    """The line without what stands around its object: blanks, a byte order mark, and NULs (the power was cut)."""
    return line.removeprefix(BYTE_ORDER_MARK).lstrip(b"\0").strip()


def repaired(line: bytes) -> bytes:
    """The line with U+FFFD for half a surrogate pair, and the texts "NaN" and "Infinity" for numbers that are none."""
    if b"\\u" in line:
        line = _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], line)
    if b"NaN" in line or b"Infinity" in line:
        line = _TEXT_OR_WORD.sub(lambda found: found[0] if found[0].startswith(b'"') else b'"%b"' % found[0], line)
    return line
