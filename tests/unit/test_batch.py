"""A block's lines, ours and odd ones in any mixture: each is taken in once, and where it stood is known."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shipper import settings
from shipper.ship.batch import Batch
from shipper.ship.quick import Quick
from shipper.ship.tail import Block

MADE = settings.load(environment={})
GOLDEN = (Path(__file__).parent.parent / "golden/job-finished.jsonl").read_bytes().rstrip()
OURS = GOLDEN.replace(GOLDEN[15:25], datetime.now(UTC).strftime("%Y-%m-%d").encode())
OTHERS, BROKEN, BLANK = b'{"message":"of another program"}', b"no JSON", b""
START = 1000


class Source:
    path = Path("/var/log/records.jsonl")

    def file_id(self) -> str:
        return "a file"


def added(data: bytes) -> Batch:
    batch = Batch(MADE)
    batch.add(Block(Source(), START, data), "host", Quick(MADE))  # type: ignore[arg-type]
    return batch


@pytest.mark.parametrize("last", [b"\n", b""], ids=["newline at the end", "none"])
@pytest.mark.parametrize("seed", range(20))
def test_each_line_is_taken_in_once_and_its_place_is_right(seed: int, last: bytes) -> None:
    lines = random.Random(seed).choices((OURS, OTHERS, BROKEN, BLANK), (4, 1, 1, 1), k=seed)  # noqa: S311
    lines.append(OURS)
    data = b"\n".join(lines) + last
    batch = added(data)
    assert sorted(item.line for item in batch.items()[: batch.records]) == sorted(
        line for line in lines if line in {OURS, OTHERS}
    )
    assert [letter.line for letter in batch.letters] == [line for line in lines if line == BROKEN]
    placed = [*batch.items()[: batch.records], *batch.letters]
    assert len({one.offset for one in placed}) == len(placed)
    assert all(data[one.offset - START :].startswith(one.line) for one in placed)


class Data(bytes):
    """Bytes whose lines count how many of them are copied."""

    def split(self, *how: object) -> list[bytes]:  # type: ignore[override]
        return Lines(super().split(*how))  # type: ignore[arg-type]


class Lines(list[bytes]):
    copied = 0

    def __getitem__(self, at: object) -> object:  # type: ignore[override]
        found = super().__getitem__(at)  # type: ignore[index]
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
