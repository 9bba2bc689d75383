"""`make test`'s tests: ours in two processes, and beside them RQ's own and those on the oldest RQ.

    python -m tests.everything [pytest's arguments]

All three are there in the end, one after the other, with what they said. The exit status is 0 if all are green.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stack.processes import ending_with_us
from tests.programs import ROOT

PROCESSES = 2
BESIDE = {"the oldest RQ": "tests.compat.oldest_rq", "RQ's own tests": "tests.compat.rq_suite"}


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="rq-shipper-tests-") as folder:
        begun = time.monotonic()
        beside = {name: _start(module, Path(folder) / module) for name, module in BESIDE.items()}
        ours = [sys.executable, "-m", "pytest", "-n", str(PROCESSES), *arguments]
        failed = ["ours"] if subprocess.run(ending_with_us(ours), cwd=ROOT, check=False).returncode else []
        for name, running in beside.items():
            status = running.wait()
            print(f"\n=== {name} ===\n{(Path(folder) / BESIDE[name]).read_text(errors='replace')}", flush=True)
            if status:
                failed.append(name)
        print(f"{time.monotonic() - begun:.0f} s; " + (f"failed: {', '.join(failed)}" if failed else "all green"))
    return 1 if failed else 0


def _start(module: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(
            ending_with_us([sys.executable, "-m", module]),
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
