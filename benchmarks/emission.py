"""What the records cost a worker: RQ's SimpleWorker on jobs that do nothing, plain and watched, side by side.

    python -m benchmarks.emission [ROUNDS]

Rounds of the two kinds alternate on one Redis, each in a process of its own; the figures are medians. The CPU
time of one record is what the watched worker needed more, by the records it wrote.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stack.redis import Redis as OwnRedis

JOBS = 1000
RECORDS_A_JOB = 2  # started and finished; the enqueued one is the enqueuer's
MOST_US = 40
MOST_SLOWER = 0.02


def nothing() -> None:
    """The job."""


def round_(url: str, *, watched: bool) -> dict[str, float]:
    """Run this module's other half in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SHIPPER_LOG": f"{folder}/records.jsonl"}
        command = [sys.executable, "-m", "benchmarks.emission", "--round", url, "watched" if watched else "plain"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        log = Path(folder, "records.jsonl")
        written = len(log.read_bytes().splitlines()) if log.exists() else 0
        if written != (RECORDS_A_JOB * JOBS if watched else 0):
            raise RuntimeError(f"{written} records were written, which makes the figures worthless")
    return figures


def work(url: str, kind: str) -> None:
    """Push the jobs unwatched, then work them off and print the figures."""
    from redis import Redis
    from rq import Queue, SimpleWorker

    connection = Redis.from_url(url)
    connection.flushdb()
    queue = Queue("bench", connection=connection)
    for _ in range(JOBS):
        queue.enqueue("benchmarks.emission.nothing", result_ttl=60)
    if kind == "watched":
        import shipper

        shipper.instrument()
    worker = SimpleWorker([queue], connection=connection)
    cpu, wall = time.process_time(), time.perf_counter()
    worker.work(burst=True, logging_level="WARNING")
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))


def main(rounds: int = 7) -> bool:
    """Print the table. True if the promise holds."""
    figures: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory() as folder:
        redis = OwnRedis(Path(folder))
        try:
            for _ in range(rounds):
                for watched in (False, True):
                    figures[watched].append(round_(redis.url, watched=watched))
        finally:
            redis.stop()
    cpu = {watched: statistics.median(one["cpu"] for one in figures[watched]) for watched in figures}
    wall = {watched: statistics.median(one["wall"] for one in figures[watched]) for watched in figures}
    record_us = (cpu[True] - cpu[False]) / JOBS / RECORDS_A_JOB * 1e6
    slower = 1 - wall[False] / wall[True]
    print(f"SimpleWorker, {JOBS} jobs that do nothing (median of {rounds} rounds)")
    for watched, name in ((False, "plain RQ"), (True, "with records")):
        print(f"  {name:13} {JOBS / wall[watched]:6.0f} jobs/s   {cpu[watched] / JOBS * 1e6:6.0f} us CPU a job")
    print(f"  a record costs {record_us:.0f} us of CPU (promised: at most {MOST_US})")
    print(f"  {100 * slower:.1f} % fewer jobs/s (promised: at most {100 * MOST_SLOWER:.0f} %)")
    return record_us <= MOST_US and slower <= MOST_SLOWER


if __name__ == "__main__":
    if sys.argv[1:2] == ["--round"]:
        work(*sys.argv[2:])
    else:
        sys.exit(not main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
