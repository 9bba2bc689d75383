"""Text logs: no pattern backtracks, and how many lines a second go through the ingest pipeline and the importer.

`python -m benchmarks.legacy`. The promise: at least 10,000 lines a second through `shipper run --format legacy` on two
cores that Elasticsearch shares; and a hostile line of four times the length takes no more than about four times the
time.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from elasticsearch import Elasticsearch as Client
from rich.console import Console
from rich.table import Table

from shipper.legacy import grok, multiline
from stack.elasticsearch import Elasticsearch

from .promises import Promise, show

LINES = 200_000
PROMISED_PER_S = 10_000
PROMISED_PER_CPU_S = 25_000  # of an import, which parses by itself
LENGTH = 25_000  # characters of a hostile line
TIMES = 4
GROWTH = 8.0  # times, for TIMES the length: a pattern that backtracks needs sixteen, or never ends

JOB = "0b1c2d3e-1111-4222-8333-4444{:08x}"
PIECES = (
    "a", " ", "(", ")", ":", "a:", "a.", "a b", "(a) ", ") (a", "()", "[a]", "[", "-", "- a ", "12:00:00 ", "INFO ",
    "a | ", "\n", "a\n", "Time: ", " Task-time:", "Task: a", "job a ", "a=b,", "password=", "token: '", "\x1b[3", "1,",
    "0" * 9, "2021-01-13 ", "Worker a: ", "rq.worker", "Job OK (", "é", "/", "_", "<", "Traceback", "Error", "a_",
    "AbandonedJobError",
)  # fmt: skip
BEGINNINGS = (
    "", "10:00:00 ", "Time: 2021-01-13 10:00:00,1 Task: ", "default: ", "default: f(", "Worker w: ", "Worker w: job x ",
    "[Job x]: exception raised while executing (", "StartedJobRegistry cleanup: Moving job to FailedJobRegistry (",
    "Successfully completed ", "INFO ", "Moving job to u'", "ValueError: ", "2021-01-13T10:00:00Z host p", "Pushing f(",
)  # fmt: skip


def hostile(length: int) -> list[str]:
    """Lines that ask a pattern to try again and again."""
    return [(begin + piece * length)[:length] for begin in BEGINNINGS for piece in PIECES]


def patterns() -> dict[str, re.Pattern[str]]:
    """Every regular expression that a line meets."""
    prefixes = ("RQ_CARRIER_", "RQ_HEAD_", "RQ_LINE_", "RQ_ERROR_")
    found = {name: grok.Expression(name).pattern for prefix in prefixes for name in grok.names(prefix)}
    return {
        **found,
        "CONTINUES": re.compile(multiline.CONTINUES),
        "GLUED": re.compile(multiline.GLUED),
        "COLORS": re.compile(multiline.COLORS),
    }


def _took(pattern: re.Pattern[str], line: str) -> float:
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        pattern.search(line)
        best = min(best, time.process_time() - begin)
    return best


def worst() -> tuple[float, str, float]:
    """The largest growth for TIMES the length, whose it is, and the longest time that any pattern took (s)."""
    growth, whose, longest = 0.0, "", 0.0
    for name, pattern in patterns().items():
        for short, long in zip(hostile(LENGTH), hostile(TIMES * LENGTH), strict=True):
            once, more = _took(pattern, short), _took(pattern, long)
            longest = max(longest, more)
            if more > 0.75 * GROWTH * once:  # it may be the machine that was busy: a closer look, at both by turns
                looks = [(_took(pattern, short), _took(pattern, long)) for _ in range(10)]
                once, more = map(min, zip(*looks, strict=True))
            if more > 0.002 and more / once > growth:  # below that the clock is what one measures
                growth, whose = more / once, f"{name} on {short[:40]!r}"
    return growth, whose, longest


def _log(path: Path) -> int:
    """A worker's log of LINES lines; its size in bytes."""
    with path.open("w") as file:
        for at in range(LINES // 4):
            clock = f"{at // 3600 % 24:02}:{at // 60 % 60:02}:{at % 60:02}"
            job = JOB.format(at)
            file.write(
                f"{clock} Worker w1: default: shop.jobs.send_mail({at}, to='ann') ({job})\n"
                f"{clock} Successfully completed shop.jobs.send_mail({at}, to='ann') job in 0:00:00.204s on worker w1\n"
                f"{clock} Worker w1: default: Job OK ({job})\n"
                f"{clock} Worker w1: job {job} result is kept for 500 seconds\n"
            )
    return path.stat().st_size


def _rate(client: Client, url: str, folder: Path, *command: str) -> tuple[float, float]:
    """Lines a second of a command that ships the log, and lines per second of the command's own CPU time."""
    namespace = f"b{uuid.uuid4().hex[:10]}"
    environment = {
        **os.environ,
        "SHIPPER_ELASTICSEARCH": url,
        "SHIPPER_NAMESPACE": namespace,
        "SHIPPER_LISTEN": "off",
        "SHIPPER_STATE": str(folder / namespace),
        "SHIPPER_LOG": str(folder / "none" / "records.jsonl"),
    }
    begin, cpu = time.monotonic(), _cpu_s()
    subprocess.run(
        [Path(sys.executable).parent / "shipper", *command], env=environment, check=True, capture_output=True
    )
    took, cpu = time.monotonic() - begin, _cpu_s() - cpu
    client.indices.refresh(index=f"rq-*-{namespace}-*")
    count = client.count(index=f"rq-*-{namespace}-*")["count"]
    if count != LINES:
        raise SystemExit(f"{count} of {LINES} lines arrived")
    client.indices.delete(index=f"rq-job-{namespace}-*,rq-app-{namespace}-*", expand_wildcards="all")
    return LINES / took, LINES / cpu


def _cpu_s() -> float:
    """CPU seconds of the commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> list[Promise]:
    """Print the figures; what is promised of them."""
    growth, whose, longest = worst()
    folder = Path(tempfile.mkdtemp(prefix="shipper-legacy-"))
    server = Elasticsearch(quick_start=False)
    try:
        with Client(server.url, request_timeout=60) as client:
            client.cluster.put_settings(persistent={"action.destructive_requires_name": False})
            size = _log(folder / "worker.log")
            log = folder / "worker.log"
            for _ in ("warm", "measured"):  # Java compiles what is used often
                run, run_cpu = _rate(
                    client, server.url, folder, "run", "--once", "--format", "legacy", "--files", str(log)
                )
            imported, imported_cpu = _rate(client, server.url, folder, "import", str(log), "--format", "legacy")
    finally:
        server.stop()
        shutil.rmtree(folder)
    table = Table("text logs", "figure", "promised", title=f"{LINES:,} lines, {size / LINES:.0f} bytes each")
    table.add_row("through the ingest pipeline", f"{run:,.0f} lines/s", f"{PROMISED_PER_S:,}")
    table.add_row("its client's CPU", f"{run_cpu:,.0f} lines/CPU s", "")
    table.add_row("shipper import", f"{imported:,.0f} lines/s", "")
    table.add_row("its client's CPU", f"{imported_cpu:,.0f} lines/CPU s", f"{PROMISED_PER_CPU_S:,}")
    table.add_row(f"hostile lines, {TIMES} times as long ({whose})", f"{growth:.1f} x the time", f"{GROWTH:.0f}")
    table.add_row(
        f"the longest of {len(patterns())} patterns on {TIMES * LENGTH:,} characters", f"{longest * 1000:.0f} ms", ""
    )
    Console().print(table)
    return [
        Promise("text logs: lines/s through the ingest pipeline", run, least=PROMISED_PER_S, shown="{:,.0f}"),
        Promise(
            "text logs: lines per CPU second of shipper import", imported_cpu, least=PROMISED_PER_CPU_S, shown="{:,.0f}"
        ),
        Promise(
            f"text logs: a hostile line of {TIMES} times the length, x the time", growth, most=GROWTH, shown="{:.1f}"
        ),
    ]


if __name__ == "__main__":
    sys.exit(not show(main()))
