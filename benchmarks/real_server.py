"""The shipper against a real Elasticsearch, beside a loader that only posts bodies made beforehand.

    python -m benchmarks.real_server [RECORDS]

Both send the same documents over as many connections, in requests of the same size. Elasticsearch does nearly all of
the work here, on the same cores; what is asked is whether the shipper keeps it waiting, and what it adds itself.
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
from elasticsearch import Elasticsearch

from shipper.ship.pipeline import SENDERS
from stack.elasticsearch import Elasticsearch as Server

from . import lag
from .promises import Promise, show
from .shipping import once, write_records

LEAST_SPEED = 0.95  # of the bare loader's
MOST_CPU = 0.06  # of Elasticsearch's
BODY = 2_000_000  # bytes
ROUNDS = 6


def bodies(file: Path, index: str) -> list[bytes]:
    """The requests of the bare loader: ids, `create`, and the lines as they are."""
    made, parts, size = [], [], 0
    for line in file.read_bytes().splitlines():
        parts.append(b'{"create":{"_index":"%b","_id":"%b"}}\n%b\n' % (index.encode(), line[59:91], line))
        size += len(line)
        if size >= BODY:
            made.append(b"".join(parts))
            parts, size = [], 0
    return [*made, b"".join(parts)] if parts else made


def load(port: int, requests: list[bytes]) -> float:
    """Seconds to post them all, over as many connections as the shipper has."""
    began = time.monotonic()
    with ThreadPoolExecutor(SENDERS) as threads:
        list(threads.map(partial(_post, port), (requests[at::SENDERS] for at in range(SENDERS))))
    return time.monotonic() - began


def _post(port: int, requests: list[bytes]) -> None:
    """Post them one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in requests:
        connection.request("POST", "/_bulk?filter_path=errors", body, {"content-type": "application/x-ndjson"})
        answer = connection.getresponse().read()
        if answer != b'{"errors":false}':
            raise RuntimeError(f"the bare loader was refused: {answer[:200]!r}")
    connection.close()


def ship(url: str, namespace: str, file: Path, folder: Path) -> tuple[float, float]:
    """(seconds, CPU seconds) of a whole `shipper run --once`."""
    command = [*once(str(file), folder / namespace, url), "--namespace", namespace]
    began = time.monotonic()
    process = subprocess.Popen(command, env={**os.environ, "SHIPPER_STATES": "false"}, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return time.monotonic() - began, used.ru_utime + used.ru_stime


def main(count: int = 200_000) -> list[Promise]:
    """Print the figures."""
    server = Server(quick_start=False)
    try:
        with tempfile.TemporaryDirectory() as name, Elasticsearch(server.url) as search:
            folder = Path(name)
            file, empty = folder / "records.jsonl", folder / "empty"
            write_records(file, count)
            empty.touch()
            load(server.port, bodies(file, "rq-job-warm-2026.11.21"))  # Java compiles what is used often
            ship(server.url, "warm", empty, folder)  # and installs the templates
            bare, ours, cpu, theirs = [], [], [], []
            for number in range(ROUNDS):
                requests = bodies(file, f"rq-job-bare{number}-2026.11.21")  # our templates hold for it, too
                if number % 2:  # each comes after the other once: Elasticsearch goes on with what it was given last
                    bare.append(load(server.port, requests))
                start_s, start_cpu_s = ship(server.url, f"start{number}", empty, folder)
                before = _cpu_of(server)
                took, used = ship(server.url, f"ours{number}", file, folder)
                theirs.append(_cpu_of(server) - before)
                ours.append(took - start_s)
                cpu.append(used - start_cpu_s)
                if not number % 2:
                    bare.append(load(server.port, requests))
                search.indices.refresh(index="rq-job-*")
                found = search.count(index=f"rq-job-ours{number}-*")["count"]
                if found != count:
                    raise RuntimeError(f"{found} of {count} records arrived")
            lagging = lag.measured(search, server.url, folder)
    finally:
        server.stop()
    # Of each round, as the machine's own pace changes from one to the next.
    speed = statistics.median(one / other for one, other in zip(bare, ours, strict=True))
    share = statistics.median(one / other for one, other in zip(cpu, theirs, strict=True))
    print(f"{count} records to a real Elasticsearch on the same cores (median of {ROUNDS})")
    print(
        f"  bare loader {count / statistics.median(bare):,.0f} docs/s, shipper {count / statistics.median(ours):,.0f}"
    )
    return [
        Promise("real Elasticsearch: docs/s, of a bare loader's", speed, least=LEAST_SPEED, shown="{:.2f} x"),
        Promise("real Elasticsearch: the shipper's CPU, of the server's", share, most=MOST_CPU, shown="{:.1%}"),
        lagging,
    ]


def _cpu_of(server: Server) -> float:
    """CPU seconds of the server and its Java process so far."""
    root = psutil.Process(server.process.pid)
    times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
    return sum(one.user + one.system for one in times)


if __name__ == "__main__":
    sys.exit(not show(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)))
