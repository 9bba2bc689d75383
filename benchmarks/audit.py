"""What the audit trail costs, and how fast it is read: one event, `verify`, a user's last 100 events.

    python -m benchmarks.audit [--records N] [--verified N]

An event is recorded in a loop, in a process of its own. The records to verify are a real chain, written by the
same code; the ones to search are as many as asked (5 000 000 is what is promised for; fewer by default, as
indexing them takes a machine of two cores some ten minutes). Elasticsearch runs beside on the same cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from elasticsearch import Elasticsearch

from shipper import settings
from shipper.audit import verify
from shipper.client import connect, connect_reader
from shipper.index import setup
from shipper.read import timeline
from shipper.records import ID_AT
from shipper.settings import Settings
from stack.elasticsearch import Elasticsearch as OwnElasticsearch

from .promises import Promise, show

LOOPS = 20_000
MOST_US = 45  # of CPU for one event
LEAST_VERIFIED = 50_000  # records for a second of the client's CPU
MOST_MS = 100  # for a user's last 100 events
LAST = 100
BATCH = 5000
USERS = 5000  # with 5 000 000 records each has 1000


def loop(count: int) -> None:
    """Record the event `count` times, and print the CPU time of one."""
    from shipper import actor, audit, log_context

    with actor(id="ann", name="Ann", roles=["clerk"]), log_context(customer="42"):
        audit.record("warmed-up")
        cpu = time.process_time()
        for _ in range(count):
            audit.record("address-changed", "customer:42", changes={"city": ("Ulm", "Bonn")}, reason="asked for")
        print(json.dumps({"cpu": (time.process_time() - cpu) / count}))


def recorded(folder: Path, count: int) -> float:
    """CPU seconds of one event. The chain is left in `records.jsonl` of the folder."""
    environment = {**os.environ, "SHIPPER_LOG": str(folder / "records.jsonl")}
    command = [sys.executable, "-m", "benchmarks.audit", "--loop", str(count)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout)["cpu"])


def cost() -> Promise:
    """What one event costs."""
    figures = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            figures.append(recorded(Path(folder), LOOPS) * 1e6)
    event_us = statistics.median(figures)
    return Promise("audit: CPU of an event, chained and written", event_us, most=MOST_US, shown="{:.0f} us")


def index(client: Elasticsearch, name: str, documents: Iterator[bytes], count: int) -> None:
    """Bulk index documents under their own ids."""
    done = 0
    while done < count:
        batch = list(islice(documents, min(BATCH, count - done)))
        body = b"".join(b'{"create":{"_id":"%b"}}\n%b\n' % (document[ID_AT], document.rstrip()) for document in batch)
        answer = client.options(request_timeout=300).perform_request(
            "POST",
            f"/{name}/_bulk?filter_path=errors",
            body=body,
            headers={"content-type": "application/x-ndjson", "accept": "application/json"},
        )
        if answer.body["errors"]:
            raise RuntimeError("Elasticsearch refused documents, which makes the figures worthless")
        done += len(batch)
    client.options(request_timeout=300).indices.refresh(index=name)


def verified(client: Elasticsearch, made: Settings, count: int) -> Promise:
    """How fast a chain is verified."""
    with tempfile.TemporaryDirectory() as folder:
        recorded(Path(folder), count)
        with (Path(folder) / "records.jsonl").open("rb") as log:
            index(client, f"rq-audit-{made.namespace}-2026.11", iter(log), count + 1)
    rates = []
    for _ in range(3):
        cpu = time.process_time()
        report = verify.verify(client, made)
        rates.append(report.records / (time.process_time() - cpu))
        if report.findings or report.records != count + 1:
            raise RuntimeError(f"{report.records} records, {len(report.findings)} findings: worthless")
    rate = statistics.median(rates)
    return Promise("audit: records verified for a CPU second", rate, least=LEAST_VERIFIED, shown="{:,.0f}")


def documents(count: int, now: datetime) -> Iterator[bytes]:
    """Records of many users over a month, as job and audit records are mixed."""
    step = timedelta(days=28) / count
    for number in range(count):
        moment = (now - timedelta(days=29) + step * number).isoformat(timespec="microseconds").replace("+00:00", "Z")
        user = number * 7919 % USERS
        said = {
            "@timestamp": moment,
            "event": {"id": f"{number:032x}", "dataset": "rq.audit", "kind": "event", "action": "address-changed",
                      "category": ["web"], "type": ["change"], "outcome": "success"},
            "user": {"id": f"user-{user}"}, "organization": {"id": str(user % 500)}, "trace": {"id": f"{number:032x}"},
            "audit": {"actor": {"type": "user"}, "resource": {"type": "customer", "id": str(user % 500)}},
            "service": {"name": "shop"}, "host": {"name": "web-1"}, "message": f"user-{user}: address-changed",
        }  # fmt: skip
        yield json.dumps(said, separators=(",", ":")).encode()


def searched(client: Elasticsearch, made: Settings, count: int) -> Promise:
    """How soon a user's last events come."""
    begun = time.perf_counter()
    index(client, f"rq-audit-{made.namespace}-2026.10", documents(count, datetime.now(UTC)), count)
    print(f"  {count:,} records indexed in {time.perf_counter() - begun:.0f} s", flush=True)
    delays, found = [], 0
    for user in range(0, 200 * 13, 13):  # another user each time: no answer is in a cache
        start = time.perf_counter()
        answer = timeline.last(client, made, timeline.Query(user=f"user-{user % USERS}"), LAST)
        delays.append(1000 * (time.perf_counter() - start))
        found = max(found, len(answer))
    delays.sort()
    median, p99 = statistics.median(delays), delays[int(len(delays) * 0.99) - 1]
    print(
        f"  a user's last {found} of {count:,} records come in {median:.1f} ms, p99 {p99:.1f} ms "
        f"({len(delays)} users; promised on 5,000,000)"
    )
    return Promise("audit: a user's last 100 events", median, most=MOST_MS, shown="{:.1f} ms")


def main(records: int = 200_000, verify_records: int = 60_000) -> list[Promise]:
    """Print the figures."""
    print("The audit trail")
    promises = [cost()]
    server = OwnElasticsearch(quick_start=False)
    try:
        made = settings.load({"elasticsearch": server.url, "namespace": "bench"})
        with connect(made) as cluster:
            setup.apply(cluster, setup.plan(cluster, made))
        with connect_reader(made) as client:
            promises.append(verified(client, made, verify_records))
            client.indices.delete(index="rq-audit-bench-2026.11")
            promises.append(searched(client, made, records))
    finally:
        server.stop()
    return promises


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200_000, help="how many a user's are searched among")
    parser.add_argument("--verified", type=int, default=60_000, help="how many are verified")
    parser.add_argument("--loop", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.loop:
        loop(asked.loop)
    else:
        sys.exit(not show(main(asked.records, asked.verified)))
