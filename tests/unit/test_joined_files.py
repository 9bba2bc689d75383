"""Files whose records have several lines: what is read of them is whole records."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper.legacy.carriers import Carriers
from shipper.legacy.multiline import raw_of, records_in
from shipper.ship.source import tail
from shipper.ship.source.compressed import CompressedFile
from shipper.ship.source.tail import TEXT_BLOCK, Block, Stream, TailedFile

FRAME = b'  File "x.py", line 1, in f\n'


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Many short records, and one that is longer than what is read at once."""
    path = tmp_path / "log"
    short = b"".join(b"10:00:00 line %d\n" % number for number in range(4 * TEXT_BLOCK // 16))
    long = b"10:00:01 job\nTraceback (most recent call last):\n" + FRAME * (3 * TEXT_BLOCK // len(FRAME)) + b"E: x\n"
    path.write_bytes(short + long + short)
    return path


def blocks(source: TailedFile | CompressedFile) -> Iterator[Block]:
    while block := source.read(to_the_end=True):
        yield block
        source.acknowledge(block.mark)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_long_record_is_in_one_block(log: Path, compressed: bool) -> None:
    data = log.read_bytes()
    if compressed:
        log = log.with_suffix(".gz")
        log.write_bytes(gzip.compress(data))
        source: TailedFile | CompressedFile = CompressedFile(log, multiline=True)
    else:
        source = TailedFile(log, os.open(log, os.O_RDONLY), multiline=True)
    found = list(blocks(source))
    assert b"".join(block.data for block in found) == data
    assert len(found) > 4
    whole = [raw_of(one) for one in records_in(data, Carriers())]
    assert [raw_of(one) for block in found for one in records_in(bytes(block.data), Carriers())] == whole
    behind = list(source.behind(Block(source, len(data), b"")))
    assert b"".join(block.data for block in behind) == data
    source.close()


def test_the_last_record_waits_for_what_may_belong_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"10:00:00 one\n10:00:01 two\n")
    source = TailedFile(path, os.open(path, os.O_RDONLY), multiline=True)
    assert (block := source.read()) is not None
    assert block.data == b"10:00:00 one\n"
    assert source.read() is None
    with path.open("ab") as more:
        more.write(b"  and more of two\n10:00:02 three\n")
    assert (block := source.read()) is not None
    assert block.data == b"10:00:01 two\n  and more of two\n"
    assert source.read() is None
    monkeypatch.setattr(tail, "SETTLED_S", 0.0)  # nobody has written for long enough
    assert (block := source.read()) is not None
    assert block.data == b"10:00:02 three\n"
    source.close()


def test_a_pipe_that_goes_on_keeps_its_records_together() -> None:
    reads, writes = os.pipe()
    stream = Stream(reads, multiline=True)
    os.write(writes, b"10:00:00 one\n10:00:01 two\n")
    assert (block := stream.read()) is not None
    assert block.data == b"10:00:00 one\n10:00:01 two\n"  # nothing more came for a while
    os.write(writes, b"10:00:02 three\n  and\n")
    os.write(writes, b"  more\n")
    os.close(writes)
    data = b""
    while not stream.ended:
        if (found := stream.read()) is not None:
            data += found.data
    assert [raw_of(one) for one in records_in(data, Carriers())] == [b"10:00:02 three\n  and\n  more"]
    os.close(reads)
