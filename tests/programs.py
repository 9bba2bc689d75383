"""Real programs, run as a user would run them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from stack.processes import start, stop
from tests import warm
from tests.warm import BIN, ROOT

__all__ = ["BIN", "HOUR_S", "LIMIT_S", "ROOT", "Programs", "wait_for", "whole_lines"]

LIMIT_S = 300.0  # how long anything may take on a machine that is very busy; nobody waits for it who need not
HOUR_S = 3600  # until something happens by itself that a test does not want: the timeout of a job that the test ends


def wait_for(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    """Return when the condition holds; fail the test if it does not in time.

    Asked less often the longer it takes: whom we wait for needs the processor more than we do.
    """
    deadline, pause_s = time.monotonic() + limit_s, 0.01
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s for {what}"
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.2)


def whole_lines(file: Path) -> list[bytes]:
    """The lines of a file that somebody may be writing to: of the last one only a part may be there yet."""
    return file.read_bytes().rpartition(b"\n")[0].splitlines() if file.exists() else []


def patient(url: str, **options: Any) -> Elasticsearch:
    """A client that waits for as long as a server on a busy machine may take; its own limit is ten seconds."""
    return Elasticsearch(url, request_timeout=LIMIT_S, **options)


def count(search: Elasticsearch, index: str, query: dict[str, Any] | None = None) -> int:
    """How many documents there are now. 0 while an index is just being made."""
    try:
        search.indices.refresh(index=index, ignore_unavailable=True)
        return int(search.options(max_retries=0).count(index=index, query=query, ignore_unavailable=True)["count"])
    except ApiError as answer:
        if answer.status_code != 503:
            raise
        return 0


Started = subprocess.Popen[bytes] | warm.Program


class Programs:
    """Programs of one test: they share its settings and its folder."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder
        self._started: list[Started] = []

    def run(
        self, *command: str, check: Any = True, stdin: Any = b"", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of the virtual environment to its end.

        `check` (bool) and `stdin` (bytes) are Any because of `**environment`: mypy cannot know that no variable has one
        of these names.
        """
        given = {**os.environ, **self.environment, "COLUMNS": "160", **environment}
        kind = warm.kind_of(command, {**self.environment, **environment})
        done = _run_warm(kind, command, given, stdin) if kind else _run_cold(command, given, stdin)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
        return done

    def start(self, *command: str, **environment: str) -> Started:
        """Start one that runs on; it is ended with the test. Its output is in `<name>.log`."""
        log, own = self.folder / f"{command[0]}.log", {**self.environment, **environment}
        process: Started
        if kind := warm.kind_of(command, own):
            with log.open("ab") as output, open(os.devnull, "rb") as nothing:
                out = output.fileno()
                process = warm.start(kind, command, {**os.environ, **own}, nothing.fileno(), out, out)
        else:
            process = start([str(BIN / command[0]), *command[1:]], log, environment=own, folder=ROOT)
        self._started.append(process)
        return process

    def work(self, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """An unmodified `rq worker`, told to use our job class, until the queues are empty."""
        url = self.environment["SHIPPER_REDIS"]
        given = {"RQ_JOB_CLASS": "shipper.LoggedJob", **environment}
        return self.run("rq", "worker", "--burst", "--url", url, *flags, **given)

    def refresh(self) -> None:
        """What was indexed until now is found from now on."""
        with patient(self.environment["SHIPPER_ELASTICSEARCH"]) as search:
            # Not those of other tests, which may be deleting them.
            search.indices.refresh(index=f"rq-*-{self.environment['SHIPPER_NAMESPACE']}*")

    @property
    def log(self) -> Path:
        return Path(self.environment["SHIPPER_LOG"])

    def records(self) -> list[dict[str, Any]]:
        """What the programs wrote of jobs, in the order of the file."""
        return [record for record in self.written() if record.get("event", {}).get("dataset") == "rq.job"]

    def audit(self) -> list[dict[str, Any]]:
        """What they wrote of who did what, without the seals of the chain."""
        return [record for record in self.trail() if "seal" not in record["audit"]]

    def trail(self) -> list[dict[str, Any]]:
        """The whole chain, seals included."""
        return [record for record in self.written() if record.get("event", {}).get("dataset") == "rq.audit"]

    def written(self) -> list[dict[str, Any]]:
        """Every record that they wrote."""
        return [json.loads(line) for line in whole_lines(self.log)]

    def actions(self) -> list[str]:
        return [record["event"]["action"] for record in self.records()]

    def stop(self) -> None:
        for process in reversed(self._started):
            stop(process)  # type: ignore[arg-type]  # a Program is as a Popen
        _end_sessions({process.pid for process in self._started})


def _end_sessions(leaders: set[int]) -> None:
    """Kill what is left of the sessions of programs that have ended: work-horses are process groups of their own.

    One whose worker was killed would go on with its job in the Redis of the next test.
    """
    for stat in Path("/proc").glob("[0-9]*/stat") if leaders else ():
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) in leaders:
                os.kill(int(stat.parent.name), signal.SIGKILL)


def _run_cold(command: tuple[str, ...], environment: dict[str, str], stdin: bytes) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / command[0], *command[1:]],
        input=stdin.decode(),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        cwd=ROOT,
        env=environment,
        check=False,
    )


def _run_warm(
    kind: str, command: tuple[str, ...], environment: dict[str, str], stdin: bytes
) -> subprocess.CompletedProcess[str]:
    """The same as a fork."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        source, sink = os.pipe()
        process = warm.start(kind, command, environment, source, out.fileno(), err.fileno())
        os.close(source)
        writer = threading.Thread(target=_write, args=(sink, stdin))
        writer.start()
        try:
            process.wait(LIMIT_S)
        except BaseException:
            process.kill()
            raise
        finally:
            writer.join()
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
        return subprocess.CompletedProcess(command, process.wait(), *said)


def _write(sink: int, data: bytes) -> None:
    try:
        with open(sink, "wb") as pipe:
            pipe.write(data)
    except BrokenPipeError:
        pass  # the program reads no more of it
