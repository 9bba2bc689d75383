"""Progress: a bar on a terminal, lines elsewhere, nothing for what is quick, and the answer without it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.programs import HOUR_S, LIMIT_S

CODE = """
from shipper.cli import progress
progress.LINE_EVERY_S = {every}
with progress.bar("Importing") as moved:
    for done in range(0, 1001, 250):
        moved(done, 1000)
print("the answer")
"""


def _run(every: float, stderr: int, **environment: str) -> subprocess.CompletedProcess[bytes]:
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    return subprocess.run(
        [sys.executable, "-c", CODE.format(every=every)],
        stdout=subprocess.PIPE,
        stderr=stderr,
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=LIMIT_S,
        env={**plain, **environment},
    )


def _on_a_terminal(every: float = HOUR_S, **environment: str) -> tuple[bytes, bytes]:
    """(standard output, what the terminal got) of a program whose standard error is a terminal."""
    ours, theirs = pty.openpty()
    try:
        done = _run(every, theirs, **environment)
    finally:
        os.close(theirs)
    seen = b""
    with open(ours, "rb", buffering=0) as terminal, suppress(OSError):  # Linux's end of a terminal: EIO
        while some := terminal.read(1 << 16):  # the kernel brings it here a moment later
            seen += some
    return done.stdout, seen


def test_what_is_quick_says_nothing_in_a_file() -> None:
    done = _run(HOUR_S, subprocess.PIPE)
    assert (done.stdout, done.stderr) == (b"the answer\n", b"")


def test_what_is_long_says_now_and_then_how_far_it_is() -> None:
    done = _run(0, subprocess.PIPE)
    assert done.stdout == b"the answer\n"
    assert done.stderr.splitlines() == [b"Importing: %d%%" % share for share in (0, 25, 50, 75, 100)]


def test_where_nobody_knows_how_much_there_is_it_says_how_much_was_done() -> None:
    unknown = CODE.replace("moved(done, 1000)", "moved(done, 0)").format(every=0)
    done = subprocess.run([sys.executable, "-c", unknown], capture_output=True, check=True, timeout=LIMIT_S)
    assert done.stderr.splitlines()[-1] == b"Importing: 1,000"


def test_on_a_terminal_there_is_a_bar_and_none_in_the_answer() -> None:
    answer, seen = _on_a_terminal(TERM="xterm", COLUMNS="80")
    assert answer == b"the answer\n"
    assert b"Importing" in seen
    assert b"100%" in seen
    assert b"\x1b[" in seen


@pytest.mark.parametrize("columns", ["40", "80"])
def test_a_narrow_terminal_without_colours_gets_a_bar_that_fits(columns: str) -> None:
    _, seen = _on_a_terminal(TERM="xterm", COLUMNS=columns, NO_COLOR="1")
    assert b"Importing" in seen
    assert b"\x1b[3" not in seen  # colours; moving the cursor is none
    assert max(len(line) for line in seen.decode().replace("\x1b[2K", "\r").splitlines()) <= int(columns) + 20


def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    _, seen = _on_a_terminal(0, TERM="dumb")
    assert b"Importing: 50%" in seen
    assert b"\x1b" not in seen
