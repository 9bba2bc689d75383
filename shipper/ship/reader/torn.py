"""Finds the records on a line on which several stand: a writer died in the middle of one, and the next one wrote on.

In one pass: a line of thousands of torn records, each within the one before, is not gone through for each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import orjson

from ...records import LINE_START

_TEXT_OR_BRACKET = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]')
_ASCII = bytes(range(128)) + b"x" * 128  # what is no ASCII changes nothing about where brackets stand


def parts(line: bytes) -> Iterator[tuple[int, bytes]]:
    """The line, or what stands on it one after the other, each with its place. Blank ones are left out.

    What is JSON up to the line's end is one part, whatever begins in it.
    """
    at = 0
    following = line.find(LINE_START, 1)
    if following >= 0:
        plain = line.translate(_ASCII)
        seen_to, whole = 0, -1  # what begins before `seen_to` is no JSON to the line's end, except what does at `whole`
        while following >= 0 and at != whole:
            if at >= seen_to:
                error = _error_at(plain, at)
                if error is None:
                    break
                seen_to = error - len(LINE_START)
                whole = _last_object(plain, at) if error == len(plain) else -1
            yield at, line[at:following]
            at, following = following, line.find(LINE_START, following + 1)
    rest = line[at:]
    if rest.strip():
        yield at, rest


def _error_at(line: bytes, start: int) -> int | None:
    """Where the line from `start` on stops being one JSON value. None: it is one. The line's end: more should come."""
    try:
        orjson.loads(memoryview(line)[start:])
    except orjson.JSONDecodeError as error:
        return start + error.pos
    return None


def _last_object(line: bytes, start: int) -> int:
    """Where the object begins that ends the line; -1 if none does. From `start` on all is JSON, but not to an end."""
    opened: list[int] = []
    last = -1
    end = len(line.rstrip())
    for found in _TEXT_OR_BRACKET.finditer(line, start):
        if found[0] in (b"{", b"["):
            opened.append(found.start())
        elif found[0] in (b"}", b"]"):
            begun = opened.pop() if opened else -1
            last = begun if found.end() == end else -1
    return last
