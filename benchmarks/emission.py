"""What the records cost a worker: RQ's SimpleWorker on jobs that do nothing, plain and watched, side by side.

    python -m benchmarks.emission [ROUNDS]

Rounds of three kinds alternate on one Redis, each in a process of its own; the figures are medians. `bare`
is the floor: RQ with nothing added but two lines a job, made beforehand and written with one `write()` each.
Then one record by itself: a job's facts read, its line made and written, in a loop.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stack.redis import Redis as OwnRedis

from .promises import Promise, show

JOBS = 2000
RECORDS_A_JOB = 2  # started and finished; the enqueued one is the enqueuer's
LOOPS = 20_000
KINDS = ("plain", "bare", "watched")
MOST_US = 40  # of CPU for one record
MOST_SLOWER = 0.10  # where every job does nothing; a job of 50 ms is delayed by 0.4 %


def nothing() -> None:
    """The job."""


def round_(url: str, kind: str) -> dict[str, float]:
    """Run this module's other half in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SHIPPER_LOG": f"{folder}/records.jsonl"}
        command = [sys.executable, "-m", "benchmarks.emission", "--round", kind, url]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        log = Path(folder, "records.jsonl")
        written = len(log.read_bytes().splitlines()) if log.exists() else 0
        if written != (0 if kind == "plain" else RECORDS_A_JOB * JOBS):
            raise RuntimeError(f"{written} records were written, which makes the figures worthless")
    return figures


def work(kind: str, url: str) -> None:
    """Push the jobs unwatched, then work them off and print the figures."""
    from redis import Redis
    from rq import Queue, SimpleWorker

    connection = Redis.from_url(url)
    connection.flushdb()
    queue = Queue("bench", connection=connection)
    for _ in range(JOBS):
        queue.enqueue("benchmarks.emission.nothing", result_ttl=60)
    if kind == "bare":
        write_bare_lines(Path(os.environ["SHIPPER_LOG"]))
    if kind == "watched":
        import shipper

        shipper.instrument()
    worker = SimpleWorker([queue], connection=connection)
    cpu, wall = time.process_time(), time.perf_counter()
    worker.work(burst=True, logging_level="WARNING")
    print(json.dumps({"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}))


def write_bare_lines(path: Path) -> None:
    """The least that any record could cost: a line that is there already, at the same two moments."""
    from rq.worker import Worker

    descriptor, line = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), b"x" * 900 + b"\n"

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            answer = original(*args, **kwargs)
            os.write(descriptor, line)
            return answer

        return wrapped

    for method in ("prepare_job_execution", "handle_job_success"):
        owner = next(one for one in Worker.__mro__ if method in vars(one))
        setattr(owner, method, around(vars(owner)[method]))


def loop() -> None:
    """Make and write the two records of one job again and again, and print the CPU time of one."""
    from datetime import UTC, datetime

    from redis import Redis
    from rq.job import Job

    from shipper import settings
    from shipper.emit import instrument, snapshot  # noqa: F401 - as loaded as in a worker
    from shipper.emit.events import Success
    from shipper.emit.recorder import Recorder

    recorder = Recorder(settings.load())
    job = Job.create(nothing, connection=Redis(), origin="bench")
    job.enqueued_at = job.started_at = job.ended_at = datetime.now(UTC)
    cpu = time.process_time()
    for _ in range(LOOPS):
        started = snapshot.from_job(job)
        recorder.started(started, "a6c8e5bb2923420488e76d50699b3386", "worker")
        success = Success(execution_id="a6c8e5bb2923420488e76d50699b3386", worker="worker", result_type="NoneType")
        recorder.succeeded(snapshot.at_ending(job, started), success)
    print(json.dumps({"cpu": (time.process_time() - cpu) / LOOPS / RECORDS_A_JOB}))


def one_record() -> float:
    """CPU seconds of one record in a loop, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SHIPPER_LOG": f"{folder}/records.jsonl"}
        command = [sys.executable, "-m", "benchmarks.emission", "--loop"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["cpu"])


def main(rounds: int = 7) -> list[Promise]:
    """Print the table."""
    figures: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        redis = OwnRedis(Path(folder))
        try:
            for _ in range(rounds):
                for kind in KINDS:
                    figures[kind].append(round_(redis.url, kind))
        finally:
            redis.stop()
    # The best round of each: what others do on the machine only adds, and more than what is measured.
    cpu = {kind: min(one["cpu"] for one in figures[kind]) / JOBS for kind in KINDS}
    wall = {kind: min(one["wall"] for one in figures[kind]) / JOBS for kind in KINDS}
    record_us = statistics.median(one_record() for _ in range(3)) * 1e6
    print(f"SimpleWorker, {JOBS} jobs that do nothing, {RECORDS_A_JOB} records a job (best of {rounds} rounds)")
    for kind, name in (("plain", "plain RQ"), ("bare", "two bare lines"), ("watched", "with records")):
        slower = 1 - wall["plain"] / wall[kind]
        print(f"  {name:15} {1 / wall[kind]:6.0f} jobs/s ({-slower:+6.1%})   {cpu[kind] * 1e6:6.0f} us CPU a job")
    slower = 1 - wall["plain"] / wall["watched"]
    there_us = (cpu["watched"] - cpu["plain"]) / RECORDS_A_JOB * 1e6
    print(f"  a record costs {there_us:.0f} us of CPU there, with cold caches and the wrappers around RQ")
    return [
        Promise("emission: CPU of a record, in a loop", record_us, most=MOST_US, shown="{:.0f} us"),
        Promise("emission: fewer jobs a second, where jobs do nothing", slower, most=MOST_SLOWER, shown="{:.1%}"),
    ]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--round", kind, url]:
            work(kind, url)
        case ["--loop"]:
            loop()
        case arguments:
            sys.exit(not show(main(*map(int, arguments))))
