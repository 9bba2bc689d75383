"""The sink: lines arrive whole, and nothing that goes wrong goes further."""

from __future__ import annotations

import errno
import json
import logging
import multiprocessing
import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shipper import settings
from shipper.audit.writer import Event, Trail
from shipper.sink import Sink, reason_and_advice

WRITERS, EACH = 8, 12_500  # 100,000 lines in all
LINE = b'{"a":1}\n'


def test_lines_are_appended_and_the_folder_is_made(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "deep/er/records.jsonl")
    assert sink.append(LINE)
    assert sink.append(LINE)
    assert sink.path.read_bytes() == LINE * 2


@pytest.fixture(params=[0o022, 0o002, 0o007, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_the_file_is_for_the_group_as_far_as_the_umask_goes_and_for_nobody_else(tmp_path: Path, umask: int) -> None:
    sink = Sink(tmp_path / "new/records.jsonl")
    sink.append(LINE)
    assert stat.S_IMODE(sink.path.stat().st_mode) == 0o660 & ~umask
    assert stat.S_IMODE(sink.path.parent.stat().st_mode) == 0o770 & ~umask


def test_permissions_that_are_set_are_those_of_the_file_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    sink = Sink(tmp_path / "new/records.jsonl", 0o660)
    sink.append(LINE)
    assert stat.S_IMODE(sink.path.stat().st_mode) == 0o660
    assert stat.S_IMODE(sink.path.parent.stat().st_mode) == 0o2770
    sink.path.chmod(0o600)  # somebody has their reasons
    sink.path.rename(tmp_path / "renamed")
    Sink(sink.path, 0o640).append(LINE)
    assert stat.S_IMODE(sink.path.stat().st_mode) == 0o640
    Sink(tmp_path / "renamed", 0o660).append(LINE)
    assert stat.S_IMODE((tmp_path / "renamed").stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two accounts")
@pytest.mark.parametrize("way", ["setting", "umask"])
def test_two_accounts_of_one_group_write_one_log(tmp_path: Path, way: str) -> None:
    folder, group = tmp_path / "log", 65_533
    folder.mkdir()
    os.chown(folder, 65_531, group)
    folder.chmod(0o2770)
    for part in folder.parents:
        if part.stat().st_uid == os.getuid() and part != Path("/"):
            part.chmod(part.stat().st_mode | 0o011)
    path, mode = folder / "records.jsonl", 0o660 if way == "setting" else None

    def trail_at(path: Path) -> Trail:
        return Trail(settings.load({"log_mode": mode}, {"SHIPPER_LOG": str(path)}))

    def write_as(uid: int) -> int:
        if (child := os.fork()) == 0:
            status = 99
            try:
                os.setgroups([group])
                os.setgid(uid)  # each has a primary group of its own, as accounts have
                os.setuid(uid)
                os.umask(0o022 if way == "setting" else 0o002)
                trail = trail_at(path)
                record = trail.write(Event(action="tried"))
                status = record.get("tags", []).count("unchained") + 2 * trail.sink.dropped
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    trail_at(tmp_path / "another").write(Event(action="tried"))  # what Python loads for it may be out of their reach

    assert [write_as(uid) for uid in (65_531, 65_532, 65_531)] == [0, 0, 0]
    assert len(path.read_bytes().splitlines()) == 3
    assert path.stat().st_gid == group


def _refusal(path: Path, error: int) -> str:
    return ". ".join(reason_and_advice(path, OSError(error, os.strerror(error))))


def test_the_reason_and_what_to_do_about_it_are_the_real_ones(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    assert "Make the folder writable" in _refusal(path, errno.EACCES)
    path.touch(0o640)
    said = _refusal(path, errno.EACCES)
    assert f"{path} is {pwd.getpwuid(os.getuid()).pw_name}'s" in said
    assert "mode 0640" in said
    assert "SHIPPER_LOG_MODE=0660" in said
    assert "Make room" in _refusal(path, errno.ENOSPC)
    assert "not a regular file" in _refusal(path, errno.ENXIO)


@pytest.mark.parametrize("is_read", [False, True])
def test_a_fifo_in_place_of_the_log_holds_nobody_up(
    tmp_path: Path, is_read: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "records.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if is_read else -1
    with caplog.at_level(logging.WARNING, "shipper"):
        assert not Sink(path).append(LINE)
    assert "it is not a regular file" in caplog.text
    if is_read:
        os.close(reader)


def test_it_does_not_hold_up_an_audit_record_either(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "records.jsonl")
    Trail(settings.load(environment={"SHIPPER_LOG": str(tmp_path / "records.jsonl")})).write(Event(action="a"))


def test_a_folder_in_place_of_the_log_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "shipper"):
        assert not Sink(tmp_path).append(LINE)
    assert "it is not a regular file" in caplog.text


def test_standard_output_is_written_to_where_somebody_names_it(tmp_path: Path) -> None:
    code = "from pathlib import Path; from shipper.sink import Sink; Sink(Path('/dev/stdout')).append(b'line')"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"line"


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
    for number in range(WRITERS):
        assert [line["number"] for line in seen if line["writer"] == number] == list(range(EACH))


def test_a_fork_that_inherits_the_sink_writes_to_it(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "records.jsonl")
    sink.append(LINE)
    if (child := os.fork()) == 0:
        sink.append(LINE)
        os._exit(0)
    os.waitpid(child, 0)
    assert sink.path.read_bytes() == LINE * 2
