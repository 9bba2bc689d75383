"""Random histories of a log, on a real file system, against a perfect reader.

A perfect reader has, after each look, every whole line that stood in a file of the globs at that moment, and
every line of a file that it held open. Ours has to have them too, each of them once; lines whose file was
emptied or deleted between two reads cannot be had.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from shipper.ship.source import discovery
from shipper.ship.source.checkpoints import Checkpoint
from shipper.ship.source.discovery import Discovery


class TailMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.log = self.folder / "log"
        self.away = self.folder / "elsewhere"
        self.away.mkdir()
        self.discovery = Discovery([str(self.folder / "log*")], [])
        self.saved: list[list[Checkpoint]] = [[]]
        self.arrived: Counter[bytes] = Counter()
        self.held: list[int] = []  # descriptors of writers that have not noticed a rename
        self.numbers = 0
        self.half = False
        self.doubles_allowed = False
        self.may_double: set[bytes] = set()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.discovery.close()
            for descriptor in self.held:
                os.close(descriptor)
            shutil.rmtree(self.folder)

    # --- what writers and operators do ------------------------------------------------------------------

    @rule(count=st.integers(1, 40))
    def write(self, count: int) -> None:
        with self.log.open("ab") as out:
            if self.half:
                out.write(b'half"}\n')
                self.half = False
            out.writelines(self._line() for _ in range(count))

    @rule()
    def write_half_a_line(self) -> None:
        if not self.half:
            with self.log.open("ab") as out:
                out.write(b'{"a":"first ')
            self.half = True

    @precondition(lambda self: self.log.exists())
    @rule(shift=st.booleans())
    def rename(self, shift: bool) -> None:
        self.held.append(os.open(self.log, os.O_WRONLY | os.O_APPEND))
        self.half = False
        if shift:
            for number in range(9, 0, -1):
                if (older := self.folder / f"log.{number}").exists():
                    older.rename(self.folder / f"log.{number + 1}")
            self.log.rename(self.folder / "log.1")
        else:
            self.log.rename(self.folder / f"log-{self.numbers}")

    @precondition(lambda self: self.held)
    @rule()
    def write_to_the_file_that_was_renamed(self) -> None:
        os.write(self.held[-1], self._line())

    @precondition(lambda self: self.log.exists())
    @rule()
    def copytruncate(self) -> None:
        shutil.copy(self.log, self.folder / f"log.copy{self.numbers}")
        os.truncate(self.log, 0)
        self.half = False

    @precondition(lambda self: self.log.exists())
    @rule()
    def truncate(self) -> None:
        os.truncate(self.log, 0)
        self.half = False

    @precondition(lambda self: self.log.exists())
    @rule(where=st.sampled_from(["deleted", "away"]))
    def take_away(self, where: str) -> None:
        self.held.append(os.open(self.log, os.O_WRONLY | os.O_APPEND))
        self.half = False
        if where == "deleted":
            self.log.unlink()
        else:
            self.log.rename(self.away / str(self.numbers))

    @precondition(lambda self: self._rotated())
    @rule(data=st.data())
    def compress(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(self._rotated()))
        content = path.read_bytes()
        # Unread, it stands in two files: the old one is still open. Its ids would absorb what is read twice.
        self.may_double.update(line for line in content.splitlines() if line not in self.arrived)
        while self.held:  # nobody compresses what is still written to
            os.close(self.held.pop())
        with gzip.open(f"{path}.gz", "wb") as out:
            out.write(content)
        path.unlink()

    # --- what the shipper does --------------------------------------------------------------------------

    @rule()
    def ship(self) -> None:
        there = self._whole_lines()
        for _ in range(3):  # a file that was emptied begins its new life at the second look
            self.discovery.refresh()
            for tailed in self.discovery.files:
                while block := tailed.read():
                    self.arrived.update(bytes(block.data).splitlines())
                    tailed.acknowledge(block.mark)
        self.saved.append(self.discovery.entries())
        assert not there - self.arrived.keys()

    @rule()
    def restart(self) -> None:
        self._restart(self.saved[-1])

    @rule(back=st.integers(2, 5))
    def restart_with_older_positions(self, back: int) -> None:
        self.doubles_allowed = True
        self._restart(self.saved[-back] if back <= len(self.saved) else [])

    @invariant()
    def nothing_comes_twice(self) -> None:
        if hasattr(self, "folder") and not self.doubles_allowed:
            twice = {line for line, count in self.arrived.items() if count > 1 and line.startswith(b'{"n"')}
            assert not twice - self.may_double

    # --- what they share --------------------------------------------------------------------------------

    def _restart(self, entries: list[Checkpoint]) -> None:
        self.discovery.close()
        self.discovery = Discovery([str(self.folder / "log*")], entries)

    def _line(self) -> bytes:
        self.numbers += 1
        return b'{"n":%d}\n' % self.numbers

    def _rotated(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("log?*") if path.suffix != ".gz" and path.stat().st_size)

    def _whole_lines(self) -> set[bytes]:
        """Ours that stand whole in the files of the globs."""
        lines: set[bytes] = set()
        for path in self.folder.glob("log*"):
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            lines.update(line for line in data.split(b"\n")[:-1] if line.startswith(b'{"n"'))
        return lines


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "COPY_GRACE_S", 0.0)


TestTail = TailMachine.TestCase
TestTail.settings = settings(
    max_examples=2 * settings().max_examples,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
