"""What a command prints in a terminal, as one SVG file."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROWS = 60
# The eight colours of a terminal and their bright variants, each as hex.
_PALETTE = (
    "484f58 ff7b72 3fb950 d29922 58a6ff bc8cff 39c5cf b1bac4",
    "6e7681 ffa198 56d364 e3b341 79c0ff d2a8ff 56d4dd f0f6fc",
)


def _colours(line: str) -> list[tuple[int, int, int]]:
    return [(int(one[:2], 16), int(one[2:4], 16), int(one[4:], 16)) for one in line.split()]


THEME = TerminalTheme((22, 27, 34), (230, 237, 243), *map(_colours, _PALETTE))
_FONT_FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def printed(command: Sequence[str], environment: Mapping[str, str], columns: int) -> str:
    """What a command prints in a terminal of that width, with colours. Raises CalledProcessError if it fails."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    given = {**os.environ, **environment, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    given.pop("NO_COLOR", None)
    running = subprocess.Popen(command, env=given, stdin=its, stdout=its, stderr=its)
    os.close(its)
    said = b""
    while chunk := _read(ours):
        said += chunk
    os.close(ours)
    if status := running.wait():
        raise subprocess.CalledProcessError(status, command, said)
    return said.decode().replace("\r\n", "\n")


def svg(title: str, shown: str, columns: int) -> str:
    """A picture of a terminal in which that was printed. It loads no font from elsewhere."""
    console = Console(record=True, width=columns, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(shown.rstrip("\n")), no_wrap=True, crop=True)
    made = console.export_svg(title=title, theme=THEME, unique_id=re.sub(r"\W+", "-", title))
    return _FONT_FACE.sub("", made).replace("Fira Code,", "")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux's answer when the last program that had the terminal has ended
        return b""
