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
    assert states[state.job_id].source == state.source


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


def block_of(dice: random.Random) -> bytes:
    """Some records, of which one or another is spoilt, or ends early, or goes on in the next line."""
    lines = dice.choices(LINES, k=dice.randrange(1, 6))
    data = bytearray(b"\n".join([*lines, b""]))
    for _ in range(dice.choice((0, 1, 1, 2))):
        at = dice.randrange(len(data))
        match dice.randrange(4):
            case 0:
                data[at : at + 1] = dice.choice([*ODD, b"\n"])
            case 1:
                data[at:at] = dice.choice([*ODD, b"\n", b"\n\n", b"}\n{", lines[0], lines[0] + b"\n"])
            case 2:
                del data[at : at + dice.randrange(1, 5)]
            case _:
                data[at] = dice.randrange(256)
    return bytes(data)


@pytest.mark.parametrize("with_states", [True, False])
def test_a_block_taken_at_once_is_what_its_lines_are(with_states: bool) -> None:
    dice = random.Random(20261122)  # noqa: S311
    made = settings.load(environment={"SHIPPER_STATES": str(with_states).lower()})
    at_once, by_line = Quick(made), Quick(made)
    whole = 0
    for _ in range(10_000):
        data, states, parts, expected = block_of(dice), {}, [], {}  # type: ignore[var-annotated]
        taken = at_once.take_all(data, states)
        lines = data.split(b"\n")[:-1]
        count = by_line.take(iter(lines), parts, expected)
        if taken is None:
            assert count < len(lines) or not data.endswith(b"\n") or not lines
            continue
        whole += 1
        assert (count, states) == (len(lines), expected)
        assert taken == (b"".join(part + b"\n" for part in parts), count)
    assert whole > 3000


@pytest.mark.parametrize("between", [b"}\n{", b',"x":[{"a":1}\n', b'","x":{\n', b'}\n{"x":"\n'])
def test_a_record_that_goes_on_in_the_next_line_is_not_taken(between: bytes) -> None:
    """Also not where two records on one line make up for it."""
    line = LINES[0]
    torn = line[:-1] + between + line
    assert Quick(MADE).take_all(line + line + b"\n" + torn + b"\n", {}) is None
