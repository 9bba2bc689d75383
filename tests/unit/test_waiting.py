"""Documents whose index takes none wait on the disk, whatever happens to the power and the disk meanwhile."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shipper.ship.bulk import waiting
from shipper.ship.bulk.waiting import Blocked, Waiting
from shipper.ship.reader.document import Document
from shipper.ship.reader.items import Item
from tests.bulk_server import Answer, each, serving
from tests.unit.test_pipeline import COUNT, Run, lines

INDEX, OTHER = "rq-job-shop-2026.11.20", "rq-app-shop-2026.11.20"


def document(number: int, index: str = INDEX, size: int = 5) -> Document:
    return Document(
        b'{"create":{"_index":"%b","_id":"%d"}}' % (index.encode(), number), b'{"a":"%b\r"}' % (b"x" * size)
    )


def blocked(*documents: Document, index: str = INDEX) -> list[Blocked]:
    return [Blocked(Item(one, one.source, "/log", 0), index, "why") for one in documents]


def stored(there: Waiting, index: str = INDEX) -> list[Document]:
    """All documents of an index; takes them out."""
    found: list[Document] = []
    while items := there.last(index):
        found = [item.document for item in items] + found
        there.remove_last(index, items)
    return found


def test_what_is_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    wanted = [document(number) for number in range(5)]
    Waiting(tmp_path).append(blocked(*wanted))
    Waiting(tmp_path).append(blocked(document(9, OTHER), index=OTHER))
    there = Waiting(tmp_path)
    assert there.indices() == [OTHER, INDEX]
    assert there.size == sum(path.stat().st_size for path in (tmp_path / "waiting").iterdir())
    assert stored(there) == wanted
    assert stored(there, OTHER) == [document(9, OTHER)]
    assert (there.size, there.indices()) == (0, [])


@pytest.mark.parametrize("chunk", [1, 10, 100, 150, 1000])
def test_documents_are_taken_from_the_end_whatever_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(waiting, "CHUNK", chunk)
    wanted = [document(number, size=number * 7 % 300) for number in range(50)]
    there = Waiting(tmp_path)
    assert there.append(blocked(*wanted))
    assert stored(there) == wanted


def test_half_a_document_that_a_power_cut_left_spoils_no_other(tmp_path: Path) -> None:
    wanted = [document(number) for number in range(3)]
    Waiting(tmp_path).append(blocked(*wanted))
    (file,) = (tmp_path / "waiting").iterdir()
    whole = file.read_bytes()
    torn = document(3)
    added = torn.action + b"\n" + torn.source + b"\n"
    for length in range(len(added)):
        file.write_bytes(whole + added[:length])
        there = Waiting(tmp_path)
        assert there.append(blocked(document(4)))
        assert stored(there) == [*wanted, document(4)]


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = Waiting(tmp_path)
    assert there.append(blocked(document(1)))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            there.append(blocked(document(2)))
    assert there.append(blocked(document(3)))
    assert stored(there) == [document(1), document(3)]
    assert there.size == 0


def test_there_is_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SIZE_LIMIT", 150)
    there = Waiting(tmp_path)
    assert there.append(blocked(document(1)))
    assert not there.append(blocked(document(2), document(3)))
    assert stored(there) == [document(1)]


def closed() -> Answer:
    return each(400, "index_closed_exception")


def test_documents_wait_and_are_sent_when_their_index_takes_them(tmp_path: Path) -> None:
    with serving(closed(), closed(), closed()) as server:
        run = Run(tmp_path, server, SHIPPER_STATES="false")
        run.log.write_bytes(lines(COUNT))
        run.ship()
        assert len(server.documents) == 0
        assert run.acknowledged == run.log.stat().st_size
        assert run.pipeline.counts.waiting_bytes > 0
        run.pipeline.send_waiting()
        run.pipeline.send_waiting()
        assert len(server.documents) == COUNT
        assert (run.pipeline.counts.indexed, run.pipeline.counts.waiting_bytes) == (COUNT, 0)


def test_where_there_is_no_room_documents_are_sent_until_they_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SIZE_LIMIT", 1)
    with serving(closed(), closed()) as server:
        run = Run(tmp_path, server, SHIPPER_STATES="false")
        run.log.write_bytes(lines(COUNT))
        run.ship()
        assert len(server.documents) == run.pipeline.counts.indexed == COUNT
