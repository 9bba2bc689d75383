"""Splits the bytes of a text log into records: joins tracebacks to their line, splits lines that ran together. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from ..records import BYTE_ORDER_MARK
from ..redact.text import TextRules

# Matches a continuation line: it is indented, or a part of a traceback. The rule looks at single lines only, so that
# Logstash's multiline codec can use it, too.
CONTINUES = (
    r"^(?:[ \t]|[\])}]|\r?$|Traceback \(most recent|During handling of the above|The above exception was|\+-|\| "
    r"|(?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception|Warning|Exit|Interrupt|Iteration|Group|Timeout)(?::|\r?$)"
    r"|(?:[a-z_]\w*\.)+[A-Z]\w*(?::|\r?$))"
)
# Matches where a second record begins within a line: two processes wrote at once, or a newline was lost.
GLUED = r"(?<=\S)(?=Time: \d{4}-\d{2}-\d{2} \d{2}:)|(?<=\))(?=\d{2}:\d{2}:\d{2} [^\s:]{1,200}: )"
COLORS = r"\x1b\[[0-9;]{0,20}m"

_continues = re.compile(CONTINUES.replace("$", r"\Z").encode())
_glued = re.compile(GLUED.encode())
_GLUED_PARTS = (b"Time: ", b")0", b")1", b")2")
_colors = re.compile(COLORS)
_builtin_rules = TextRules()


def whole_records(data: bytes) -> int:
    """The length of the complete records in `data`, which has to end with a newline: all but the last record.

    The last one may still get continuation lines. 0 if there is only one.
    """
    end = len(data)
    while end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if not _continues.match(data[start : end - 1].rstrip(b"\n")):
            return start
        end = start
    return 0


def records_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset in `data`, bytes without the last newline) of each record. `data` is whole lines."""
    start = at = 0
    for line in data.split(b"\n"):
        if at > start and not _continues.match(line):
            yield from _split(start, data[start : at - 1])
            start = at
        at += len(line) + 1
    if data[start:].strip():
        yield from _split(start, data[start:].removesuffix(b"\n"))


def text_of(record: bytes, rules: TextRules = _builtin_rules) -> str:
    """A record's text, redacted, without colour codes and carriage returns. Invalid UTF-8 becomes U+FFFD."""
    text = record.decode("utf-8", "replace").rstrip()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text:
        text = _colors.sub("", text)
    return rules.redacted(text)


def _split(start: int, record: bytes) -> Iterator[tuple[int, bytes]]:
    """The records in the bytes of one: usually one, more if lines ran together."""
    if record.startswith(BYTE_ORDER_MARK):
        start, record = start + len(BYTE_ORDER_MARK), record[len(BYTE_ORDER_MARK) :]
    if not any(record.find(glue, 1) > 0 for glue in _GLUED_PARTS):
        if record.strip():
            yield start, record
        return
    cuts = [0, *(match.start() for match in _glued.finditer(record)), len(record)]
    for begin, end in pairwise(cuts):
        if record[begin:end].strip():
            yield start + begin, record[begin:end]
