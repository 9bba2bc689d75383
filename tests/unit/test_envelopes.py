"""What a container wrote arrives as it wrote it, whatever its engine put around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shipper.ship.source import envelopes, tail
from tests.bulk_server import serving
from tests.unit.test_pipeline import Run

AT = "2026-11-21T10:00:00.123456789Z"
RECORD = '{"message":"from a container","time":"2026-11-21T09:59:59Z"}'


def docker(text: str, stream: str = "stdout") -> str:
    return json.dumps({"log": text, "stream": stream, "time": AT}, separators=(",", ":"))


def cri(text: str, stream: str = "stdout", tag: str = "F") -> str:
    return f"{AT} {stream} {tag} {text}"


def arrived(folder: Path, *lines: str) -> list[dict[str, object]]:
    with serving() as server:
        run = Run(folder, server)
        run.log.write_bytes("\n".join([*lines, ""]).encode())
        run.ship()
        assert run.acknowledged == run.log.stat().st_size
        assert not run.dead_letters.file.exists()
        return [json.loads(source) for source in server.documents.values()]


@pytest.mark.parametrize("line", [docker(RECORD + "\n"), cri(RECORD)], ids=["Docker", "CRI"])
def test_a_json_line_is_what_the_program_wrote(tmp_path: Path, line: str) -> None:
    (found,) = arrived(tmp_path, line)
    assert found["message"] == "from a container"
    assert found["@timestamp"] == "2026-11-21T09:59:59.000000Z"
    assert "log" not in found


@pytest.mark.parametrize("line", [docker('{"message":"m"}\n'), cri('{"message":"m"}')], ids=["Docker", "CRI"])
def test_a_line_without_a_time_is_of_when_the_engine_read_it(tmp_path: Path, line: str) -> None:
    (found,) = arrived(tmp_path, line)
    assert found["@timestamp"] == "2026-11-21T10:00:00.123456Z"


@pytest.mark.parametrize("line", [docker("plain text\n"), cri("plain text")], ids=["Docker", "CRI"])
def test_text_is_a_message(tmp_path: Path, line: str) -> None:
    (found,) = arrived(tmp_path, line)
    assert (found["message"], found["event"]) == ("plain text", {"dataset": "rq.app"})


HALVES = RECORD[:20], RECORD[20:]


@pytest.mark.parametrize(
    "lines",
    [
        [docker(HALVES[0]), docker(HALVES[1] + "\n")],
        [cri(HALVES[0], tag="P"), cri(HALVES[1])],
        [cri(HALVES[0], tag="P"), cri("other", "stderr"), cri(HALVES[1])],
        [docker(HALVES[0]), docker("other\n", "stderr"), docker(HALVES[1] + "\n")],
    ],
    ids=["Docker", "CRI", "CRI, two streams", "Docker, two streams"],
)
def test_partial_lines_are_joined(tmp_path: Path, lines: list[str]) -> None:
    messages = [found["message"] for found in arrived(tmp_path, *lines)]
    assert sorted(map(str, messages)) == ["from a container", *(["other"] if len(lines) == 3 else [])]


@pytest.mark.parametrize("size", [1 << 8, 1 << 10])
def test_a_block_ends_where_no_line_is_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(tail, "BLOCK", size)
    lines = [piece for _ in range(20) for piece in (cri(HALVES[0], tag="P"), cri("other", "stderr"), cri(HALVES[1]))]
    messages = [found["message"] for found in arrived(tmp_path, *lines)]
    assert messages.count("from a container") == messages.count("other") == 20


@pytest.mark.parametrize(
    "line",
    [
        '{"log":"text","level":"info","time":"2026-11-21T10:00:00Z"}',
        '{"log":"text","stream":"stdout","time":"soon"}',
        '{"log":"text","stream":"stdout"}',
    ],
)
def test_what_only_looks_like_an_envelope_is_a_line(tmp_path: Path, line: str) -> None:
    (found,) = arrived(tmp_path, line)
    assert found["app"] == {"log": "text"}


def test_the_pieces_of_a_line_are_told_by_stream() -> None:
    data = f"{cri('a')}\n{cri('b', tag='P')}\n{cri('c', 'stderr')}\n".encode()
    assert data[envelopes.whole(data) :] == f"{cri('b', tag='P')}\n{cri('c', 'stderr')}\n".encode()


def test_a_line_whose_rest_never_comes_holds_up_the_other_stream_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(f"{cri('half', 'stderr', 'P')}\n{cri('whole')}\n".encode())
        run.ship()
        assert len(server.documents) == 0
        monkeypatch.setattr(tail, "SETTLED_S", 0.0)
        run.ship()
        messages = sorted(json.loads(source)["message"] for source in server.documents.values())
        assert messages == ["half", "whole"]
