"""A shell for the examples in the docs: what they call is started warm, all else is a real shell's.

A line that only calls `shipper` or `rq`, with assignments before it and files behind `<` and `>`, is understood here,
as starting these programs from nothing takes nine tenths of their time (tests/warm.py). Any other line, and a block
with a pipe, a substitution or a here-document, is given to bash.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests import warm
from tests.programs import LIMIT_S, wait_for

ANSWERS = b"y\n" * 5  # to whatever is asked
# Programs that run on until they are interrupted, and programs whose exit status is a grade.
ENDLESS = re.compile(r"shipper (now --watch|watch|timeline --follow)\b")
GRADED = re.compile(r"shipper (check|status)\b")
_FOR_BASH = re.compile(r"<<|\$\(| \|(?: |$)", re.MULTILINE)
_ASSIGNMENT = re.compile(r"[A-Z_]+=.*", re.DOTALL)


def _assigned(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value


def _matching(word: str) -> list[str]:
    """The files that a word with a * matches, else the word."""
    return sorted(map(str, Path("/").glob(word[1:]))) if word.startswith("/") and "*" in word else [word]


@dataclass(frozen=True)
class Shell:
    """Runs blocks in `folder`, with `environment`. Assertions fail if a command does."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def block(self, text: str, place: str) -> None:
        """Run a block, and stop at the first command that fails."""
        if _FOR_BASH.search(text):
            self.bash(text, place)
            return
        exported: dict[str, str] = {}
        for line in text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                self._line(line, words, exported, f"{place}: {line}")

    def bash(self, text: str, place: str, **environment: str) -> None:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env={**os.environ, **self.environment, **environment},
            input=ANSWERS,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT_S,
            check=False,
        )
        assert done.returncode == 0, f"{place}\n{done.stdout.decode()}"

    def _line(self, line: str, words: list[str], exported: dict[str, str], place: str) -> None:
        if words[0] == "export":
            exported.update(_assigned(word.replace("$PWD", str(self.folder))) for word in words[1:])
            return
        own = dict(exported)
        while words and _ASSIGNMENT.fullmatch(words[0]):
            own.update([_assigned(words.pop(0))])
        if words[:2] == ["pip", "install"] or not words:  # everything is installed
            return
        if words[0] not in warm.LIBRARIES or "$" in line:
            self.bash(line, place, **exported)
            return
        if "'" not in line:
            words = [found for word in words for found in _matching(word)]
        self._program(words, own, place)

    def _program(self, words: list[str], own: dict[str, str], place: str) -> None:
        command = " ".join(words)
        given = {**os.environ, **self.environment, **own, warm.FOLDER: str(self.folder)}
        files = {sign: self.folder / words[words.index(sign) + 1] for sign in "<>" if sign in words}
        words = words[: min((words.index(sign) for sign in files), default=None)]
        with tempfile.TemporaryFile() as answers, (self.folder / "said").open("w+b") as said:
            answers.write(files["<"].read_bytes() if "<" in files else ANSWERS)
            answers.seek(0)
            running = warm.start(words[0], tuple(words), given, answers.fileno(), said.fileno(), said.fileno())
            if ENDLESS.match(command):
                wait_for(lambda: os.fstat(said.fileno()).st_size or running.poll() is not None, place)
                running.send_signal(signal.SIGINT)
            status = running.wait(LIMIT_S)
            said.seek(0)
            text = said.read()
        allowed = (0, 130) if ENDLESS.match(command) else (0, 1, 2) if GRADED.match(command) else (0,)
        assert status in allowed, f"{place}\n{text.decode(errors='replace')}"
        if ">" in files:
            files[">"].write_bytes(text)
