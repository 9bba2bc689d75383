"""What the tests depend on: programs end with all that they started, and nothing is read that is half written."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from stack.processes import birth
from tests import warm
from tests.programs import Programs, wait_for, whole_lines

FORKS = """
import os, pathlib, time
if os.fork() == 0:
    os.setpgrp()  # as a work-horse
    pathlib.Path("{file}").write_text(str(os.getpid()))
time.sleep(3600)
"""


def test_a_program_s_children_end_with_it_in_whatever_group_they_are(tmp_path: Path) -> None:
    file = tmp_path / "child"
    programs = Programs({"DJANGO_SETTINGS_MODULE": "none"}, tmp_path)  # a kind that starts warm
    parent = programs.start("python", "-c", FORKS.format(file=file))
    wait_for(lambda: file.exists() and file.read_text(), "the child")
    child = int(file.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    assert birth(child) is not None
    programs.stop()
    wait_for(lambda: birth(child) is None, "the end of the child")


def test_a_program_can_be_ended_as_soon_as_it_is_started(tmp_path: Path) -> None:
    for _ in range(20):
        programs = Programs({"DJANGO_SETTINGS_MODULE": "none"}, tmp_path)
        started = programs.start("python", "-c", "import time; time.sleep(3600)")
        assert os.getpgid(started.pid) == started.pid
        programs.stop()
        assert started.poll() is not None


def test_programs_do_not_end_with_the_thread_that_started_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "_forking", {})
    programs = Programs({"DJANGO_SETTINGS_MODULE": "none"}, tmp_path)
    run = lambda: programs.run("python", "-c", "")  # noqa: E731
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert run().returncode == 0
    warm.stop()


def test_a_line_that_is_half_written_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "log"
    assert whole_lines(file) == []
    file.write_bytes(b'{"a":1}\n{"b":"\xe2\x80\xa8"}\n{"c"')
    assert whole_lines(file) == [b'{"a":1}', b'{"b":"\xe2\x80\xa8"}']
    file.write_bytes(b'{"c"')
    assert whole_lines(file) == []
