"""The sink: lines arrive whole, and nothing that goes wrong goes further."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from shipper.emit.sink import Sink

WRITERS, EACH = 8, 12_500  # 100,000 lines in all
LINE = b'{"a":1}\n'


def test_lines_are_appended_and_the_folder_is_made(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "deep/er/records.jsonl")
    assert sink.append(LINE)
    assert sink.append(LINE)
    assert sink.path.read_bytes() == LINE * 2


def test_the_file_is_readable_by_the_group_and_nobody_else(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "records.jsonl")
    sink.append(LINE)
    assert stat.S_IMODE(sink.path.stat().st_mode) & 0o137 == 0


def test_after_a_rotation_lines_go_to_the_new_file(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "records.jsonl")
    sink.append(LINE)
    sink.path.rename(tmp_path / "records.jsonl.1")
    sink.append(LINE)
    assert sink.path.read_bytes() == (tmp_path / "records.jsonl.1").read_bytes() == LINE


def test_a_descriptor_that_somebody_closed_and_used_again_is_left_alone(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "records.jsonl")
    sink.append(LINE)
    os.close(sink._descriptor)
    with (tmp_path / "somebody-else-s").open("wb") as other:
        assert other.fileno() == sink._descriptor
        assert sink.append(LINE)
    assert sink.path.read_bytes() == LINE * 2
    assert (tmp_path / "somebody-else-s").read_bytes() == b""


def test_a_full_disk_costs_the_line_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(Path("/dev/full"))
    with caplog.at_level(logging.WARNING, "shipper"):
        assert [sink.append(LINE) for _ in range(3)] == [False] * 3
    assert sink.dropped == 3
    assert len(caplog.records) == 1
    assert "No space left" in caplog.text


def test_a_folder_that_cannot_be_made_costs_the_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert not Sink(tmp_path / "file/records.jsonl").append(LINE)


def _write_many(path: Path, writer: int) -> None:
    sink = Sink(path)
    for number in range(EACH):
        sink.append(json.dumps({"writer": writer, "number": number, "fill": "x" * 500}).encode() + b"\n")


def test_lines_of_many_processes_do_not_mix(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(path, writer)) for writer in range(WRITERS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    seen = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert len(seen) == WRITERS * EACH
    for writer in range(WRITERS):
        assert [line["number"] for line in seen if line["writer"] == writer] == list(range(EACH))


def test_a_fork_that_inherits_the_sink_writes_to_it(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "records.jsonl")
    sink.append(LINE)
    if (child := os.fork()) == 0:
        sink.append(LINE)
        os._exit(0)
    os.waitpid(child, 0)
    assert sink.path.read_bytes() == LINE * 2
