"""`make demo-full-redis`: a Redis fills up. The alarm comes before the first refused job, and names who fills it.

Two workers run jobs that sleep, two watches look each second, and ten jobs a second are enqueued: half of them small,
half with 40 kB of arguments. Redis may use a little more than it uses at the start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import redis
from elasticsearch import Elasticsearch
from redis.exceptions import OutOfMemoryError
from rq import Queue

import shipper
from shipper.errors import ShipperError
from stack.processes import StackError, saying_how_long, wait_until

from . import jobs, load
from .services import BIN, ROOT, WORKERS, Addresses, Services

ROOM_BYTES = 6_000_000  # that Redis may use beyond what it uses at the start
FAT_BYTES = 40_000
EVERY_S = 0.1
SLEEP_S = 60
LIMIT_S = 300.0
WATCHES = 2


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        services = Services(ROOT / ".run/demo-full-redis")
        try:
            return 0 if _story(services) else 1
        finally:
            services.stop()
    except (StackError, ShipperError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _story(services: Services) -> bool:
    print("Starting Redis, Elasticsearch, two workers, the shipper and two watches …", flush=True)
    with saying_how_long():
        addresses = services.start_servers()
        os.environ.update(addresses.environment)
        subprocess.run([BIN / "shipper", "setup"], check=True, stdout=subprocess.DEVNULL)
    shipper.instrument()
    connection = redis.Redis.from_url(addresses.redis)
    queue = Queue(load.QUEUES[-1], connection=connection)
    services.start_workers()
    services.start_shipper()
    for _ in range(WORKERS):
        queue.enqueue(time.sleep, SLEEP_S)
    services.start_watches(WATCHES, "1s")
    log = Path(addresses.environment["SHIPPER_LOG"])
    wait_until(lambda: queue.count == 0, LIMIT_S, "both workers to be busy")
    sampled = lambda: sum(one["event"]["dataset"] == "rq.redis" for one in _records(log))  # noqa: E731
    wait_until(lambda: sampled() >= 2 * WATCHES, LIMIT_S, "both watches to look")
    limit = connection.info("memory")["used_memory"] + ROOM_BYTES
    connection.config_set("maxmemory", limit)
    print(f"Redis may use {limit / 2**20:.1f} MiB. Ten jobs a second are enqueued …", flush=True)
    pushed, refused_at = _fill(queue, log)
    print(f"{_clock(refused_at)} Redis refused job {pushed + 1}: OOM command not allowed", flush=True)
    queue.empty()
    print(f"{_clock(time.time())} somebody empties the queue", flush=True)
    closed = lambda: sum(_is_memory(one, "closed") for one in _records(log)) >= WATCHES  # noqa: E731
    wait_until(closed, LIMIT_S, "the alarm to close")
    return _proof(addresses, log, refused_at)


def _fill(queue: Queue, log: Path) -> tuple[int, float]:
    """Enqueue until Redis refuses. Returns how many jobs were pushed, and when one was refused."""
    pushed, seen = 0, 0
    while True:
        try:
            queue.enqueue(*((jobs.send_newsletter, os.urandom(FAT_BYTES)) if pushed % 2 else (time.sleep, 0)))
        except OutOfMemoryError:
            return pushed, time.time()
        pushed += 1
        time.sleep(EVERY_S)
        alerts = [one for one in _records(log) if one["event"]["dataset"] == "rq.alert"]
        for one in alerts[seen:]:
            print(f"{one['event']['created'][11:19]} {one['event']['action']}: {one['message']}", flush=True)
        seen = len(alerts)


def _proof(addresses: Addresses, log: Path, refused_at: float) -> bool:
    opened = [one for one in _records(log) if _is_memory(one, "open")]
    refused = [one for one in _records(log) if one["event"].get("action") == "job-refused"]
    namespace = addresses.environment["SHIPPER_NAMESPACE"]
    query: dict[str, Any] = {"term": {"rule.name": "redis_memory"}}
    with Elasticsearch(addresses.elasticsearch, request_timeout=60) as client:

        def indexed() -> int:
            client.indices.refresh(index=f"rq-alert-{namespace}-*", ignore_unavailable=True)
            return int(client.count(index=f"rq-alert-{namespace}-*", query=query, ignore_unavailable=True)["count"])

        wait_until(lambda: indexed() >= 2, LIMIT_S, "the alarm's records to be indexed")
        records = indexed()
    left = min((refused_at - datetime.fromisoformat(one["event"]["created"]).timestamp() for one in opened), default=0)
    checks = {
        f"the alarm came {left:.1f} s before the first refusal": left > 0,
        "it named the function that fills Redis, and the time left": all(
            one["code"]["function"]["name"].endswith("send_newsletter")
            and one["rq"]["alert"]["facts"].get("time_left_s")
            for one in opened
        ),
        f"the refused job is on record ({refused[0]['event']['reason'] if refused else 'no'})": bool(refused),
        f"two watches, and {records} records: one of the opening, one of the closing": records == 2,
    }
    print()
    for said, holds in checks.items():
        print(f"  {'yes' if holds else 'NO '}  {said}")
    return all(checks.values())


def _records(log: Path) -> Iterator[dict[str, Any]]:
    if log.exists():
        yield from map(json.loads, log.read_bytes().splitlines())


def _is_memory(one: dict[str, Any], state: str) -> bool:
    alert = one.get("rq", {}).get("alert", {})
    return alert.get("state") == state and one["rule"]["name"] == "redis_memory"


def _facts(one: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = one["rq"]["alert"]["facts"]
    return facts


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at))


if __name__ == "__main__":
    sys.exit(main())
