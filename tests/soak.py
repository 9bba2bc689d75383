"""`make soak`: everything at once, and then the accounts: written, indexed, dead-lettered, lost, doubled.

    python -m tests.soak [SECONDS] [SEED]

Emitters write records, bad lines and poison to a log that the shipper rotates and deletes; some rotated logs are
compressed; the server answers with every fault it knows; the shipper is killed at random moments, stopped,
reloaded, and finds its registry torn or gone. What the server holds at the end is compared with what was written.
"""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from types import MappingProxyType
from typing import Any

from shipper import records
from shipper.ship.source.rotation import is_written_to
from shipper.sink import Sink
from stack.processes import start, stop, tail_of
from tests import bulk_server
from tests.bulk_server import Answer, BulkServer, serving
from tests.programs import BIN, LIMIT_S

EMITTERS = 3
A_SECOND = 400  # records of each emitter
GOLDEN = json.loads((Path(__file__).parent / "golden/job-finished.jsonl").read_text())
NOTE_BYTES = 33  # an id and a newline
DRAIN_LIMIT_S = 600.0
# Of one look alone a file may be missing that was made since the globs were looked at: up to a second, and the looks
# are two seconds apart.
IDLE_LOOKS = 2


@dataclass(frozen=True, slots=True)
class Report:
    """Records by what became of them, and what was done to the shipper meanwhile.

    `unread` are the lost ones that still stand in a file: a shipper that went on would come to them.
    """

    written: int
    indexed: int
    dead: int
    lost: int
    doubled: int
    unread: int
    done: Counter[str]

    def __str__(self) -> str:
        what = ", ".join(f"{count} {name}" for name, count in sorted(self.done.items()))
        return (
            f"{self.written} written, {self.indexed} indexed, {self.dead} dead-lettered, "
            f"{self.lost} lost ({self.unread} of them unread), {self.doubled} doubled ({what})"
        )


def soak(
    seconds: float, seed: int, folder: Path, *, least: Mapping[str, int] = MappingProxyType({}), least_written: int = 1
) -> Report:
    """Run it all in `folder` and settle the accounts. RuntimeError if the shipper does not come to an end.

    It goes on for as long as it takes until each thing was done as often as `least` says, and `least_written` records
    are written.
    """
    dice = random.Random(seed)
    done: Counter[str] = Counter()
    with serving() as server:
        server.refuses = lambda source: b'"message":"poison"' in source
        server.choose = lambda: _answer(dice, done)
        shipper = _Shipper(folder, server, dice, done)
        enough = multiprocessing.get_context("spawn").Event()
        emitters = _emitters(folder, seed, enough)
        end = time.monotonic() + seconds
        try:
            while (
                time.monotonic() < end
                or any(done[what] < count for what, count in least.items())
                or _count_written(folder) < least_written
            ):
                shipper.error()
        finally:
            enough.set()
            for emitter in emitters:
                emitter.join()
        server.choose = lambda: bulk_server.well
        shipper.drain(DRAIN_LIMIT_S + seconds)
        return _account(folder, server, done)


def _count_written(folder: Path) -> int:
    return sum(notes.stat().st_size for notes in folder.glob("written-*")) // NOTE_BYTES


# --- those who write ------------------------------------------------------------------------------------


def _emitters(folder: Path, seed: int, enough: Event) -> list[multiprocessing.context.SpawnProcess]:
    context = multiprocessing.get_context("spawn")
    emitters = [context.Process(target=_emit, args=(folder, seed, number, enough)) for number in range(EMITTERS)]
    for emitter in emitters:
        emitter.start()
    return emitters


def _emit(folder: Path, seed: int, number: int, enough: Event) -> None:
    """Write through the sink that workers write with, and note each record that it took."""
    dice = random.Random(seed * 100 + number)
    sink = Sink(folder / "records.jsonl")
    count = 0
    with (folder / f"written-{number}").open("w") as notes:
        while not enough.is_set():
            for _ in range(A_SECOND // 20):
                count += 1
                identifier = f"{number:04x}{seed & 0xFFFF:04x}{count:024x}"
                if sink.append(_line(identifier, dice)):
                    notes.write(f"{identifier}\n")
            if dice.random() < 0.05:  # a record that was torn; what follows stands on the same line
                sink.append(_line("f" * 32, dice)[: dice.randrange(20, 200)])
            if dice.random() < 0.05:
                sink.append(b"no record at all, \xff\xfe\n")
            time.sleep(0.05)


def _line(identifier: str, dice: random.Random) -> bytes:
    event = {**GOLDEN["event"], "id": identifier}
    message = "poison" if dice.random() < 0.002 else "x" * dice.choice((10, 100, 1000))
    record = {**GOLDEN, "@timestamp": records.timestamp(datetime.now(UTC)), "event": event, "message": message}
    return records.encode(record)


# --- what happens to the shipper ------------------------------------------------------------------------


class _Shipper:
    """The daemon, and all that is done to it."""

    def __init__(self, folder: Path, server: BulkServer, dice: random.Random, done: Counter[str]) -> None:
        self._folder = folder
        self._dice = dice
        self._done = done
        self._environment = {
            "SHIPPER_LOG": str(folder / "records.jsonl"),
            "SHIPPER_STATE": str(folder / "state"),
            "SHIPPER_ELASTICSEARCH": server.url,
            "SHIPPER_ROTATE_MB": "1",
            "SHIPPER_KEEP_MB": "4",
            "SHIPPER_LISTEN": "off",
        }
        (folder / "records.jsonl").touch()
        self._process = self._start()

    def error(self) -> None:
        """Let it work for a while, and then do something to it."""
        time.sleep(self._dice.choice((0.02, 0.2, 0.5, 1.0, 2.0)) + self._dice.random() * 0.5)
        what: Callable[[], None] = self._dice.choice(
            [self._kill] * 6 + [self._terminate, self._reload, self._tear_the_registry, self._compress]
        )
        self._done[what.__name__.strip("_").replace("_", " ")] += 1
        what()
        if self._process.poll() is not None:
            self._process = self._start()

    def drain(self, limit_s: float) -> None:
        """Let it come to the end of everything, and stop it."""
        deadline = time.monotonic() + limit_s
        idle: set[str] = set()  # the times of the looks in a row at which nothing was left to do
        while len(idle) < IDLE_LOOKS:
            if time.monotonic() > deadline:
                stop(self._process)
                raise RuntimeError(f"the shipper did not come to an end:\n{tail_of(self._folder / 'shipper.log')}")
            time.sleep(0.3)
            status = self._status()
            idle = idle | {status["at"]} if self._is_idle(status) else set()
        self._terminate()
        if self._process.returncode:
            raise RuntimeError(f"the shipper ended badly:\n{tail_of(self._folder / 'shipper.log')}")

    def _is_idle(self, status: dict[str, Any]) -> bool:
        # All logs may be deleted, too: whoever would make a new one is gone.
        found = status and (status["files"] or not any(self._folder.glob("records.jsonl*")))
        # What is left of a file without a newline waits for its writer, who is gone.
        return bool(found and status["backlog_bytes"] < 200 and status["state"] == "shipping")

    def _status(self) -> dict[str, Any]:
        """What the daemon that runs now said last; nothing if it has not said a word yet."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the shipper ended:\n{tail_of(self._folder / 'shipper.log')}")
        try:
            status: dict[str, Any] = json.loads((self._folder / "state/status.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return status if status["pid"] == self._process.pid else {}

    def _start(self):  # type: ignore[no-untyped-def]
        return start([str(BIN / "shipper"), "run"], self._folder / "shipper.log", environment=self._environment)

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _terminate(self) -> None:
        self._process.terminate()
        self._process.wait(LIMIT_S)

    def _reload(self) -> None:
        if self._process.poll() is None and self._status():  # before its first word, SIGHUP ends it as any program
            self._process.send_signal(signal.SIGHUP)

    def _tear_the_registry(self) -> None:
        self._kill()
        registry = self._folder / "state/registry.json"
        if registry.exists():
            content = registry.read_bytes()
            torn = self._dice.choice([b"", content[: len(content) // 2], b"\0" * len(content), b'{"format":99}'])
            registry.write_bytes(torn)

    def _compress(self) -> None:
        """What logrotate does to a rotated log."""
        renamed = sorted(self._folder.glob("records.jsonl.*Z"))
        if renamed and (path := renamed[-1]).exists():
            time.sleep(1.5)  # until no writer has it any more, as delaycompress sees to
            try:
                with path.open("rb") as log:
                    if is_written_to(log.fileno()):
                        return
                    content = log.read()
            except FileNotFoundError:
                return  # the shipper was done with it
            with gzip.open(f"{path}.gz", "wb") as out:
                out.write(content)
            path.unlink(missing_ok=True)


def _answer(dice: random.Random, done: Counter[str]) -> Answer:
    """Two requests in three are answered well."""
    if dice.random() < 0.66:
        return bulk_server.well
    fault = dice.choice(sorted(_FAULTS))
    done["faults"] += 1
    done[f"answers {fault}"] += 1
    return _FAULTS[fault]


_FAULTS: dict[str, Answer] = {
    "429": bulk_server.status(429),
    "429 for some": bulk_server.each(429, "es_rejected_execution_exception", lambda source: len(source) % 3 == 0),
    "413": bulk_server.at_most(50),
    "401": bulk_server.status(401),
    "403": bulk_server.each(403, "security_exception"),
    "500": bulk_server.status(500),
    "503": bulk_server.status(503),
    "blocked": bulk_server.each(403, "cluster_block_exception"),
    "reset": bulk_server.reset,
    "slow": bulk_server.slow(0.5),
    "cut short": bulk_server.cut_short,
    "kept but lost": bulk_server.kept_but_lost,
    "too few": bulk_server.one_item_too_few,
    "twice": bulk_server.answered_twice,
    "no JSON": bulk_server.no_json,
}


# --- the accounts ---------------------------------------------------------------------------------------


def _account(folder: Path, server: BulkServer, done: Counter[str]) -> Report:
    written = {line for notes in folder.glob("written-*") for line in notes.read_text().splitlines()}
    indexed = Counter(identifier for _, identifier in server.documents if identifier in written)
    dead = set()
    letters = folder / "state/deadletters.jsonl"
    for line in letters.read_bytes().splitlines() if letters.exists() else ():
        content = json.loads(line).get("line", "")
        if content.startswith('{"@timestamp"') and len(content) > 91:
            dead.add(content[59:91])
    lost = written - indexed.keys() - dead
    return Report(
        written=len(written),
        indexed=len(indexed),
        dead=len(dead & written),
        lost=len(lost),
        doubled=sum(count - 1 for count in indexed.values()) + len(dead & indexed.keys()),
        unread=len(lost & _standing_in(folder)) if lost else 0,
        done=done,
    )


def _standing_in(folder: Path) -> set[str]:
    """The ids of all records in the logs that are there, compressed or not."""
    found: set[str] = set()
    for path in folder.glob("records.jsonl*"):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found.update(identifier.decode() for identifier in re.findall(rb'"event":{"id":"([0-9a-f]{32})"', content))
    return found


def main(seconds: str = "60", seed: str = "") -> int:
    """Print the report. 1 if anything was lost or doubled."""
    chosen = int(seed) if seed else random.SystemRandom().randrange(1 << 16)
    print(f"soak: {seconds} s, seed {chosen}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = soak(float(seconds), chosen, Path(folder))
    print(report)
    return int(report.lost > 0 or report.doubled > 0 or report.written == 0)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    sys.exit(main(*sys.argv[1:]))
