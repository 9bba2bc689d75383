"""What `RQ_JOB_CLASS=shipper.LoggedJob` adds to a worker's start: imports, side by side with RQ's own.

    python -m benchmarks.import_cost [RUNS]

Processes of the two kinds alternate, so that both see the same machine; the figures are medians of the
processes' own CPU time.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

from .promises import Promise, show

PLAIN = "import rq, rq.worker, rq.cli"
OURS = f"{PLAIN}; from shipper import LoggedJob"
LIMIT_MS = 60


def cpu_ms(code: str) -> float:
    """CPU time of a Python process that runs `code`, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main(runs: int = 15) -> list[Promise]:
    """Print the figures."""
    figures = {"rq": [], "rq and shipper": []}  # type: dict[str, list[float]]
    for _ in range(runs):
        figures["rq"].append(cpu_ms(PLAIN))
        figures["rq and shipper"].append(cpu_ms(OURS))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    added = medians["rq and shipper"] - medians["rq"]
    print("Import, CPU time of a process (median)")
    for name, median in medians.items():
        print(f"  {name:16} {median:6.0f} ms")
    print(f"  {'added':16} {added:6.0f} ms")
    return [Promise("import added to a worker's start", added, most=LIMIT_MS, shown="{:.0f} ms")]


if __name__ == "__main__":
    sys.exit(not show(main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)))
