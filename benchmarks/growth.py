"""Whether cost grows with work only: a record among millions and among few, in many files and in few.

    python -m benchmarks.growth [RECORDS]

The same records are written again and again, as the server keeps none (null_server.py). What is compared is CPU
for a record, less that of a run that finds nothing new: of one file on an empty one, of many files on the same
files, all read before. The many records are also what memory is measured with: nothing large is held here, as
a process begins with the largest size of the one that started it (getrusage(2), ru_maxrss).
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from itertools import islice
from pathlib import Path

from .peers import Peer
from .promises import Promise, show
from .shipping import MOST_MIB, NullServer, Used, run, write_records

FEW, MANY, MOST = 100_000, 4_500_000, 10_000_000  # records; 4.5 million are 5 GB
FEW_FILES, MANY_FILES = 10, 10_000
FILES_RECORDS = 1_000_000  # in all files together
MOST_BY_RECORDS, MOST_BY_FILES = 1.10, 1.20  # times the CPU of a record
ROUNDS = 5  # of the short runs


def ship(files: str, state: Path, server: NullServer, count: int) -> Used:
    """A whole `shipper run --once`, without states."""
    command = [str(Path(sys.executable).parent / "shipper"), "run", "--once", "--files", files]
    command += ["--state", str(state), "--elasticsearch", f"http://127.0.0.1:{server.port}"]
    return run(Peer("shipper", command, {"SHIPPER_STATES": "false"}, ends=True), count, server)


def by_records(folder: Path, server: NullServer, many: int) -> list[Promise]:
    """One file of few records, and one of many."""
    few, empty, large = folder / "few", folder / "empty", folder / "large"
    write_records(few, FEW)
    empty.touch()
    if shutil.disk_usage(folder).free < 2 * many // FEW * few.stat().st_size:
        print(f"  {folder} has no room for {many:,} records, which were left out")
        return []
    times = range(ROUNDS)
    start_s = statistics.median(ship(str(empty), folder / f"empty-{at}", server, 0).cpu_s for at in times)
    runs = [ship(str(few), folder / f"few-{at}", server, FEW) for at in times]
    few_s = (statistics.median(one.cpu_s for one in runs) - start_s) / FEW
    with large.open("wb") as out:
        for _ in range(many // FEW):
            with few.open("rb") as again:
                shutil.copyfileobj(again, out)
    used = ship(str(large), folder / "large-state", server, many)
    many_s = (used.cpu_s - start_s) / many
    size = large.stat().st_size
    large.unlink()
    print(
        f"  {FEW:,} records: {few_s * 1e6:.2f} us of CPU each; {many:,}: {many_s * 1e6:.2f} us, in {used.wall_s:.0f} s"
    )
    return [
        Promise(
            f"CPU of a record among {many:,}, of one among {FEW:,}", many_s / few_s, most=MOST_BY_RECORDS, shown=TIMES
        ),
        Promise(f"memory after {size / 1e9:.1f} GB", used.memory / (1 << 20), most=MOST_MIB, shown="{:.0f} MiB"),
    ]


def by_files(folder: Path, server: NullServer) -> Promise:
    """The same records, in few files and in many."""
    costs = []
    source = folder / "all"
    write_records(source, FILES_RECORDS)
    for number in (FEW_FILES, MANY_FILES):
        logs, state = folder / f"logs-{number}", folder / f"state-{number}"
        logs.mkdir()
        share = FILES_RECORDS // number
        with source.open("rb") as lines:
            for at in range(number):
                (logs / f"{at}.log").write_bytes(next(lines))
            ship(f"{logs}/*.log", state, server, number)
            idle_s = min(ship(f"{logs}/*.log", state, server, 0).cpu_s for _ in range(3))
            for at in range(number):
                with (logs / f"{at}.log").open("ab") as log:
                    log.writelines(islice(lines, share - 1))
        count = FILES_RECORDS - number
        used = ship(f"{logs}/*.log", state, server, count)
        costs.append((used.cpu_s - idle_s) / count)
        print(f"  {number:,} files: {costs[-1] * 1e6:.2f} us of CPU a record, {used.memory >> 20} MiB resident")
        shutil.rmtree(logs)
    few_s, many_s = costs
    what = f"CPU of a record in {MANY_FILES:,} files, of one in {FEW_FILES}"
    return Promise(what, many_s / few_s, most=MOST_BY_FILES, shown=TIMES)


TIMES = "{:.2f} x"


def main(many: int = MANY, *, full: bool = False) -> list[Promise]:
    """Print the figures."""
    print("Growth, to a server that keeps nothing")
    with tempfile.TemporaryDirectory() as name:
        server = NullServer()
        try:
            return [*by_records(Path(name), server, MOST if full else many), by_files(Path(name), server)]
        finally:
            server.stop()


if __name__ == "__main__":
    sys.exit(not show(main(int(sys.argv[1]) if len(sys.argv) > 1 else MANY)))
