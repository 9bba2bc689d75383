"""Odd lines among good ones: every good line arrives, and every odd one becomes a record or a dead letter.

    python -m tests.fuzz [SECONDS] [SEED]

Runs for so long, with another seed each time unless told one. Each block is read by framing.c (where it was compiled)
and by document.py, which have to agree. `make test` runs it for 30 seconds, `make soak` for ten minutes. A block that
fails is printed with its seed: `python -m tests.fuzz 1 SEED` reads the same one first.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from shipper import settings
from shipper.ship.reader import framer, ndjson, state_store
from shipper.ship.reader.items import FramedLines, Parsed
from shipper.ship.reader.ndjson import NdjsonReader
from shipper.ship.source.tail import Block

TESTS = Path(__file__).parent
PATH = Path("/var/log/fuzz.jsonl")
SECONDS = 30.0
SETTINGS = settings.load(environment={"SHIPPER_NAMESPACE": "fuzz", "SHIPPER_LOG": str(PATH)})
FOREIGN = settings.load(environment={"SHIPPER_NAMESPACE": "fuzz", "SHIPPER_LOG": "/var/log/another.jsonl"})
NOW = datetime.now(UTC)
TODAY = NOW.strftime("%Y-%m-%d").encode()
OURS = [
    (line := path.read_bytes().rstrip()).replace(line[15:25], TODAY)
    for path in sorted((TESTS / "golden").glob("*.jsonl"))
]
OTHERS = [line for path in sorted((TESTS / "lines").glob("*.jsonl")) for line in path.read_bytes().splitlines()]
VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0, "", "x", "rq.job", "rq.audit", "\x00",
    "\ud800", "é" * 40, "x" * 40_000, "2026-11-25T10:00:00Z", "9999-12-31T23:59:59Z", "1795600800", 1795600800123,
    float("nan"), float("inf"), [], {}, [[]], [{}], {"": ""}, {"a.b": {"c": 1}}, ["x", 1, None], {"id": {"id": "x"}},
]  # fmt: skip
NAMES = [
    "event",
    "event.id",
    "@timestamp",
    "user",
    "host",
    "error",
    "labels",
    "code",
    "app",
    "message",
    "level",
    "",
    "a.b.",
]
BYTES = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\x1f", b"\x7f", b"\xff", b"\xc3", b"\xed\xa0\x80", b"NaN",
    b"\\u12", b"\\ud800", b"\\u0000", b"01", b"-", b"1e999", b"\t", b"\r", b" ", b"\xef\xbb\xbf", b"}{", b"\n",
]  # fmt: skip


class Now:
    """The clock of the readers. Lines without a time get it, and both ways have to make the same record of them."""

    @staticmethod
    def now(_zone: object) -> datetime:
        return NOW


class Source:
    """Stands for a file whose lines can be read again."""

    path = PATH
    rereadable = True

    def file_id(self) -> str:
        return "file"


def places_in(value: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of each value in a parsed line."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += [(value, key), *places_in(inner)]
    return found


def change_value(dice: random.Random, content: dict[str, Any]) -> None:
    """Put an odd value somewhere."""
    if places := places_in(content):
        container, key = dice.choice(places)
        container[key] = deepcopy(dice.choice(VALUES))


def add_member(dice: random.Random, content: dict[str, Any]) -> None:
    """Add a member with a name that means something, or nothing."""
    objects = [content, *(container[key] for container, key in places_in(content) if isinstance(container[key], dict))]
    dice.choice(objects)[dice.choice(NAMES)] = deepcopy(dice.choice(VALUES))


def remove_member(dice: random.Random, content: dict[str, Any]) -> None:
    """Leave a member out."""
    if places := [place for place in places_in(content) if isinstance(place[0], dict)]:
        container, key = dice.choice(places)
        del container[key]


def nest(dice: random.Random, content: dict[str, Any]) -> None:
    """Nest a value deeply."""
    if places := places_in(content):
        container, key = dice.choice(places)
        value = container[key]
        for _ in range(dice.choice((3, 19, 20, 21, 90))):
            value = {"n": value} if dice.random() < 0.5 else [value]
        container[key] = value


CHANGES: list[Callable[[random.Random, dict[str, Any]], None]] = [change_value, add_member, remove_member, nest]


def spoilt(dice: random.Random, line: bytes) -> bytes:
    """The line with one to three faults: in its structure, in its bytes, or in both."""
    if dice.random() < 0.7:
        content = json.loads(line)
        for _ in range(dice.choice((1, 1, 2, 3))):
            dice.choice(CHANGES)(dice, content)
        line = json.dumps(content, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    if dice.random() < 0.5:
        data = bytearray(line)
        for _ in range(dice.choice((1, 1, 2))):
            at = dice.randrange(len(data) + 1)
            match dice.randrange(5):
                case 0:
                    data[at : at + 1] = dice.choice(BYTES)
                case 1:
                    data[at:at] = dice.choice(BYTES)
                case 2:
                    del data[at : at + dice.randrange(1, 9)]
                case 3:
                    del data[at:]  # torn, and the next line is whole
                case _:
                    data[at:at] = data[at : at + dice.randrange(60)]  # as if written twice
        line = bytes(data)
    return line.strip(b"\n") or b"x"


def readers(*, trusted: bool) -> tuple[NdjsonReader, NdjsonReader]:
    """One that uses framing.c if it can, and one that does not. `trusted`: the file may hold records of ours."""
    chosen = SETTINGS if trusted else FOREIGN
    native = NdjsonReader(chosen, trusts_all=trusted)
    with patch.object(framer, "_Framer", None), patch.object(state_store, "_StateStore", None):
        return native, NdjsonReader(chosen, trusts_all=trusted)


def outcome(read: Parsed, block: Block) -> tuple[dict[int, tuple[Any, Any]], dict[int, str]]:
    """(action and source of each document, reason of each dead letter), by where in the block its line begins.

    A torn line has several parts, of which the first counts.
    """
    documents: dict[int, tuple[Any, Any]] = {}
    for framed in read.framed:
        documents |= _framed(framed)
    for item in read.items:
        documents.setdefault(item.offset, (json.loads(item.document.action), _strict(item.document.source)))
    starts = {block.start}
    starts |= {block.start + at + 1 for at, byte in enumerate(block.data) if byte == 0x0A}
    return documents, {letter.offset: letter.reason for letter in read.dead_letters if letter.offset in starts}


def _framed(framed: FramedLines) -> dict[int, tuple[Any, Any]]:
    lines = iter(bytes(framed.body).split(b"\n")[:-1])
    pairs = zip(lines, lines, strict=True)
    return {
        framed.start + at: (json.loads(action), _strict(source))
        for at, (action, source) in zip(framed.places, pairs, strict=True)
    }


def _strict(source: bytes) -> Any:
    """What RFC 8259 says of it; numbers as they are written."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")

    said = json.loads(source.decode(), parse_float=str, parse_int=str, parse_constant=refuse)
    json.dumps(said, ensure_ascii=False).encode()  # raises UnicodeEncodeError for half of a surrogate pair
    return said


class Wrong(AssertionError):
    """A line was lost, or the two ways differ."""


def check(dice: random.Random, native: NdjsonReader, plain: NdjsonReader) -> int:
    """Read one block both ways. The number of its lines."""
    lines, good = [], {}
    at = start = dice.randrange(10**6)
    for _ in range(dice.randrange(2, 12)):
        line = dice.choice(OURS if dice.random() < 0.5 else OTHERS)
        if dice.random() < 0.4:
            line = spoilt(dice, line)
        else:
            good[at] = line
        lines.append(line)
        at += len(line) + 1
    block = Block(Source(), start, b"\n".join([*lines, b""]))  # type: ignore[arg-type]
    found = []
    for reader in (native, plain):
        documents, letters = outcome(reader.read(block), block)
        for place, line in good.items():
            if place not in documents:
                raise Wrong(f"a good line did not arrive: {line!r}: {letters.get(place)}\n{block.data!r}")
        begins = start
        for line in bytes(block.data).split(b"\n")[:-1]:
            accounted = begins in documents or begins in letters or _has_part(documents, begins, line)
            if line.strip() and not accounted:
                raise Wrong(f"neither a record nor a dead letter: {line!r}\n{block.data!r}")
            begins += len(line) + 1
        found.append((documents, letters))
    if found[0] != found[1]:
        differing = [place for place in found[0][0] | found[1][0] if found[0][0].get(place) != found[1][0].get(place)]
        raise Wrong(f"framing.c and document.py differ at {[place - start for place in differing]}\n{block.data!r}")
    return len(lines)


def _has_part(documents: dict[int, tuple[Any, Any]], begins: int, line: bytes) -> bool:
    return any(begins < place < begins + len(line) for place in documents)


def main(seconds: float = SECONDS, seed: int | None = None) -> int:
    """Blocks until the time is over. 1 if one was read wrongly."""
    pairs = readers(trusted=True), readers(trusted=False)
    until, blocks, lines = time.monotonic() + seconds, 0, 0
    chosen = random.randrange(2**32) if seed is None else seed
    while time.monotonic() < until:
        dice = random.Random(chosen + blocks)
        try:
            with patch.object(ndjson, "datetime", Now):
                lines += check(dice, *dice.choice(pairs))
        except Exception as wrong:
            print(f"seed {chosen + blocks}: {type(wrong).__name__}: {wrong}")
            return 1
        blocks += 1
    print(f"{lines} lines in {blocks} blocks from seed {chosen} on: none was lost. Read in {framer.CHECKED_IN}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*(kind(text) for kind, text in zip((float, int), sys.argv[1:], strict=False))))
