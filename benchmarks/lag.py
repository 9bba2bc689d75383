"""How long a record takes from its writing until a search finds it, with the shipper and the indices as they come.

Records are written at a steady rate to a file that the shipper tails. They become visible in their order, one
shipper and one shard being all there is; so when a search counts n, the first n are there. The counting itself is
part of the figure: a record is late by up to POLL_S more than it was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from elasticsearch import Elasticsearch

from .promises import Promise
from .shipping import write_records

RATE, SECONDS = 1000, 20  # records a second, and for how long
WRITE_S = 0.01  # between two writings
POLL_S = 0.02
MOST_S = 1.5  # p99
START_S = 5.0  # until the shipper is about its usual business
LIMIT_S = 60.0


def measured(search: Elasticsearch, url: str, folder: Path) -> Promise:
    """Write, count, and print the figures."""
    prepared, log, count = folder / "prepared", folder / "lag.jsonl", RATE * SECONDS
    write_records(prepared, count)
    lines = prepared.read_bytes().splitlines(keepends=True)
    log.touch()
    command = [str(Path(sys.executable).parent / "shipper"), "run", "--files", str(log), "--trusted-files", str(log)]
    command += ["--state", str(folder / "lag-state"), "--elasticsearch", url, "--namespace", "lag"]
    shipper = subprocess.Popen(command, env={**os.environ, "SHIPPER_LISTEN": "off"}, stderr=subprocess.DEVNULL)
    try:
        time.sleep(START_S)
        written: list[float] = []
        writer = threading.Thread(target=_write, args=(log, lines, written))
        writer.start()
        lags: list[float] = []
        began = time.monotonic()
        while len(lags) < count and time.monotonic() - began < LIMIT_S:
            patient = search.options(request_timeout=LIMIT_S, ignore_status=503)
            answer = patient.count(index="rq-job-lag-*", ignore_unavailable=True, allow_no_indices=True)
            seen = answer.get("count", 0)  # 503: the index is there, and its shard only starting
            now = time.monotonic()
            lags += [now - moment for moment in written[len(lags) : seen]]
            time.sleep(POLL_S)
        writer.join()
    finally:
        shipper.terminate()
        shipper.wait()
    if len(lags) < count:
        raise RuntimeError(f"{len(lags)} of {count} records arrived")
    lags.sort()
    p50, p99 = lags[count // 2], lags[count * 99 // 100]
    print(f"  {RATE} records a second: a search finds one after {p50:.2f} s (median), p99 {p99:.2f} s")
    return Promise(f"lag at {RATE} records a second, p99", p99, most=MOST_S, shown="{:.2f} s")


def _write(log: Path, lines: list[bytes], written: list[float]) -> None:
    """RATE lines a second, each with the moment before it was written."""
    began = time.monotonic()
    with log.open("ab", buffering=0) as out:
        while len(written) < len(lines):
            due = int((time.monotonic() - began) * RATE) + 1
            some = lines[len(written) : due]
            moment = time.monotonic()
            out.write(b"".join(some))
            written += [moment] * len(some)
            time.sleep(WRITE_S)
