"""Takes what a container wrote out of the envelope that its engine put around each line.

Docker's json-file driver: `{"log":"line\\n","stream":"stdout","time":"…"}`. The Container Runtime Interface, which
Kubernetes uses: `2026-11-25T10:00:00.123456789Z stdout F line`. Both cut long lines into partial ones: those of one
stream are joined.

https://docs.docker.com/engine/logging/drivers/json-file/
https://github.com/kubernetes/design-proposals-archive/blob/main/node/kubelet-cri-logging.md
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import orjson

from ...records import parse_timestamp

_CRI = re.compile(rb"(\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)) (stdout|stderr) ([FP])(?::\S*)? ?(.*)", re.DOTALL)
_CRI_START = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d) std(?:out|err) [FP]")
_DOCKER_START = b'{"log":"'
JOINED_LIMIT = 1 << 24  # bytes of a line in pieces; what is longer is taken in pieces


class Unwrapped(NamedTuple):
    """A line without its envelope: `raw` is what stands in the file from `offset` on, `line` what the program wrote.

    `at` is when the engine read it, None of a line that has no envelope.
    """

    offset: int
    raw: bytes
    line: bytes
    at: datetime | None


class _Piece(NamedTuple):
    stream: str
    text: bytes
    at: datetime
    partial: bool


def is_envelope(line: bytes) -> bool:
    """Whether a line begins as one in an envelope does."""
    return line.startswith(_DOCKER_START) or _CRI_START.match(line) is not None


def unwrapped(lines: Iterable[tuple[int, bytes]]) -> Iterator[Unwrapped]:
    """The lines of a file (offset, line), without their envelopes if they have any."""
    open_: dict[str, list[tuple[int, bytes, _Piece]]] = {}  # by stream: the pieces of a line that is not whole yet
    for offset, raw in lines:
        piece = _piece(raw)
        if piece is None:
            yield Unwrapped(offset, raw, raw, None)
            continue
        pieces = open_.setdefault(piece.stream, [])
        pieces.append((offset, raw, piece))
        if not piece.partial or sum(len(one.text) for _, _, one in pieces) > JOINED_LIMIT:
            yield _joined(open_.pop(piece.stream))
    for pieces in open_.values():  # no more comes
        yield _joined(pieces)


def whole(data: bytes) -> int:
    """How much of `data`, which is whole lines, has all pieces of its lines. 0: not even its first line's."""
    open_: dict[str, int] = {}
    at = 0
    for raw in data.splitlines(keepends=True):
        piece = _piece(raw.rstrip(b"\r\n"))
        if piece is not None and piece.partial:
            open_.setdefault(piece.stream, at)
        elif piece is not None:
            open_.pop(piece.stream, None)
        at += len(raw)
    return min(open_.values(), default=at)


def _joined(pieces: list[tuple[int, bytes, _Piece]]) -> Unwrapped:
    raw = b"\n".join(raw for _, raw, _ in pieces)
    return Unwrapped(pieces[0][0], raw, b"".join(piece.text for _, _, piece in pieces), pieces[0][2].at)


def _piece(raw: bytes) -> _Piece | None:
    """What is in a line's envelope; None if it has none."""
    if raw.startswith(_DOCKER_START):
        return _docker(raw)
    found = _CRI.fullmatch(raw)
    if found is None:
        return None
    try:
        at = parse_timestamp(found[1].decode())
    except (ValueError, OverflowError):
        return None
    return _Piece(found[2].decode(), found[4], at, partial=found[3] == b"P")


def _docker(raw: bytes) -> _Piece | None:
    try:
        content = orjson.loads(raw)
        text, stream, at = content["log"], content["stream"], parse_timestamp(content["time"])
        if not set(content) <= {"log", "stream", "time", "attrs"}:
            return None
        return _Piece(stream, text.removesuffix("\n").encode(), at, partial=not text.endswith("\n"))
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError):
        return None
