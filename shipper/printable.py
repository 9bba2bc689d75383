"""Text of records, made harmless for terminals: what a record says is shown, and never obeyed.

Control characters (C0, DEL, C1) can retitle, recolour and clear a terminal, or make links; bidirectional controls make
text look like another (CVE-2021-42574). They are shown as escapes, as Python writes them: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

# C0, DEL and C1; Arabic letter mark, zero-width and directional marks, line separators, embeddings, isolates, the byte
# order mark, interlinear annotations, tags. Lone surrogates cannot be encoded.
_CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
    "\ud800-\udfff]"
)
# In JSON, the C0 characters are escaped anyway, but for the newlines between the lines of indented JSON.
_CONTROLS_IN_JSON = re.compile(_CONTROLS.pattern.replace("\x00-\x1f", ""))


def printable(value: object) -> str:
    """The value as one line of text without control characters."""
    return _CONTROLS.sub(_escaped, str(value))


def printable_lines(value: object) -> str:
    """The same, with its newlines and tabs kept."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in str(value).split("\n"))


def printable_json(value: Any, *, indent: bool = False) -> bytes:
    """The value as JSON with a newline, in which no control character is literal. Raises TypeError, as orjson does."""
    text = orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if indent else 0))
    return (
        text if text.isascii() and b"\x7f" not in text else _CONTROLS_IN_JSON.sub(_json_escaped, text.decode()).encode()
    )


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _json_escaped(found: re.Match[str]) -> str:
    utf16 = found[0].encode("utf-16-be")
    return "".join(f"\\u{utf16[at]:02x}{utf16[at + 1]:02x}" for at in range(0, len(utf16), 2))
