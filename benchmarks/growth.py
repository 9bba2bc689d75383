"""Whether cost grows with work only: a record after millions and after few, in many files and in few.

    python -m benchmarks.growth [RECORDS]

The same records are written again and again, as the server keeps none (null_server.py). While the shipper runs, its
CPU time and how many records have arrived are noted side by side, so that what a record takes is known at each
moment, and its start, or the opening of files, is no part of it. The many records are also what memory is measured
with.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from itertools import islice
from pathlib import Path

from .promises import Promise, show
from .shipping import MOST_MIB, NullServer, cpu_of, once, peak_memory_of, read_through, write_records

FEW, MANY, MOST = 100_000, 4_500_000, 10_000_000  # records; 4.5 million are 5 GB
STRETCH = 1_000_000  # records whose cost is compared: those after the first FEW, and the last ones
FEW_FILES, MANY_FILES = 10, 10_000
FILES_RECORDS = 1_000_000  # in all files together
MOST_BY_RECORDS = 1.10  # times the CPU of a record
MOST_OF_A_FILE = 60  # records that take as much CPU as one file more: to find, open, identify, note and close it
ROUNDS = 3
FILES_ROUNDS = 7
LOOK_S = 0.02  # between two notes


class Run:
    """A whole `shipper run --once`, without states, and what it had used when."""

    def __init__(self, files: str, state: Path, server: NullServer) -> None:
        command = once(files, state, f"http://127.0.0.1:{server.port}")
        self._arrived: list[int] = []
        self._cpu_s: list[float] = []
        server.begin()
        process = subprocess.Popen(command, env={**os.environ, "SHIPPER_STATES": "false"}, stderr=subprocess.DEVNULL)
        self.memory = gone = 0
        while not gone:
            self.memory = max(self.memory, peak_memory_of(process.pid))
            self._arrived.append(server.count)
            self._cpu_s.append(cpu_of(process.pid))
            time.sleep(LOOK_S)
            gone, status, _ = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.count = server.count

    def cost_us(self, begin: int, end: int) -> float:
        """CPU of a record, of those between these two, in microseconds."""
        first, last = bisect_left(self._arrived, begin), bisect_left(self._arrived, end)
        last = min(last, len(self._arrived) - 1)
        records = self._arrived[last] - self._arrived[first]
        return (self._cpu_s[last] - self._cpu_s[first]) / records * 1e6


def by_records(folder: Path, server: NullServer, many: int) -> list[Promise]:
    """One large file: its first records, and its last."""
    few, large = folder / "few", folder / "large"
    write_records(few, FEW)
    if shutil.disk_usage(folder).free < 2 * many // FEW * few.stat().st_size:
        print(f"  {folder} has no room for {many:,} records, which were left out")
        return []
    with large.open("wb") as out:
        for _ in range(many // FEW):
            with few.open("rb") as again:
                shutil.copyfileobj(again, out)
    read_through(large)
    runs = [Run(str(large), folder / f"large-{number}", server) for number in range(ROUNDS)]
    if any(run.count < many for run in runs):
        raise RuntimeError(f"of {many} records there came {[run.count for run in runs]}")
    early = [run.cost_us(FEW, FEW + STRETCH) for run in runs]
    late = [run.cost_us(many - STRETCH, many) for run in runs]
    size = large.stat().st_size
    large.unlink()
    print(
        f"  a record after {FEW:,} takes {statistics.median(early):.2f} us of CPU, one of the last of {many:,} "
        f"{statistics.median(late):.2f} (median of {ROUNDS})"
    )
    growth = statistics.median(last / first for first, last in zip(early, late, strict=True))
    return [
        Promise(f"CPU of a record after {many:,}, of one after {FEW:,}", growth, most=MOST_BY_RECORDS, shown=TIMES),
        Promise(
            f"memory after {size / 1e9:.1f} GB",
            max(run.memory for run in runs) / (1 << 20),
            most=MOST_MIB,
            shown="{:.0f} MiB",
        ),
    ]


def by_files(folder: Path, server: NullServer) -> list[Promise]:
    """The same records, in few files and in many."""
    source = folder / "all"
    write_records(source, FILES_RECORDS)
    runs: dict[int, list[Run]] = {FEW_FILES: [], MANY_FILES: []}
    for number in runs:
        logs = folder / f"logs-{number}"
        logs.mkdir()
        with source.open("rb") as lines:
            for at in range(number):
                with (logs / f"{at}.log").open("wb") as log:
                    log.writelines(islice(lines, FILES_RECORDS // number))
                read_through(logs / f"{at}.log")
    for again in range(FILES_ROUNDS):  # side by side, as the machine's own pace changes
        for number, done in runs.items():
            done.append(Run(f"{folder}/logs-{number}/*.log", folder / f"state-{number}-{again}", server))
    costs = {number: [run.cost_us(FEW, FILES_RECORDS) for run in done] for number, done in runs.items()}
    memory = 0.0
    for number, done in runs.items():
        memory = max(run.memory for run in done) / (1 << 20)
        cost = statistics.median(costs[number])
        print(
            f"  {number:,} files: {cost:.2f} us of CPU a record, {memory:.0f} MiB resident (median of {FILES_ROUNDS})"
        )
        shutil.rmtree(folder / f"logs-{number}")
    times = statistics.median(many / few for few, many in zip(*costs.values(), strict=True))
    of_a_file = (times - 1) * FILES_RECORDS / MANY_FILES
    return [
        Promise(f"CPU of a file more, of {MANY_FILES:,}, in records", of_a_file, most=MOST_OF_A_FILE, shown="{:.0f}"),
        Promise(f"memory with {MANY_FILES:,} files", memory, most=MOST_MIB, shown="{:.0f} MiB"),
    ]


TIMES = "{:.2f} x"


def main(many: int = MANY, *, full: bool = False) -> list[Promise]:
    """Print the figures."""
    print("Growth, to a server that keeps nothing")
    with tempfile.TemporaryDirectory() as name:
        server = NullServer()
        try:
            return [*by_records(Path(name), server, MOST if full else many), *by_files(Path(name), server)]
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(not show(main(int(sys.argv[1]) if len(sys.argv) > 1 else MANY)))
