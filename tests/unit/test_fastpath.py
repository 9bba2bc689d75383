"""The quick way and the close look agree: what is taken quickly is JSON, and becomes the same document."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import sysconfig
from datetime import UTC, datetime
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import settings
from shipper.ship.bulk.batch import Batch
from shipper.ship.reader import fastpath
from shipper.ship.reader.document import Place, document
from shipper.ship.reader.fastpath import FastPath
from shipper.ship.source.tail import Block
from shipper.state import State

GOLDEN = sorted((Path(__file__).parent.parent / "golden").glob("*.jsonl"))
MADE = settings.load(environment={})
WITHOUT_STATES = settings.load(environment={"SHIPPER_STATES": "false"})
NOW = datetime.now(UTC)
TODAY = NOW.strftime("%Y-%m-%d").encode()
LINES = [(line := path.read_bytes().rstrip()).replace(line[15:25], TODAY) for path in GOLDEN]
ODD = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\x1f", b"\xff", b"\xc3\x28", b"1", b"-", b".", b"e",
    b"NaN", b"null", b"tru", b"\\u12", b"\\ud800", b"01", b" ", b"\t", b"\r", b"\xed\xa0\x80", b"1e999", b"Infinity",
]  # fmt: skip


@pytest.fixture(params=["in C", "in Python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are taken by framing.c, and without it."""
    if request.param == "in Python":
        monkeypatch.setattr(fastpath, "frame", None)
    elif vars(fastpath)["frame"] is None:
        assert not can_compile(), "framing.c was not compiled: `make setup` says why"
        pytest.skip("there is no C compiler here, or no Python.h, and so no framing.c")


def can_compile() -> bool:
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    return bool(shutil.which(compiler)) and Path(sysconfig.get_path("include"), "Python.h").exists()


def taken(line: bytes) -> tuple[list[bytes], dict[str, State]]:
    parts: list[bytes] = []
    states: dict[str, State] = {}
    FastPath(MADE).frame_lines(iter([line]), parts, states)
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
        lambda line: line[:26] + b"24" + line[28:],
        lambda line: line[:29] + b"60" + line[31:],
        lambda line: line[:32] + b"61" + line[34:],
        lambda line: line[:40] + b"x" + line[41:],
        lambda line: line[:62] + b'","x":"' + line[69:],  # an id of three letters, and something beside it
        lambda line: b" " + line,
        lambda line: line + b"\r",
        lambda line: line + b"}",
        lambda line: line[:-1],
        lambda line: line + line,
        lambda line: b"",
    ],
)
@pytest.mark.usefixtures("way")
def test_what_is_odd_is_left_to_the_close_look(spoil: object) -> None:
    line = spoil(LINES[0])  # type: ignore[operator]
    assert taken(line) == ([], {})
    assert FastPath(WITHOUT_STATES).frame_block(LINES[0] + b"\n" + line + b"\n", {}) is None


def _no_constant(name: str) -> None:
    raise ValueError(name)


def test_nothing_is_taken_that_is_not_json() -> None:
    """Mutations of real records. Their first fixed bytes are compared one by one, so it is the rest that is spoilt."""
    dice = random.Random(20261121)  # noqa: S311
    quick = FastPath(MADE)
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
        if b"\n" not in line and quick.frame_lines(iter([bytes(line)]), [], {}):
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


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("with_states", [True, False])
def test_a_block_taken_at_once_is_what_its_lines_are(with_states: bool) -> None:
    dice = random.Random(20261122)  # noqa: S311
    made = settings.load(environment={"SHIPPER_STATES": str(with_states).lower()})
    at_once, by_line = FastPath(made), FastPath(made)
    whole = 0
    for _ in range(10_000):
        data, states, parts, expected = block_of(dice), {}, [], {}  # type: ignore[var-annotated]
        taken = at_once.frame_block(data, states)
        lines = data.split(b"\n")[:-1]
        count = by_line.frame_lines(iter(lines), parts, expected)
        if taken is None:
            assert count < len(lines) or not data.endswith(b"\n") or not lines
            continue
        whole += 1
        assert (count, states) == (len(lines), expected)
        assert taken == (b"".join(part + b"\n" for part in parts), count)
    assert whole > 3000


@pytest.mark.usefixtures("way")
def test_what_jobs_tell_is_known_though_others_records_stand_between() -> None:
    others = [line.replace(b'"dataset":"rq.job"', b'"dataset":"rq.app"', 1) for line in LINES]
    states: dict[str, State] = {}
    alone: dict[str, State] = {}
    mixed = [line for pair in zip(LINES, others, strict=True) for line in pair]
    taken = FastPath(MADE).frame_block(b"\n".join([*mixed, b""]), states)
    assert taken is not None
    assert taken[1] == 2 * len(LINES)
    FastPath(MADE).frame_block(b"\n".join([*LINES, b""]), alone)
    assert states == alone
    assert FastPath(MADE).frame_block(b"\n".join([*others, b""]), {}) is not None


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("between", [b"}\n{", b',"x":[{"a":1}\n', b'","x":{\n', b'}\n{"x":"\n'])
def test_a_record_that_goes_on_in_the_next_line_is_not_taken(between: bytes) -> None:
    """Also not where two records on one line make up for it."""
    line = LINES[0]
    torn = line[:-1] + between + line
    for made in (MADE, WITHOUT_STATES):
        assert FastPath(made).frame_block(line + line + b"\n" + torn + b"\n", {}) is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)
ASIDE = [
    b" ", b"\t", b"\r", b"-", b"-0", b"0", b"1e5", b"1E+", b".5", b"\x7f", b'"', b"\\",
    b"\\u0041", b"\\ud83d\\ude00", b"\\ud83d", b"\\ude00",
    b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82",
]  # fmt: skip


@pytest.mark.usefixtures("way")
@hypothesis.settings(max_examples=1500, deadline=None)
@given(VALUES, st.booleans(), st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(ASIDE)), max_size=2))
def test_what_is_json_is_taken_and_nothing_else(
    value: object, ascii_only: bool, spoilt: list[tuple[int, bytes]]
) -> None:
    text = bytearray(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"))
    for at, what in spoilt:
        text[at % (len(text) + 1) : at % (len(text) + 1)] = what
    line = LINES[0][:-1] + b',"x":' + bytes(text) + b"}"
    block = LINES[1] + b"\n" + line + b"\n"
    is_taken = FastPath(WITHOUT_STATES).frame_block(block, {}) is not None
    assert is_taken == is_json(line)


def is_json(line: bytes) -> bool:
    """As RFC 8259 has it, and with whole characters: half of a surrogate pair is none."""
    try:
        json.dumps(json.loads(line.decode(), parse_constant=_no_constant), ensure_ascii=False).encode()
    except (ValueError, UnicodeError):
        return False
    return True


def test_a_record_of_any_depth_becomes_a_document() -> None:
    """framing.c goes no deeper than it has room for, and leaves the rest to Python."""
    for depth in (1, 63, 64, 65, 500):
        block = LINES[0][:-1] + b',"x":' + b"[" * depth + b"]" * depth + b"}\n"
        batch = Batch(WITHOUT_STATES)
        batch.add(Block(Nowhere(), 0, block), "host", FastPath(WITHOUT_STATES))  # type: ignore[arg-type]
        assert (batch.count, batch.letters) == (1, [])


class Nowhere:
    path = Path("nowhere")

    def file_id(self) -> str:
        return ""
