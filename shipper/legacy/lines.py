"""The bytes of a text log → its records: tracebacks joined to their line, lines that ran together taken apart. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from ..records import BYTE_ORDER_MARK
from ..redact import REDACTED, SENSITIVE

# A line that belongs to the one before it: it is indented, or a part of a traceback. One rule for each line alone,
# so that Logstash's multiline codec, which sees no more, has the same.
CONTINUES = (
    r"^(?:[ \t]|[\])}]|\r?$|Traceback \(most recent|During handling of the above|The above exception was|\+-|\| "
    r"|(?:[A-Za-z_]\w*\.)*\w*(?:Error|Exception|Warning|Exit|Interrupt|Iteration|Group|Timeout)(?::|\r?$)"
    r"|(?:[a-z_]\w*\.)+[A-Z]\w*(?::|\r?$))"
)
# Where a second record begins on a line: two processes wrote at once, or a newline was lost.
GLUED = r"(?<=\S)(?=Time: \d{4}-\d{2}-\d{2} \d{2}:)|(?<=\))(?=\d{2}:\d{2}:\d{2} [^\s:]{1,200}: )"
# A value that is written as name='…' or name=…, where the name is one that is kept back: a job's description.
_NAMES = "|".join("[_-]?".join(part.split("_")) for part in SENSITIVE)
SECRET = (
    rf"(?i)(\b[\w-]{{0,40}}(?:{_NAMES})[\w-]{{0,40}}['\"]?)(=|: ?)"
    r"('[^'\n]*'|\"[^\"\n]*\"|\[redacted\]|[^\s,)'\"}\]&;]+)"
)
COLORS = r"\x1b\[[0-9;]{0,20}m"

_continues = re.compile(CONTINUES.replace("$", r"\Z").encode())
_glued = re.compile(GLUED.encode())
_secret = re.compile(SECRET)
# Looks that are quick where there is nothing to find: the expressions themselves take 10 us a line.
_TELLING = tuple(name.split("_")[0] for name in SENSITIVE)
_GLUE = (b"Time: ", b")0", b")1", b")2")
_colors = re.compile(COLORS)


def whole_records(data: bytes) -> int:
    """How much of `data` (whole lines) is records that are surely at their end: all but the last one.

    0 if there is only one: a traceback may still be on its way to it.
    """
    end = len(data)
    while end > 0:
        start = data.rfind(b"\n", 0, end - 1) + 1
        if not _continues.match(data[start : end - 1].rstrip(b"\n")):
            return start
        end = start
    return 0


def records_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each record of whole lines: where it begins in `data`, and its bytes without the last line's end."""
    start = at = 0
    for line in data.split(b"\n"):
        if at > start and not _continues.match(line):
            yield from _apart(start, data[start : at - 1])
            start = at
        at += len(line) + 1
    if data[start:].strip():
        yield from _apart(start, data[start:].removesuffix(b"\n"))


def text_of(record: bytes) -> str:
    """A record's text: UTF-8 (what is not becomes U+FFFD), without colours, carriage returns, and secrets."""
    text = record.decode("utf-8", "replace").rstrip()
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\x1b" in text:
        text = _colors.sub("", text)
    small = text.lower()
    return _secret.sub(rf"\1\2{REDACTED}", text) if any(name in small for name in _TELLING) else text


def _apart(start: int, record: bytes) -> Iterator[tuple[int, bytes]]:
    """The records that a line holds: one, but for accidents."""
    if record.startswith(BYTE_ORDER_MARK):
        start, record = start + len(BYTE_ORDER_MARK), record[len(BYTE_ORDER_MARK) :]
    if not any(record.find(glue, 1) > 0 for glue in _GLUE):
        if record.strip():
            yield start, record
        return
    cuts = [0, *(found.start() for found in _glued.finditer(record)), len(record)]
    for begin, end in pairwise(cuts):
        if record[begin:end].strip():
            yield start + begin, record[begin:end]
