"""The quick way and the close look agree: what is taken quickly is JSON, and becomes the same document."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipper import settings
from shipper.ship.document import Place, document
from shipper.ship.quick import Quick
from shipper.state import State

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.jsonl"))
MADE = settings.load(environment={})
NOW = datetime.now(UTC)
TODAY = NOW.strftime("%Y-%m-%d").encode()
LINES = [(line := path.read_bytes().rstrip()).replace(line[15:25], TODAY) for path in GOLDEN]
ODD = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\x1f", b"\xff", b"\xc3\x28", b"1", b"-", b".", b"e",
    b"NaN", b"null", b"tru", b"\\u12", b"\\ud800", b"01", b" ", b"\t", b"\r", b"\xed\xa0\x80", b"1e999", b"Infinity",
]  # fmt: skip


def taken(line: bytes) -> tuple[list[bytes], dict[str, State]]:
    parts: list[bytes] = []
    states: dict[str, State] = {}
    Quick(MADE).take(iter([line]), parts, states)
    return parts, states


@pytest.mark.parametrize("line", LINES, ids=[path.stem for path in GOLDEN])
def test_both_make_the_same_of_a_record(line: bytes) -> None:
    parts, states = taken(line)
    made, state = document(line, Place("host", "", 0), MADE, NOW)
    assert parts == [made.action, made.source]
    assert state is not None
    assert states[state.job_id].version == state.version
    assert states[state.job_id].document == state.document


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line.replace(TODAY, b"1999-01-01", 1),
        lambda line: line.replace(b'Z","event"', b'A","event"', 1),
        lambda line: line[:26] + b"99" + line[28:],
        lambda line: line.replace(b"rq.job", b"rq.oth", 1),
        lambda line: b" " + line,
        lambda line: line + b"\r",
        lambda line: line + b"}",
        lambda line: line[:-1],
        lambda line: line + line,
        lambda line: b"",
    ],
)
def test_what_is_odd_is_left_to_the_close_look(spoil: object) -> None:
    assert taken(spoil(LINES[0])) == ([], {})  # type: ignore[operator]


def _no_constant(name: str) -> None:
    raise ValueError(name)


def test_nothing_is_taken_that_is_not_json() -> None:
    """Mutations of real records. Their first fixed bytes are compared one by one, so it is the rest that is spoilt."""
    dice = random.Random(20261121)  # noqa: S311
    quick = Quick(MADE)
    accepted = 0
    for _ in range(30_000):
        line = bytearray(dice.choice(LINES))
        for _ in range(dice.choice((1, 1, 2, 3))):
            at = dice.randrange(92, len(line))
            match dice.randrange(4):
                case 0:
                    line[at : at + 1] = dice.choice(ODD)
                case 1:
                    line[at:at] = dice.choice(ODD)
                case 2:
                    del line[at : at + dice.randrange(1, 5)]
                case _:
                    line[at] = dice.randrange(256)
        if b"\n" not in line and quick.take(iter([bytes(line)]), [], {}):
            accepted += 1
            assert isinstance(json.loads(line.decode("utf-8"), parse_constant=_no_constant), dict)
    assert accepted > 1000  # most mutations are of a text, and leave it a record
