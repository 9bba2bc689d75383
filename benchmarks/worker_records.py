"""Records as real workers write them, as many as wanted.

Some hundred jobs of three queues run in a real SimpleWorker: with contexts, results, failures and retries. Their lines
are repeated with other ids, those of twenty workers side by side, so that the records of a job stand far from each
other.

    python -m benchmarks.worker_records FILE COUNT [SEED]
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

from stack.redis import Redis as OwnRedis

JOBS = 600
WORKERS = 20
_EVENT_ID = re.compile(rb'(?<="event":\{"id":"[0-9a-f]{12})[0-9a-f]{20}')


def charge(order: int, amount: float = 1.5, currency: str = "EUR") -> dict[str, object]:
    """A job with a result."""
    return {"order": order, "amount": amount, "currency": currency}


def mail(to: str, template: str) -> None:
    """A job without one."""


def declined(order: int) -> None:
    """A job that fails."""
    raise ValueError(f"order {order} declined")


def run_jobs(url: str, jobs: int) -> None:
    """Enqueue so many jobs and work them off, in this process."""
    from redis import Redis
    from rq import Queue, Retry, SimpleWorker

    import shipper

    shipper.instrument()
    connection = Redis.from_url(url)
    queues = [Queue(name, connection=connection) for name in ("payments", "mails", "reports")]
    for number in range(jobs):
        context = {"user": f"user-{number % 97}", "customer": str(number % 31), "request_id": f"r{number}"}
        with shipper.log_context(**context):
            queue = queues[number % 3]
            if number % 20 == 0:
                queue.enqueue("benchmarks.worker_records.declined", number, retry=Retry(max=1))
            elif number % 33 == 0:
                queue.enqueue("benchmarks.worker_records.declined", number)
            elif number % 3:
                queue.enqueue("benchmarks.worker_records.mail", f"user-{number}@shop.example", template="receipt")
            else:
                queue.enqueue("benchmarks.worker_records.charge", number, amount=number * 1.1)
    SimpleWorker(queues, connection=connection).work(burst=True, logging_level="CRITICAL")


@cache
def _lines() -> list[tuple[bytes, bytes]]:
    """(job id, line) of each record of the jobs, which run once for all."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "records.jsonl")
        write_distinct(log, JOBS)
        lines = log.read_bytes().splitlines(keepends=True)
    return [(json.loads(line)["messaging"]["message"]["id"].encode(), line) for line in lines]


def write_distinct(path: Path, jobs: int) -> None:
    """Write all records of so many jobs, none of which is another one's copy: those compress better than a user's."""
    with tempfile.TemporaryDirectory() as folder:
        redis = OwnRedis(Path(folder))
        try:
            command = [sys.executable, "-m", "benchmarks.worker_records", "--run", redis.url, str(jobs)]
            subprocess.run(command, env={**os.environ, "SHIPPER_LOG": str(path)}, check=True, capture_output=True)
        finally:
            redis.stop()


def write(path: Path, count: int, seed: int = 1) -> None:
    """Write so many records. Each seed gives other ids."""
    dice = random.Random(seed)
    with path.open("wb") as out:
        out.writelines(islice(_endless(dice), count))


def _endless(dice: random.Random) -> Iterator[bytes]:
    while True:
        yield from (
            line for side_by_side in zip(*(_copy(dice) for _ in range(WORKERS)), strict=True) for line in side_by_side
        )


def _copy(dice: random.Random) -> Iterator[bytes]:
    """All lines with other ids."""
    ids: dict[bytes, bytes] = {}
    for job, line in _lines():
        if job not in ids:
            text = f"{dice.getrandbits(128):032x}"
            ids[job] = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}".encode()
        event = b"%020x" % dice.getrandbits(80)
        yield _EVENT_ID.sub(event, line, count=1).replace(job, ids[job])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--run", url, jobs]:
            run_jobs(url, int(jobs))
        case [path, count, *seed]:
            write(Path(path), int(count), *map(int, seed))
