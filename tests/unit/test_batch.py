"""A block's lines, ours and odd ones in any mixture: each is taken in once, and where it stood is known."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shipper import settings
from shipper.records import LINE_START
from shipper.ship.bulk.batch import Batch
from shipper.ship.reader.document import document
from shipper.ship.reader.ndjson import NdjsonReader
from shipper.ship.source.tail import Block

MADE = settings.load(environment={})
GOLDEN = (Path(__file__).parent.parent / "golden/job-finished.jsonl").read_bytes().rstrip()
OURS = GOLDEN.replace(GOLDEN[15:25], datetime.now(UTC).strftime("%Y-%m-%d").encode())
OTHERS, BROKEN, BLANK = b'{"message":"of another program"}', b"no JSON", b""
OTHERS_TIMED = b'{"@timestamp":"%b","message":"of another program"}' % datetime.now(UTC).isoformat().encode()
START = 1000


class Source:
    path = Path("/var/log/records.jsonl")
    rereadable = False

    def file_id(self) -> str:
        return "a file"


def added(data: bytes) -> Batch:
    batch = Batch(MADE)
    block = Block(Source(), START, data)  # type: ignore[arg-type]
    batch.add(block, NdjsonReader(MADE, trusts_all=True).read(block))
    return batch


@pytest.mark.parametrize("last", [b"\n", b""], ids=["newline at the end", "none"])
@pytest.mark.parametrize("seed", range(20))
def test_each_line_is_taken_in_once_and_its_place_is_right(seed: int, last: bytes) -> None:
    lines = random.Random(seed).choices((OURS, OTHERS, BROKEN, BLANK), (4, 1, 1, 1), k=seed)  # noqa: S311
    lines.append(OURS)
    data = b"\n".join(lines) + last
    batch = added(data)
    assert sorted(item.line for item in [*batch.items()][: batch.records]) == sorted(
        line for line in lines if line in {OURS, OTHERS}
    )
    assert [letter.line for letter in batch.dead_letters] == [line for line in lines if line == BROKEN]
    placed: list[Any] = [*[*batch.items()][: batch.records], *batch.dead_letters]
    assert len({one.offset for one in placed}) == len(placed)
    assert all(data[one.offset - START :].startswith(one.line) for one in placed)


class Data(bytes):
    """Bytes whose lines count how many of them are copied."""

    def split(self, *how: Any) -> list[bytes]:
        return Lines(super().split(*how))


class Lines(list[bytes]):
    copied = 0

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        if not isinstance(at, slice):
            return found
        Lines.copied += len(found)
        return Lines(found)


@pytest.mark.parametrize("odd", [BLANK, BROKEN, OTHERS])
def test_a_block_of_odd_lines_is_gone_through_once(odd: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of what is left for each of them would take minutes for a block of blank lines."""
    monkeypatch.setattr(Lines, "copied", 0)
    lines = [odd, odd, OURS, OURS] * 500
    assert added(Data(b"\n".join(lines))).records == lines.count(OURS) + lines.count(OTHERS)
    assert Lines.copied <= len(lines)


HEAD = LINE_START + b"2026-11-21T03:17:32.12"


@pytest.mark.parametrize("torn", [HEAD, HEAD + b'","event":', LINE_START, OURS[:-1]])
def test_a_line_of_torn_records_is_gone_through_once(torn: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them was looked at with all that stands behind it: minutes for a line of some megabytes."""
    looked_at = []

    def counted(line: bytes, *others: object) -> object:
        looked_at.append(len(line))
        return document(line, *others)  # type: ignore[arg-type]

    monkeypatch.setattr("shipper.ship.reader.ndjson.document", counted)
    line = torn * 300 + OURS
    batch = added(line + b"\n")
    assert sum(looked_at) == len(line)
    assert [(letter.line, letter.offset) for letter in batch.dead_letters] == [
        (torn, START + at * len(torn)) for at in range(300)
    ]
    assert [(item.line, item.offset) for item in [*batch.items()][:1]] == [(OURS, START + 300 * len(torn))]


def test_whole_records_on_one_line_are_each_taken() -> None:
    batch = added(OURS + OTHERS_TIMED + HEAD + OURS + b"\n")
    assert [item.line for item in [*batch.items()][: batch.records]] == [OURS, OTHERS_TIMED, OURS]
    assert [letter.line for letter in batch.dead_letters] == [HEAD]


def test_a_record_in_which_another_begins_stays_whole() -> None:
    line = b'{"before":' + OTHERS_TIMED + b"}"
    batch = added(HEAD + line + b"\n" + line + b"\n")
    assert [item.line for item in [*batch.items()][: batch.records]] == [line]
    assert b"".join(letter.line for letter in batch.dead_letters) == HEAD + line
