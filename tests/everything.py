"""`make test`'s tests: ours in several processes; beside them the types, odd lines, RQ's own, the oldest.

    python -m tests.everything [pytest's arguments]

All of them are there in the end, one after the other, with what they said, and what was not run. The exit status is 0
if all are green.
They share one Elasticsearch: each test's records are in indices of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from stack.elasticsearch import Elasticsearch
from stack.processes import StackError, ending_with_us
from tests.warm import ROOT

PROCESSES = 3
NOT_HERE = {"LOGSTASH_HOME": "Logstash"}  # variable → the program that it tells the place of, which no package brings
BESIDE = {
    "types": "mypy",
    "odd lines": "tests.fuzz",
    "the oldest dependencies": "tests.compat.oldest",
    "RQ's own tests": "tests.compat.rq_suite",
}
SHARED_ELASTICSEARCH = "TESTS_ELASTICSEARCH"  # the variable with a file's name, which in time will hold the URL


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="rq-shipper-tests-") as folder:
        begun, logs = time.monotonic(), Path(folder)
        shared = logs / "elasticsearch"
        os.environ[SHARED_ELASTICSEARCH] = str(shared)
        beside = {name: _start(["-m", module], logs / module) for name, module in BESIDE.items()}
        ours = _start(["-m", "pytest", "-n", str(PROCESSES), *arguments])
        server = None
        try:
            server = _share_elasticsearch(shared)  # while they import, and begin with what needs none
            failed = ["ours"] if ours.wait() else []
            for name, running in beside.items():
                status = running.wait()
                print(f"\n=== {name} ===\n{(logs / BESIDE[name]).read_text(errors='replace')}", flush=True)
                if status:
                    failed.append(name)
        except StackError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        finally:
            for running in (ours, *beside.values()):
                running.kill()
                running.wait()
            if server:
                server.stop()
        print(f"{time.monotonic() - begun:.0f} s; " + "; ".join([verdict(failed), *not_run()]))
    return 1 if failed else 0


def verdict(failed: list[str]) -> str:
    """What the summary says of those that failed."""
    return f"failed: {', '.join(failed)}" if failed else "all green"


def not_run(environment: Mapping[str, str] = os.environ) -> list[str]:
    """What the summary says of the tests that need a program that is not here, with the number of their tests."""
    said = []
    for variable, program in NOT_HERE.items():
        if not environment.get(variable):
            number = sum(
                line.startswith("def test_")
                for file in sorted((ROOT / "tests/integration").glob("test_*.py"))
                if variable in (text := file.read_text(encoding="utf-8"))
                for line in text.splitlines()
            )
            said.append(f"not run: {number} tests, no {program} here ({variable})")
    return said


def _share_elasticsearch(told: Path) -> Elasticsearch | None:
    """Start the server for all, and tell its URL in that file. None where there is one already."""
    if os.environ.get("ELASTICSEARCH_URL"):
        return None
    server = Elasticsearch()
    aside = told.with_suffix(".new")
    aside.write_text(server.url)
    aside.rename(told)
    return server


def _start(arguments: list[str], log: Path | None = None) -> subprocess.Popen[bytes]:
    with log.open("wb") if log else nullcontext() as out:
        return subprocess.Popen(
            ending_with_us([sys.executable, *arguments]),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT if log else None,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
