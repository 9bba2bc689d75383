"""framing.c and document.py decide alike: what the one takes becomes the other's document, id, index and state."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import sysconfig
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import add
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import settings
from shipper.records import timestamp
from shipper.ship.counting.tally import Labels, PlainTally, Tally
from shipper.ship.reader import state_store
from shipper.ship.reader.document import Document, NotShippable, Place, document, line_id
from shipper.ship.reader.framer import _SLOTS, Framer
from shipper.ship.source.tail import Block
from shipper.state import State

TESTS = Path(__file__).parent.parent
MADE = settings.load(environment={"SHIPPER_NAMESPACE": "shop"})
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
OURS = [
    (line := path.read_bytes().rstrip()).replace(line[15:25], b"2026-11-25")
    for path in sorted((TESTS / "golden").glob("*.jsonl"))
]
OTHERS = [line for path in sorted((TESTS / "lines").glob("*.jsonl")) for line in path.read_bytes().splitlines()]
ODD = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\x1f", b"\xff", b"\xc3\x28", b"1", b"-", b".", b"e",
    b"NaN", b"null", b"tru", b"\\u12", b"\\ud800", b"\\u0000", b"01", b" ", b"\t", b"\r", b"\xed\xa0\x80", b"1e999",
    b"Infinity", b"\\n", b"\xc3\xa9", b"{}", b"[{}]", b'"":', b'".":1,', b'"_x":1,', b'"event":', b'"user":',
    b'"message":', b'"app":', b'"tags":', b'"dataset":"rq.job",', b'"@timestamp":', b'"level":30,', b"T", b"Z", b"+",
]  # fmt: skip
START = 1_000_000


class Source:
    path = Path("/var/log/some.jsonl")
    rereadable = True


def can_compile() -> bool:
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")[0]
    return bool(shutil.which(compiler)) and Path(sysconfig.get_path("include"), "Python.h").exists()


@pytest.fixture(scope="module")
def framer() -> Framer:
    made = Framer(MADE, "host")
    if made._native is None:
        assert not can_compile(), "framing.c was not compiled: `make setup` says why"
        pytest.skip("there is no C compiler here, or no Python.h, and so no framing.c")
    return made


def taken(framer: Framer, data: bytes, *, trusted: bool) -> tuple[dict[int, tuple[bytes, bytes]], list[bytes]]:
    """(action and source of each line that was taken by where it begins, action and source of each state)."""
    store = state_store.make(MADE.namespace)
    block = Block(Source(), START, data)  # type: ignore[arg-type]
    framed = framer.frame(block, "file", NOW, store, trusted=trusted, counts=True)
    assert framed is not None
    lines = iter(bytes(framed.body).split(b"\n")[:-1])
    found = dict(zip(framed.taken, zip(lines, lines, strict=True), strict=True))
    assert framed.tally is not None
    assert counted(framed.tally) == counted(plain_tally(found.values()))
    places, at = [], 0
    for line in data.split(b"\n"):
        places += [at] if line else []
        at += len(line) + 1
    assert sorted([*framed.taken, *framed.odd]) == places
    held, count = store.take(True, 0)
    states = bytes(held)
    assert states.count(b"\n") == 2 * count
    return found, states.split(b"\n")[:-1]


def plain_tally(documents: Iterable[tuple[bytes, bytes]]) -> PlainTally:
    """What the documents add to the counters, as Python has it."""
    tally, fresh_since = PlainTally(), timestamp(NOW - timedelta(seconds=MADE.fresh_s))
    for action, source in documents:
        if action.startswith(b'{"create":{"_index":"rq-job-'):
            record = orjson.loads(source)
            tally.add(record, fresh=record["@timestamp"] >= fresh_since)
    return tally


def counted(tally: Tally) -> dict[Labels, tuple[Sequence[int], list[list[int]]]]:
    """Numbers and samples by labels; two of framing.c's may have the same labels, written in two ways."""
    found: dict[Labels, tuple[Sequence[int], list[list[int]]]] = {}
    for one in tally.series():
        numbers, samples = found.get(one.labels, ([0] * len(one.numbers), [[], [], []]))
        found[one.labels] = (
            [*map(add, numbers, one.numbers)],
            [sorted([*old, *new]) for old, new in zip(samples, one.samples, strict=True)],
        )
    return found


def plain(line: bytes, at: int, *, trusted: bool) -> tuple[Document, State | None]:
    return document(line, Place("host", "file", START + at, trusted), MADE, NOW)


def compare(framer: Framer, data: bytes, *, trusted: bool) -> int:
    """How many lines were taken; each is what document.py makes of it."""
    found, states = taken(framer, data, trusted=trusted)
    last: dict[str, State] = {}
    for at, (action, source) in found.items():
        end = data.find(b"\n", at)
        made, state = plain(data[at : end if end >= 0 else None], at, trusted=trusted)
        assert action == made.action
        assert strict(source) == strict(made.source)
        if state and (state.job_id not in last or state.version > last[state.job_id].version):
            last[state.job_id] = state
    wanted = [part for state in last.values() for part in state.body.split(b"\n")[:2]]
    assert sorted(repr(strict(part)) for part in states) == sorted(repr(strict(part)) for part in wanted)
    return len(found)


def strict(text: bytes) -> Any:
    """What JSON says, numbers as they are written. Raises ValueError for what is none, and for two of one name."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ValueError(f"twice the same name: {pairs}")
        return made

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(
        text.decode("utf-8"),
        parse_float=lambda text: ("float", text),
        parse_int=lambda text: ("int", text),
        parse_constant=refuse,
        object_pairs_hook=unique,
    )


@pytest.mark.parametrize("line", OURS, ids=range(len(OURS)))
def test_records_of_ours_are_taken(framer: Framer, line: bytes) -> None:
    assert compare(framer, line + b"\n", trusted=True) == 1


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "not trusted"])
@pytest.mark.parametrize("line", OTHERS, ids=range(len(OTHERS)))
def test_other_programs_lines_become_what_document_says(framer: Framer, line: bytes, trusted: bool) -> None:
    compare(framer, line + b"\n", trusted=trusted)


@pytest.mark.parametrize("logger", [path.stem for path in (TESTS / "lines").glob("*") if path.stem != "collisions"])
def test_no_line_of_a_known_logger_takes_the_slow_way(framer: Framer, logger: str) -> None:
    data = (TESTS / "lines" / f"{logger}.jsonl").read_bytes()
    assert compare(framer, data, trusted=False) == data.count(b"\n")


def test_what_a_foreign_file_says_of_jobs_takes_the_quick_way(framer: Framer) -> None:
    data = b"\n".join([*OURS, b""])
    found, states = taken(framer, data, trusted=False)
    assert len(found) == len(OURS)
    assert states == []
    assert compare(framer, data, trusted=False) == len(OURS)


@pytest.mark.parametrize("host", ["h", "h" * 51, "h" * 52, "h" * 255])
def test_ids_of_lines_of_any_length_are_the_plain_ways(framer: Framer, host: str) -> None:
    texts = [b'{"n":"%s"}' % (b"x" * (size * 173 % 400)) for size in range(400)]
    texts.insert(200, b'{"n":"%s"}' % (b"x" * 4000))
    framed = Framer(MADE, host).frame(block_of(texts), "file", NOW, None, trusted=False)
    assert framed is not None
    assert not framed.odd
    actions = bytes(framed.body).split(b"\n")[:-1:2]
    for action, at, text in zip(actions, framed.taken, texts, strict=True):
        expected = line_id(text.decode(), Place(host, "file", START + at, trusted=False), None)
        assert orjson.loads(action)["create"]["_id"] == expected


@pytest.mark.parametrize(
    "members", ['"user":"ann","user":{"id":"1"}', '"user":{"id":"1"},"user":"ann"', '"user":"a","user":"b"']
)
def test_of_a_name_that_is_there_twice_and_fits_no_field_python_says_what_becomes(framer: Framer, members: str) -> None:
    assert compare(framer, b'{"message":"x",%s}\n' % members.encode(), trusted=False) == 0


def test_lines_of_a_host_with_a_name_too_long_are_left_to_python(framer: Framer) -> None:
    block = block_of([b'{"n":1}', b'{"n":2}', b'{"event":{"id":"one"}}'])
    framed = Framer(MADE, "h" * 600).frame(block, "file", NOW, None, trusted=False)
    assert framed is not None
    assert [*framed.odd] == [0, 8]
    assert [*framed.taken] == [16]


def block_of(lines: Iterable[bytes]) -> Block:
    return Block(Source(), START, b"".join(line + b"\n" for line in lines))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(8))
def test_mutations_become_what_document_says_or_are_left_to_it(framer: Framer, seed: int) -> None:
    """Blocks in which one line or another is spoilt: every other line is taken."""
    dice = random.Random(seed)  # noqa: S311
    accepted = 0
    for _ in range(400):
        lines = dice.choices(OURS + OTHERS, k=dice.randrange(1, 6))
        data = mutated(dice, b"\n".join([*lines, b""]))
        try:
            accepted += compare(framer, data, trusted=dice.random() < 0.7)
        except NotShippable as wrong:
            raise AssertionError(f"taken, and no document: {wrong}: {data!r}") from None
    assert accepted > 400


def mutated(dice: random.Random, text: bytes) -> bytes:
    data = bytearray(text)
    for _ in range(dice.choice((0, 1, 1, 2, 4))):
        at = dice.randrange(len(data))
        match dice.randrange(5):
            case 0:
                data[at : at + 1] = dice.choice([*ODD, b"\n"])
            case 1:
                data[at:at] = dice.choice([*ODD, b"\n", b"\n\n", b"}\n{"])
            case 2:
                del data[at : at + dice.randrange(1, 5)]
            case 3:
                data[at] = dice.randrange(256)
            case _:  # a member more, somewhere where one may stand
                at = data.find(b",", at) + 1
                data[at:at] = dice.choice(ODD[-14:])
    return bytes(data)


_NAMES = st.sampled_from(
    [path.split("/")[-1] for path in _SLOTS] + ["x", "a.b", "user.id", "", "_id", "é", "app", "name"]
)
_TEXTS = ["rq.job", "rq.app", "2026-11-25T10:00:00Z", "2026-11-25 09:00:00,5", "1795600800"]
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from([*_TEXTS, 1795600800.25, 30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_NAMES, _VALUES, max_size=8), st.booleans())
def test_any_object_becomes_what_document_says_or_is_left_to_it(content: dict[str, Any], trusted: bool) -> None:
    made = Framer(MADE, "host")
    if made._native is not None:
        compare(made, json.dumps(content).encode() + b"\n", trusted=trusted)


def test_many_sets_of_labels_are_counted_as_python_counts_them(framer: Framer) -> None:
    """More series than a table begins with, more values than there are samples, and values on the buckets' bounds."""
    golden = orjson.loads(next(line for line in OURS if b'"job-finished"' in line))
    lines = []
    for number in range(500):
        record = {
            **golden,
            "@timestamp": timestamp(NOW - timedelta(seconds=MADE.fresh_s * (number % 3) / 2)),
            "event": {**golden["event"], "id": f"{number:032x}", "duration": number * 10_000_000},
            "messaging": {**golden["messaging"], "destination": {"name": f"queue-{number % 70}"}},
            "rq": {**golden["rq"], "total_ms": 10 * number},
        }
        lines.append(orjson.dumps(record) + b"\n")
    block = Block(Source(), START, b"".join(lines))  # type: ignore[arg-type]
    framed = framer.frame(block, "file", NOW, None, trusted=True, counts=True)
    assert framed is not None
    assert framed.tally is not None
    assert len(framed.taken) == 500
    plain = plain_tally((b'{"create":{"_index":"rq-job-', line) for line in lines)
    assert {key: numbers for key, (numbers, _) in counted(framed.tally).items()} == {
        key: numbers for key, (numbers, _) in counted(plain).items()
    }
    assert len(list(framed.tally.series())) == 70
