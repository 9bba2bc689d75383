"""What the records cost a worker on jobs that do nothing: plain RQ, two bare lines a job, and records, side by side.

    python -m benchmarks.emission [ROUNDS]

Rounds of the three kinds alternate on one Redis, each in a process of its own, for RQ's SimpleWorker and for its
Worker, which forks for each job. `bare` is the floor: RQ with nothing added but two lines a job, made beforehand and
written with one `write()` each. A figure is the median of the rounds, with the interval that holds the true median in
95 of 100 cases. Each worker has run some jobs before: what it does once, at its start, is not in it. Then, where there
is valgrind, the instructions of a job, which do not depend on what else the machine does. Then one record by itself: a
job's facts read, its line made and written, in a loop.
"""

from __future__ import annotations

import gc
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.redis import Redis as OwnRedis

from .nothing import nothing
from .promises import Promise, show

FIRST_JOBS = 20  # not counted
COUNTED_JOBS = (50, 250)  # of a short and a long run whose instructions are counted
RECORDS_A_JOB = 2  # started and finished; the enqueued one is the enqueuer's
LOOPS = 20_000
ROUNDS = 30
KINDS = ("plain", "bare", "watched")
MOST_US = 15  # of CPU for one record, in a loop


@dataclass(frozen=True, slots=True)
class WorkerClass:
    """A worker class of RQ: how many jobs a round has, and the share of CPU that records may add to them."""

    name: str
    jobs: int
    most: float


MOST_ADDED = 0.04  # of a SimpleWorker's CPU
WORKER_CLASSES = (WorkerClass("SimpleWorker", 500, MOST_ADDED), WorkerClass("Worker", 100, 0.02))


def round_(url: str, kind: str, worker: WorkerClass) -> float:
    """CPU seconds of one job."""
    return float(_run(url, kind, worker.name, worker.jobs).stdout.splitlines()[-1]) / worker.jobs


def _run(url: str, kind: str, worker_class: str, jobs: int, *prefix: str) -> subprocess.CompletedProcess[str]:
    """Run this module's other half, in a process of its own. `prefix`: the command that counts its instructions."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "SHIPPER_LOG": f"{folder}/records.jsonl"}
        half = "--counted" if prefix else "--round"
        command = [sys.executable, "-m", "benchmarks.emission", half, kind, url, worker_class, str(jobs)]
        done = subprocess.run([*prefix, *command], env=environment, capture_output=True, text=True, check=True)
        log = Path(folder, "records.jsonl")
        written = len(log.read_bytes().splitlines()) if log.exists() else 0
        if written != (0 if kind == "plain" else RECORDS_A_JOB * (FIRST_JOBS + jobs)):
            raise RuntimeError(f"{written} records were written, which makes the figures worthless")
    return done


def instructions(url: str, kind: str) -> float:
    """Instructions of one job on SimpleWorker, those of the kernel not counted: a long run less a short one.

    Without Python's garbage collector, which looks at everything every thousand jobs, in some runs and not in others.
    """
    counted = []
    for jobs in COUNTED_JOBS:
        valgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
        done = _run(url, kind, "SimpleWorker", jobs, *valgrind)
        found = re.search(r"Collected : (\d+)", done.stderr)
        if found is None:
            raise RuntimeError(f"valgrind has counted nothing: {done.stderr[-500:]}")
        counted.append(int(found[1]))
    return (counted[1] - counted[0]) / (COUNTED_JOBS[1] - COUNTED_JOBS[0])


def work(kind: str, url: str, worker_class: str, jobs: int) -> None:
    """Push the jobs unwatched, then work them off and print the CPU seconds, those of work-horses included."""
    import rq
    from redis import Redis

    connection = Redis.from_url(url)
    connection.flushdb()
    queues = {rq.Queue(name, connection=connection): count for name, count in (("first", FIRST_JOBS), ("bench", jobs))}
    for queue, count in queues.items():
        for _ in range(count):
            queue.enqueue("benchmarks.nothing.nothing", result_ttl=60)
    if kind == "bare":
        write_bare_lines(Path(os.environ["SHIPPER_LOG"]))
    if kind == "watched":
        import shipper

        shipper.instrument()
    for queue in queues:
        worker = getattr(rq, worker_class)([queue], connection=connection)
        before = _cpu_s()
        worker.work(burst=True, logging_level="WARNING")
    print(_cpu_s() - before)


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


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


def median_of(values: Sequence[float]) -> tuple[float, float, float]:
    """(median, and the bounds of the interval that holds it in 95 of 100 cases, by the order of the values)."""
    ordered, count = sorted(values), len(values)
    reach = 0.98 * count**0.5  # of the normal approximation of the binomial distribution: 1.96 / 2 standard deviations
    lowest, highest = max(0, round(count / 2 - reach)), min(count - 1, round(count / 2 + reach))
    return statistics.median(ordered), ordered[lowest], ordered[highest]


def main(rounds: int = ROUNDS) -> list[Promise]:
    """Print the table."""
    promises = []
    with tempfile.TemporaryDirectory() as folder:
        redis = OwnRedis(Path(folder))
        try:
            for worker in WORKER_CLASSES:
                figures: dict[str, list[float]] = {kind: [] for kind in KINDS}
                for _ in range(rounds):
                    for kind in KINDS:
                        figures[kind].append(round_(redis.url, kind, worker))
                promises.append(_compared(worker, figures))
            if shutil.which("valgrind"):
                promises.append(_counted(redis.url))
            else:
                print("Instructions were not counted: no valgrind here")
        finally:
            redis.stop()
    record_us = statistics.median(one_record() for _ in range(5)) * 1e6
    return [Promise("emission: CPU of a record, in a loop", record_us, most=MOST_US, shown="{:.1f} us"), *promises]


def _compared(worker: WorkerClass, figures: dict[str, list[float]]) -> Promise:
    """What records add to a job, of the rounds that were side by side."""
    print(f"{worker.name}, {worker.jobs} jobs that do nothing (median of {len(figures['plain'])} rounds)")
    added = {}
    for kind, name in (("plain", "plain RQ"), ("bare", "two bare lines"), ("watched", "with records")):
        middle, low, high = median_of(figures[kind])
        more = [one / plain - 1 for one, plain in zip(figures[kind], figures["plain"], strict=True)]
        added[kind], least, most = median_of(more)
        print(
            f"  {name:15} {middle * 1e6:6.0f} us CPU a job ({low * 1e6:.0f} to {high * 1e6:.0f}), "
            f"{added[kind]:+.1%} ({least:+.1%} to {most:+.1%})"
        )
    return Promise(f"emission: CPU that records add, {worker.name}", added["watched"], most=worker.most, shown="{:.1%}")


def _counted(url: str) -> Promise:
    """What records add to a job in instructions."""
    plain, watched = (instructions(url, kind) for kind in ("plain", "watched"))
    print(f"SimpleWorker: {plain:,.0f} instructions a job, {watched - plain:,.0f} more with records")
    added = watched / plain - 1
    return Promise("emission: instructions that records add, SimpleWorker", added, most=MOST_ADDED, shown="{:.1%}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--round", kind, url, worker_class, jobs]:
            work(kind, url, worker_class, int(jobs))
        case ["--counted", kind, url, worker_class, jobs]:
            gc.disable()
            work(kind, url, worker_class, int(jobs))
        case ["--loop"]:
            loop()
        case arguments:
            sys.exit(not show(main(*map(int, arguments))))
