"""How fast and how small the shipper is, side by side with others in one run.

    python -m benchmarks.shipping [RECORDS]

Everything is on: validation, ids, routing by time, `create`, positions, the outcome of each document. The server
takes everything and keeps nothing (null_server.py), so that what is measured is the shipper. The records are those of
real workers (worker_records.py), each round with other ids; then come lines of other programs. CPU is user and system
time of the whole process, its start left out. States, which the shipper sends beside the records, are not counted.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from shipper import records
from stack.processes import free_port, wait_until

from . import peers, worker_records
from .peers import Peer
from .promises import Promise, show

TESTS = Path(__file__).resolve().parent.parent / "tests"
GOLDEN = TESTS / "golden"
KINDS = ("job-enqueued", "job-started", "job-finished")
RECORDS = 300_000  # of each kind
TICKS = os.sysconf("SC_CLK_TCK")
MOST_MIB = 80  # resident
# Records for a CPU second on default settings, ours over theirs.
AS_INSTALLED = {"syslog-ng": 1.5, "rsyslog": 3.0}
ANY_JSON = {"rsyslog": 1.5, "rsyslog, JSON parsed": 5.0}
# What is promised without states.
PROMISED = {
    "syslog-ng": 1.5,
    "rsyslog": 2.7,
    "rsyslog, JSON parsed": 7.0,
    "streaming_bulk": 10.0,
    "parallel_bulk": 10.0,
}
MOST_GZIP = 1.6  # times the CPU
IDLE_FILES = 1000
MOST_IDLE = 0.01  # of a core
MOST_UNREAD_S = 0.25


@dataclass(frozen=True, slots=True)
class Figure:
    """One run: records for a second of CPU and of the clock, and the largest resident memory in bytes."""

    per_cpu_s: float
    per_s: float
    memory: int


def write_records(path: Path, count: int) -> None:
    """Records of `count / 3` jobs, each with an id of its own, of the last hours."""
    golden = [json.loads((GOLDEN / f"{kind}.jsonl").read_text()) for kind in KINDS]
    begin = datetime.now(UTC) - timedelta(hours=3)
    with path.open("wb") as out:
        for number in range(count):
            kind = number % len(KINDS)
            job = f"{number // len(KINDS):08x}-6d3a-4b52-9e0f-0a1b2c3d4e5f"
            moment = begin + timedelta(microseconds=37 * number + 1)
            record = golden[kind]
            event = {**record["event"], "id": records.record_id(moment, job, KINDS[kind])}
            message = {**record["messaging"]["message"], "id": job}
            messaging = {**record["messaging"], "message": message}
            changed = {"@timestamp": records.timestamp(moment), "event": event, "messaging": messaging}
            out.write(records.encode({**record, **changed}))


def read_through(file: Path) -> None:
    """Read a file once before it is shipped.

    To a virtual machine the first reading of a page may cost several times the second, which would be taken for the
    cost of whoever comes first.
    """
    with file.open("rb", buffering=0) as data:
        while data.read(1 << 20):
            pass


def write_lines_of_others(path: Path, count: int) -> None:
    """As many lines as other programs write them: blanks between, a time of another name, no id, text as `event`."""
    begin = datetime.now(UTC) - timedelta(hours=3)
    golden = json.loads((GOLDEN / f"{KINDS[-1]}.jsonl").read_text())
    with path.open("w") as out:
        for number in range(count):
            at = (begin + timedelta(microseconds=37 * number)).isoformat()
            line = {"timestamp": at, "level": "info", "number": number, "event": "order shipped", "user": "ann"}
            out.write(json.dumps({**line, "order": golden["rq"], "by": golden["messaging"]}) + "\n")


def write_lines_of_loggers(path: Path, count: int) -> None:
    """The lines of ten logging libraries with their default settings, of today, again and again."""
    files = sorted({*(TESTS / "lines").glob("*.jsonl")} - {TESTS / "lines/collisions.jsonl"})
    today = f"{datetime.now(UTC):%Y-%m-%d}".encode()
    lines = [line.replace(b"2026-11-25", today) for one in files for line in one.read_bytes().splitlines(True)]
    with path.open("wb") as out:
        out.writelines(islice(cycle(lines), count))


def once(files: str, state: Path, url: str, *, trusted: bool = True) -> list[str]:
    """The command that ships all that is there."""
    command = [str(Path(sys.executable).parent / "shipper"), "run", "--once", "--files", files]
    if trusted:
        command += ["--trusted-files", files]
    return [*command, "--state", str(state), "--elasticsearch", url]


class NullServer:
    """The server, in a process of its own."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self._process = subprocess.Popen([sys.executable, "-m", "benchmarks.null_server", str(self.port), *options])
        wait_until(self._answers, 10, "the null server")

    def begin(self) -> None:
        """Forget what came until now."""
        self._asked("begin")

    @property
    def count(self) -> int:
        """How many documents came since then."""
        return int(self._asked("count")[0])

    @property
    def took_s(self) -> float:
        """From the first of them to the last."""
        return float(self._asked("count")[1])

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def _asked(self, what: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{what}", timeout=10) as answer:
            return json.loads(answer.read())

    def _answers(self) -> bool:
        try:
            return self.count >= 0
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class Used:
    """What one run took: seconds of CPU, of the server's clock, and the largest resident memory in bytes."""

    cpu_s: float
    wall_s: float
    memory: int


def run(peer: Peer, count: int, server: NullServer) -> Used:
    """Let a peer send all of its records. Those that do not end by themselves are ended when all are there."""
    server.begin()
    started = time.monotonic()
    process = subprocess.Popen(
        peer.command, env={**os.environ, **peer.environment}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    memory = 0
    while (taken := time.monotonic() - started) < LIMIT_S:
        memory = max(memory, peak_memory_of(process.pid))
        gone, status, used = os.wait4(process.pid, os.WNOHANG)
        if not gone and not peer.ends and taken > SETTLE_S and server.count >= count:
            process.kill()
            gone, status, used = os.wait4(process.pid, 0)
        if gone:
            process.returncode = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.02)
    else:
        process.kill()
    if server.count < count:
        raise RuntimeError(f"{peer.name} sent only {server.count} of {count} records")
    return Used(used.ru_utime + used.ru_stime, server.took_s, memory)


def measure(make: Callable[[str, Path], Peer], files: Sequence[Path], count: int, server: NullServer) -> Figure:
    """The median of the files of so many records each, less what the start alone takes (a run on an empty file)."""
    empty = files[0].with_name("empty")
    empty.touch()
    numbers = iter(range(100))
    start_s = statistics.median(run(make(f"start-{next(numbers)}", empty), 0, server).cpu_s for _ in files)
    runs = [run(make(f"run-{next(numbers)}", file), count, server) for file in files]
    cpu_s = statistics.median(one.cpu_s for one in runs) - start_s
    wall_s = statistics.median(one.wall_s for one in runs)
    return Figure(count / cpu_s, count / wall_s, max(one.memory for one in runs))


LIMIT_S = 600.0
SETTLE_S = 1.0  # of a peer that does not end by itself: what its start takes is used by then


def competitors(
    file: Path, server: NullServer, folder: Path, *, trusted: bool = True
) -> Iterator[tuple[str, Callable[[str, Path], Peer]]]:
    """(name, how to make a run of it) of ours and of those others that are here."""
    python = sys.executable

    def ours(**environment: str) -> Callable[[str, Path], Peer]:
        def make(name: str, file: Path) -> Peer:
            state = folder / f"{name}-{len(list(folder.iterdir()))}"
            command = once(str(file), state, f"http://127.0.0.1:{server.port}", trusted=trusted)
            return Peer(name, command, environment, ends=True)

        return make

    def helper(kind: str) -> Callable[[str, Path], Peer]:
        command = [python, "-m", "benchmarks.helpers", kind, str(server.port)]
        return lambda name, file: Peer(name, [*command, str(file)], {}, ends=True)

    yield OURS, ours()
    yield WITHOUT_STATES, ours(SHIPPER_STATES="false")
    yield WITH_GZIP, ours(SHIPPER_STATES="false", SHIPPER_GZIP="true")
    if peers.syslog_ng("try-syslog-ng", file, server.port, folder):
        yield "syslog-ng", lambda name, file: _there(peers.syslog_ng(f"sng-{name}", file, server.port, folder))
    for title, parse in (("rsyslog", False), ("rsyslog, JSON parsed", True)):
        if peers.rsyslog(f"try-{title[-6:]}", file, server.port, folder, parse=parse):
            yield title, partial(_rsyslog, title, server.port, folder, parse)
    yield "streaming_bulk", helper("streaming_bulk")
    yield "parallel_bulk", helper("parallel_bulk")


OURS, WITHOUT_STATES, WITH_GZIP = "shipper", "shipper, no states", "shipper, no states, gzip"


def _rsyslog(title: str, port: int, folder: Path, parse: bool, name: str, file: Path) -> Peer:
    return _there(peers.rsyslog(f"{title[:7]}-{int(parse)}-{name}", file, port, folder, parse=parse))


def _there(peer: Peer | None) -> Peer:
    if peer is None:
        raise RuntimeError("a program that was here is gone")
    return peer


def idle(server: NullServer, folder: Path) -> tuple[float, float]:
    """The share of a core that the shipper takes while nobody writes to its many files; then a line is written to one
    of them, and to another: the longest time until it was at the server, in seconds.
    """
    logs = folder / "idle"
    logs.mkdir()
    for number in range(IDLE_FILES):
        (logs / f"log.{number}").write_bytes(b'{"number":%d}\n' % number)
    command = [str(Path(sys.executable).parent / "shipper"), "run", "--files", f"{logs}/log.*"]
    command += ["--trusted-files", f"{logs}/log.*"]
    command += ["--state", str(folder / "idle-state"), "--elasticsearch", f"http://127.0.0.1:{server.port}"]
    process = subprocess.Popen(
        command, env={**os.environ, "SHIPPER_LISTEN": "off"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(8)
    cpu, began = cpu_of(process.pid), time.monotonic()
    time.sleep(20)
    share = (cpu_of(process.pid) - cpu) / (time.monotonic() - began)
    longest = max(_time_to_arrive(server, logs / f"log.{number}") for number in range(0, IDLE_FILES, IDLE_FILES // 20))
    process.terminate()
    process.wait()
    return share, longest


def _time_to_arrive(server: NullServer, log: Path) -> float:
    time.sleep(random.uniform(0.3, 0.6))
    server.begin()
    with log.open("ab") as out:
        out.write(b'{"message":"new"}\n')
    written = time.monotonic()
    while not server.count:
        time.sleep(0.002)
    return time.monotonic() - written


def cpu_of(pid: int) -> float:
    """User and system time of a process and all its threads (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory_of(pid: int) -> int:
    """The largest resident memory of a process so far, in bytes; 0 if it has ended (proc(5), VmHWM).

    Not getrusage(2)'s: there a process begins with the size of the one that started it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def main(count: int = RECORDS, report: dict[str, Any] | None = None) -> list[Promise]:
    """Print the tables, and add their figures to the report."""
    figures: dict[str, Figure] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, refusing = NullServer(), NullServer("--refuse-half")
        try:
            files = [folder / f"records-{seed}.jsonl" for seed in SEEDS]
            for seed, file in zip(SEEDS, files, strict=True):
                worker_records.write(file, count, seed)
            _table("records of real workers", files, count, server, folder / "own", figures, trusted=True)
            for title, make in competitors(files[0], refusing, _made(folder / "refused")):
                if title == OURS:
                    figures[REFUSED] = measure(make, files[:1], count, refusing)
            for kind, write in OF_OTHERS.items():
                file = folder / f"{kind}.jsonl"
                write(file, count)
                _table(kind, [file] * len(SEEDS), count, server, folder / kind, figures, trusted=False)
            share, longest = idle(server, folder)
        finally:
            server.stop()
            refusing.stop()
    for missing in PROMISED.keys() - figures.keys():
        print(f"  {missing} is not here, and was left out")
    if report is not None:
        report.update({name: asdict(one) for name, one in figures.items()} | {"idle": share, "read_after_s": longest})
    return [
        *_compared(figures),
        Promise(f"{IDLE_FILES} idle files: share of a core", share, most=MOST_IDLE, shown=PER_CENT),
        Promise(f"a line in one of {IDLE_FILES} idle files: sent after", longest, most=MOST_UNREAD_S, shown="{:.2f} s"),
    ]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _table(
    kind: str,
    files: Sequence[Path],
    count: int,
    server: NullServer,
    folder: Path,
    figures: dict[str, Figure],
    *,
    trusted: bool,
) -> None:
    """Measure ours and the others on these files, and print a line for each. `trusted`: they are records of ours."""
    size = files[0].stat().st_size // count
    for file in files:
        read_through(file)
    print(f"{count:,} {kind} of {size} bytes, to a server that keeps nothing (median of {len(files)})")
    print(f"  {'':24} {'docs/CPU-s':>10} {'docs/s':>9} {'memory':>8}")
    for title, make in competitors(files[0], server, _made(folder), trusted=trusted):
        if not trusted and title not in (OURS, *ANY_JSON):
            continue
        used, portion = files, count
        if title.endswith(("_bulk", "parsed")):  # the slow ones get fewer
            few, portion = folder / "few.jsonl", count // 10
            with files[0].open("rb") as all_of_them:
                few.write_bytes(b"".join(islice(all_of_them, portion)))
            used = [few] * len(files)
        figure = measure(make, used, portion, server)
        figures[title if trusted else f"{title}: {kind}"] = figure
        memory = f"{figure.memory / (1 << 20):.0f} MiB"
        print(f"  {title:24} {figure.per_cpu_s:>10,.0f} {figure.per_s:>9,.0f} {memory:>8}", flush=True)


SEEDS = (1, 2, 3)
REFUSED = "half of them refused"
OF_OTHERS = {"lines of another program": write_lines_of_others, "lines of ten loggers": write_lines_of_loggers}


def _compared(figures: dict[str, Figure]) -> Iterator[Promise]:
    """What is promised of our figures beside those of others."""
    yield from _ratios("docs/CPU-s as installed", figures, OURS, AS_INSTALLED)
    for kind in OF_OTHERS:
        yield from _ratios(f"{kind}: lines/CPU-s", figures, f"{OURS}: {kind}", ANY_JSON, f": {kind}")
    yield from _ratios("docs/CPU-s without states", figures, WITHOUT_STATES, PROMISED)
    for name in (one for one in PROMISED if one in figures):
        ratio = figures[OURS].per_s / figures[name].per_s
        yield Promise(f"docs/s as installed, of {name}'s", ratio, least=1.0, shown=TIMES)
    gzip = figures[WITHOUT_STATES].per_cpu_s / figures[WITH_GZIP].per_cpu_s
    yield Promise("CPU with gzip, of that without", gzip, most=MOST_GZIP, shown=TIMES)
    for name in (OURS, WITHOUT_STATES, REFUSED, *(f"{OURS}: {kind}" for kind in OF_OTHERS)):
        memory = figures[name].memory / (1 << 20)
        yield Promise(f"memory at full speed, {name}", memory, most=MOST_MIB, shown="{:.0f} MiB")


def _ratios(
    title: str, figures: dict[str, Figure], ours: str, others: Mapping[str, float], kind: str = ""
) -> Iterator[Promise]:
    """Records for a CPU second, ours over those of each other that is here."""
    for name, least in others.items():
        if name + kind in figures:
            ratio = figures[ours].per_cpu_s / figures[name + kind].per_cpu_s
            yield Promise(f"{title}, of {name}'s", ratio, least=least, shown=TIMES)


TIMES = "{:.2f} x"
PER_CENT = "{:.2%}"

if __name__ == "__main__":
    sys.exit(not show(main(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)))
