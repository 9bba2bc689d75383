"""Workers and work-horses are killed at random while jobs compete for a few sections: never two holders at once.

    python -m tests.storm [KILLS] [SEED]

The jobs witness it: each notes in a file when it enters and leaves, with its fencing number. A holder that did not
leave must have been killed before the next one entered. In the end every job has ended, and no section is closed.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import redis
from rq import Queue, Retry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.registry import StartedJobRegistry

from shipper.job_fields import text
from shipper.sections import caller, store
from stack.redis import Redis as OwnRedis
from tests import sections_work
from tests.programs import LIMIT_S, Programs, wait_for

KINDS = ("rq.worker.Worker", "rq.worker.SimpleWorker", "rq.worker.SpawnWorker")
SECTIONS = 3
TIMEOUT_S = sections_work.STORM_TTL_S
YEARS = 10 * 365 * 86_400


class Storm:
    """Jobs, one worker of each kind, and whoever kills them."""

    def __init__(self, folder: Path, url: str, *, kinds: tuple[str, ...], seed: int) -> None:
        self.folder, self.url, self.kinds = folder, url, kinds
        self.dice = random.Random(seed)
        self.connection = redis.Redis.from_url(url)
        self.queue = Queue("storm", connection=self.connection)
        self.file = str(folder / "notes")
        self.killed: dict[int, float] = {}  # pid → when
        environment = {"SHIPPER_LOG": str(folder / "records.jsonl"), "SHIPPER_REDIS": url}
        self.programs = Programs({**environment, "RQ_JOB_CLASS": "shipper.LoggedJob"}, folder)
        self.workers: dict[str, Any] = {}
        self.jobs: list[Job] = []

    def _enqueue(self, number: int) -> Job:
        return self.queue.enqueue(
            sections_work.in_a_storm,
            number % SECTIONS,
            self.file,
            self.dice.uniform(0, 0.2),
            job_timeout=TIMEOUT_S,
            result_ttl=YEARS,  # until it is asked how it ended
            retry=Retry(max=10_000),
        )

    def run(self, kills: int) -> None:
        """Kill so many processes, then let the rest end, and check what was witnessed."""
        try:
            while len(self.killed) < kills:
                self._keep_going()
                self._kill_one()
                if self.dice.random() < 0.1:
                    self._declare_abandoned()
            wait_for(self._all_ended, "every job to end")
        finally:
            self.programs.stop()
        self.check()

    def _keep_going(self) -> None:
        """Have jobs that wait, and a worker of each kind."""
        while self.queue.count < 2 * SECTIONS:
            self.jobs.append(self._enqueue(len(self.jobs)))
        self._keep_workers()

    def _keep_workers(self) -> None:
        for kind in self.kinds:
            worker = self.workers.get(kind)
            if worker is None or worker.poll() is not None:
                flags = ("storm", "--url", self.url, "--worker-class", kind, "--with-scheduler")
                self.workers[kind] = self.programs.start("rq", "worker", *flags)

    def _kill_one(self) -> None:
        """A holder: its work-horse, the parent, or both. At times a worker that may be doing anything."""
        if self.dice.random() < 0.2:
            self._kill(self.workers[self.dice.choice(self.kinds)].pid)
            return
        holders: list[int] = []

        def are_there() -> bool:
            self._keep_going()  # one that was just killed may have looked alive before, and all jobs may have ended
            holders[:] = self._holders()
            if not holders and self.dice.random() < 0.02:
                self._declare_abandoned()  # where the holders of all sections are dead, their retries get in
            return bool(holders)

        wait_for(are_there, "a job to be in a section")
        time.sleep(self.dice.uniform(0, 0.1))
        holder = self.dice.choice(holders)
        parents = {worker.pid for worker in self.workers.values()} - {holder}
        parent = _parent(holder)
        how = self.dice.choice(("horse", "parent", "both"))
        if parent in parents and how != "horse":
            self._kill(parent)
        if parent not in parents or how != "parent":
            self._kill(holder)

    def _kill(self, pid: int) -> None:
        self.killed.setdefault(pid, time.time())
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def _holders(self) -> list[int]:
        """The processes that are in a section now."""
        keys = [store.section_key(f"storm:{number}") for number in range(SECTIONS)]
        found: list[Any] = [self.connection.hget(key, "who") for key in keys]
        held = [store.parse_who(who) for who in found if who]
        return [int(process.split(":")[0]) for _, place, process in held if not caller.is_gone(place, process)]

    def _declare_abandoned(self) -> None:
        """What RQ's maintenance does after minutes: all running jobs are retried, also those that live."""
        StartedJobRegistry(queue=self.queue).cleanup(timestamp=time.time() + YEARS)
        stuck = IntermediateQueue.get_intermediate_queue_key(self.queue.key)
        for raw in self.connection.lrange(stuck, 0, -1):
            if self.connection.lrem(stuck, 1, text(raw)):
                self.connection.rpush(self.queue.key, raw)

    def _all_ended(self) -> bool:
        self._keep_workers()
        if not self.queue.count:
            self._declare_abandoned()
        return all(job.get_status() in ("finished", "failed") for job in self.jobs)

    def check(self) -> None:
        """Raise AssertionError if two were in a section at once, or one stays closed."""
        entered = 0
        for number in range(SECTIONS):
            notes = [line.split() for line in Path(f"{self.file}.{number}").read_text().splitlines()]
            entered += _check(notes, self.killed)
        wait_for(lambda: not self.connection.keys("shipper:section:*"), "the sections to open", TIMEOUT_S + LIMIT_S)
        ended = [str(job.get_status()) for job in self.jobs]
        print(
            f"{len(self.killed)} processes killed, {len(ended)} jobs ended ({ended.count('failed')} failed), "
            f"{entered} times in a section, never two at once.",
            flush=True,
        )
        assert ended.count("failed") == 0, "a job failed, though it had retries left"


def _check(notes: list[list[str]], killed: dict[int, float]) -> int:
    """How many entered one section. Raises AssertionError if two were in it at once."""
    inside: tuple[int, int] | None = None  # fence and pid
    last = entered = 0
    for what, fence_text, pid_text, at_text in notes:
        fence, pid, at = int(fence_text), int(pid_text), float(at_text)
        if what == "leave":
            assert inside == (fence, pid), f"{fence} of {pid} left, and {inside} was inside"
            inside = None
            continue
        entered += 1
        assert fence > last, f"the fence {fence} came after {last}"
        if inside is not None:
            died = killed.get(inside[1])
            assert died is not None, f"{pid} entered while {inside[1]} was inside, which nobody killed"
            assert died < at, f"{pid} entered before {inside[1]} was killed"
        inside, last = (fence, pid), fence
    return entered


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def main(arguments: list[str]) -> None:
    kills, seed = (*map(int, arguments), *(200, 1)[len(arguments) :])
    with tempfile.TemporaryDirectory(prefix="rq-shipper-storm-") as folder:
        server = OwnRedis(Path(folder))
        try:
            Storm(Path(folder), server.url, kinds=KINDS, seed=seed).run(kills)
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
