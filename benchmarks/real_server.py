"""The shipper against a real Elasticsearch, beside a loader that only posts bodies made beforehand.

    python -m benchmarks.real_server [RECORDS]

Default settings, so records and states. The loader posts the very requests that the shipper made of the same records
for a server that keeps nothing and takes as long for each as Elasticsearch does (how many states there are depends on
it), over as many connections. Elasticsearch does nearly all of the work here, on the same cores; what is asked is
whether the shipper keeps it waiting, and what it adds itself. Then the documents are posted by kind: what a state takes
of Elasticsearch's CPU, beside a record.
"""

from __future__ import annotations

import http.client
import os
import re
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

from . import lag, worker_records
from .promises import Promise, show
from .shipping import NullServer, once

LEAST_SPEED = 0.95  # of the bare loader's
MOST_CPU = 0.06  # of Elasticsearch's
MOST_OF_A_STATE = 0.6  # of a record's CPU in Elasticsearch
NAMESPACE = "bare0"
RECORDS = 300_000  # takes eight seconds, and states wait five: neither run ends as they are due
ROUNDS = 8
CONFLICT = b"version_conflict_engine_exception"


def requests_of_ours(file: Path, folder: Path, takes_s: float = 0.0) -> list[bytes]:
    """The bodies of the requests in which the shipper sends these records, in the namespace NAMESPACE.

    They go to a server that takes so many seconds for each.
    """
    kept, state = Path(tempfile.mkdtemp(dir=folder)), Path(tempfile.mkdtemp(dir=folder))
    server = NullServer("--keep", str(kept), "--take", str(takes_s))
    try:
        ship(f"http://127.0.0.1:{server.port}", NAMESPACE, file, state)
    finally:
        server.stop()
    return [one.read_bytes() for one in sorted(kept.iterdir())]


def moved(requests: list[bytes], namespace: str) -> list[bytes]:
    """The same requests in another namespace."""
    return [body.replace(f"-{NAMESPACE}".encode(), f"-{namespace}".encode()) for body in requests]


def by_kind(requests: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """(requests with the records alone, with the states alone)."""
    records: list[bytes] = []
    states: list[bytes] = []
    for body in requests:
        lines = iter(body.split(b"\n")[:-1])
        parts: tuple[list[bytes], list[bytes]] = ([], [])
        for action, source in zip(lines, lines, strict=True):
            parts[b'"rq-state-' in action].extend([action, source, b""])
        for made, part in zip((records, states), parts, strict=True):
            if part:
                made.append(b"\n".join(part).replace(b"\n\n", b"\n"))
    return records, states


def documents(requests: list[bytes]) -> int:
    """How many documents there are in the requests."""
    return sum(body.count(b"\n") for body in requests) // 2


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
        asked = "/_bulk?filter_path=errors,items.*.error.type"
        connection.request("POST", asked, body, {"content-type": "application/x-ndjson"})
        answer = connection.getresponse().read()
        # Of two requests under way the later state of a job may come first, and the earlier one is refused, as ours is.
        if answer != b'{"errors":false}' and {*re.findall(rb'"type":"([^"]*)"', answer)} != {CONFLICT}:
            raise RuntimeError(f"the bare loader was refused: {answer[:200]!r}")
    connection.close()


def ship(url: str, namespace: str, file: Path, folder: Path) -> tuple[float, float]:
    """(seconds, CPU seconds) of a whole `shipper run --once`."""
    command = [*once(str(file), folder / namespace, url), "--namespace", namespace]
    began = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    process.returncode = 0
    return time.monotonic() - began, used.ru_utime + used.ru_stime


def main(count: int = RECORDS) -> list[Promise]:
    """Print the figures."""
    server = Server(quick_start=False)
    try:
        with tempfile.TemporaryDirectory() as name, Elasticsearch(server.url) as search:
            folder = Path(name)
            file, empty = folder / "records.jsonl", folder / "empty"
            worker_records.write(file, count)
            empty.touch()
            made = requests_of_ours(file, folder)
            ship(server.url, "warm", empty, folder)  # installs the templates
            for number in range(2):  # Java compiles what is used often
                took_s = load(server.port, moved(made, f"warm{number}"))
            made = requests_of_ours(file, folder, took_s / len(made) * SENDERS)
            bare, ours, cpu, theirs = [], [], [], []
            for number in range(ROUNDS):
                requests = moved(made, f"b{number:04}")
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
            state = statistics.median(_cost_of_a_state(server, made, number) for number in range(3))
            lagging = lag.measured(search, server.url, folder)
    finally:
        server.stop()
    # Of each round, as the machine's own pace changes from one to the next.
    speed = statistics.median(one / other for one, other in zip(bare, ours, strict=True))
    share = statistics.median(one / other for one, other in zip(cpu, theirs, strict=True))
    states = documents(by_kind(made)[1])
    print(f"{count:,} records and {states:,} states to a real Elasticsearch on the same cores (median of {ROUNDS})")
    print(
        f"  bare loader {count / statistics.median(bare):,.0f} docs/s, shipper {count / statistics.median(ours):,.0f}"
    )
    return [
        Promise("real Elasticsearch: docs/s, of a bare loader's", speed, least=LEAST_SPEED, shown="{:.2f} x"),
        Promise("real Elasticsearch: the shipper's CPU, of the server's", share, most=MOST_CPU, shown="{:.1%}"),
        Promise("real Elasticsearch: CPU of a state, of a record's", state, most=MOST_OF_A_STATE, shown="{:.2f} x"),
        lagging,
    ]


def _cost_of_a_state(server: Server, made: list[bytes], number: int) -> float:
    """Elasticsearch's CPU for a state, over that for a record."""
    cost = []
    for kind, requests in zip(("r", "s"), by_kind(made), strict=True):
        before = _cpu_of(server)
        load(server.port, moved(requests, f"{kind}{number:04}"))
        cost.append((_cpu_of(server) - before) / documents(requests))
    return cost[1] / cost[0]


def _cpu_of(server: Server) -> float:
    """CPU seconds of the server and its Java process so far."""
    root = psutil.Process(server.process.pid)
    times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


if __name__ == "__main__":
    sys.exit(not show(main(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)))
