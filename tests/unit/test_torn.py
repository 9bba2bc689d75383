"""Records on a line on which several stand are found in one pass."""

from __future__ import annotations

import random

import pytest

from shipper.records import LINE_START
from shipper.ship.reader import torn

HEAD = LINE_START + b'2026-11-21T03:17:32.123456Z","event":{"id":"' + b"ab" * 16 + b'","dataset":"rq.app"},"a":'
WHOLE = HEAD + b'"\xc3\xa9"}'


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (WHOLE, [WHOLE]),
        (HEAD + WHOLE, [HEAD, WHOLE]),
        (HEAD[:30] + HEAD[:20] + WHOLE + WHOLE, [HEAD[:30], HEAD[:20], WHOLE, WHOLE]),
        (b'{"b":' + WHOLE + b"}", [b'{"b":' + WHOLE + b"}"]),
        (HEAD + b'{"b":' + WHOLE + b"}", [HEAD + b'{"b":', WHOLE + b"}"]),
        (HEAD * 3 + b"1" + b"}" * 2, [HEAD, HEAD * 2 + b"1}}"]),
        (HEAD * 3 + b"1}\xff", [HEAD, HEAD, HEAD + b"1}\xff"]),
        (b"  ", []),
    ],
)
def test_each_record_is_a_part(line: bytes, parts: list[bytes]) -> None:
    found = list(torn.parts(line))
    assert [part for _, part in found] == parts
    assert all(line[at:].startswith(part) for at, part in found)


@pytest.mark.parametrize("closed", [0, 1, 200, 399])
def test_records_within_each_other_are_parsed_once(monkeypatch: pytest.MonkeyPatch, closed: int) -> None:
    """Each of them was parsed to the line's end: seconds for 400, growing with their square."""
    parsed: list[int] = []

    def counted(line: bytes, start: int) -> int | None:
        error = error_at(line, start)
        parsed.append((len(line) if error is None else error) - start)
        return error

    error_at = torn._error_at
    monkeypatch.setattr(torn, "_error_at", counted)
    line = HEAD * 400 + b"1" + b"}" * closed
    assert len(list(torn.parts(line))) == (400 if not closed else 401 - closed)
    assert sum(parsed) <= 2 * len(line)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_of_a_line_is_lost(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311
    pieces = [WHOLE, HEAD, HEAD[:40], LINE_START, b"}", b'"', b"{", b" ", b"\\"]
    line = b"".join(dice.choices(pieces, k=dice.randrange(1, 12)))
    parts = list(torn.parts(line))
    assert b"".join(part for _, part in parts).strip() == line.strip()
    whole = [part for _, part in parts if part == WHOLE]
    assert len(whole) <= line.count(WHOLE)
