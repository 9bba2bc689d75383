"""`make demo`: start everything, push the shop's jobs, tell what was found, end everything."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import redis
from elasticsearch import Elasticsearch
from rq import Queue

import shipper
from shipper.errors import ShipperError
from stack.processes import StackError, saying_how_long, wait_until

from . import load
from .freshness import Freshness
from .services import BIN, ROOT, Addresses, Services, down

RUN_LIMIT_S = 900.0  # for the shop's day, which takes some 15 s where nothing else runs
INDEX_LIMIT_S = 300.0


def main() -> int:
    arguments = _arguments()
    if arguments.down:
        down(arguments.folder)
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and end what was started on the way
    try:
        services = Services(arguments.folder, kept=arguments.keep)
        return _run(services, arguments)
    except (StackError, ShipperError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything up")
    parser.add_argument("--no-load", action="store_true", help="push no jobs")
    parser.add_argument("--down", action="store_true", help="end what --keep left up")
    parser.add_argument("--folder", type=Path, default=ROOT / ".run/demo", help="logs, records, state")
    return parser.parse_args()


def _run(services: Services, arguments: argparse.Namespace) -> int:
    kept = False
    try:
        started = time.monotonic()
        print("Starting Redis, Elasticsearch, two workers and the shipper …", flush=True)
        with saying_how_long():
            addresses = services.start_servers()
            _command(addresses, "setup", quiet=True)
        services.start_workers()
        services.start_shipper()
        print(f"  up after {time.monotonic() - started:.0f} s", flush=True)
        good = arguments.no_load or _story(services, addresses)
        kept = bool(arguments.keep)
        if kept:
            _say_where(addresses)
        return 0 if good else 1
    finally:
        if not kept:
            services.stop()


def _story(services: Services, addresses: Addresses) -> bool:
    """The shop's day and the answers. False if a record is missing or doubled."""
    os.environ.update(addresses.environment)
    shipper.instrument()
    namespace = addresses.environment["SHIPPER_NAMESPACE"]
    index = f"rq-job-{namespace}-*,rq-audit-{namespace}-*"
    freshness = Freshness(addresses.elasticsearch, f"rq-job-{namespace}-*")
    connection = redis.Redis.from_url(addresses.redis)
    pushed = load.push(connection)
    print(f"\n{pushed} jobs pushed to {', '.join(load.QUEUES)}; the workers are at it …", flush=True)
    with saying_how_long():
        wait_for_jobs(services, connection)
    written, indexed = wait_for_records(services, addresses, index)
    freshness.stop()
    _answers(addresses)
    return _proof(services, addresses, index, written, indexed, freshness)


def wait_for_jobs(services: Services, connection: redis.Redis) -> None:
    queues = [Queue(name, connection=connection) for name in load.QUEUES]

    def idle() -> bool:
        services.keep_shipper_alive()
        return not any(queue.count or connection.zcard(queue.started_job_registry.key) for queue in queues)

    wait_until(idle, RUN_LIMIT_S, "the shop's jobs to end", every_s=0.2)


def wait_for_records(services: Services, addresses: Addresses, index: str) -> tuple[int, int]:
    """(lines in the file, documents in Elasticsearch), as soon as they are equal."""
    records = Path(addresses.environment["SHIPPER_LOG"])
    counts = (0, 0)
    with Elasticsearch(addresses.elasticsearch, request_timeout=60) as client:

        def equal() -> bool:
            nonlocal counts
            services.keep_shipper_alive()
            written = records.read_bytes().count(b"\n")
            indexed = client.count(index=index, ignore_unavailable=True)["count"]
            counts = (written, indexed)
            return written == indexed

        try:
            wait_until(equal, INDEX_LIMIT_S, "every record to be indexed", every_s=0.2)
        except StackError as error:
            print(f"  {error}")
    return counts


def _answers(addresses: Addresses) -> None:
    print("\nWhat takes the most time? What is slowest? What bloats Redis? Which queue is busiest, which waits?")
    _command(addresses, "top", "--size", "5")
    print("\nWhat happened to customer 42?")
    _command(addresses, "timeline", "--customer", load.FAVOURITE)


def _proof(
    services: Services, addresses: Addresses, index: str, written: int, indexed: int, freshness: Freshness
) -> bool:
    """Ship everything once more as if nothing had been, and count again."""
    services.stop_shipper()
    # The shipper seals the audit trail when it stops, which is one more record.
    whole = Path(addresses.environment["SHIPPER_LOG"]).read_bytes().count(b"\n")
    print("\nNothing lost, nothing twice:", flush=True)
    print(f"  {written} records written by the shop and its workers, {indexed} in Elasticsearch")
    if services.restarts:
        print(f"  although the shipper was ended {services.restarts} times on the way")
    print("  everything shipped once more, with an empty registry: ", end="", flush=True)
    _command(addresses, "run", "--once", "--state", str(addresses.folder / "state-of-the-second-run"), shown=False)
    with Elasticsearch(addresses.elasticsearch, request_timeout=60) as client:
        client.indices.refresh(index=index)
        again = client.count(index=index)["count"]
    print(f"  {again} in Elasticsearch")
    print(
        f"Searchable after a job's end: p50 {freshness.percentile(50):.2f} s, p99 {freshness.percentile(99):.2f} s "
        f"({len(freshness.delays_s)} endings, {freshness.cold} more while Elasticsearch was warming up)",
        flush=True,
    )
    services.start_shipper()
    return written == indexed and again == whole


def _command(addresses: Addresses, *arguments: str, quiet: bool = False, shown: bool = True) -> None:
    """Run a command of ours as a user would."""
    if shown and not quiet:
        print(f"$ shipper {' '.join(arguments)}", flush=True)
    environment = {**os.environ, **addresses.environment}
    if not sys.stdout.isatty():
        environment["COLUMNS"] = "130"
    output = subprocess.PIPE if quiet else None
    done = subprocess.run(
        [BIN / "shipper", *arguments], env=environment, stdout=output, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode != 0:
        said = (done.stdout or b"").decode(errors="replace")
        raise StackError(f"`shipper {' '.join(arguments)}` failed. {said}")


def _say_where(addresses: Addresses) -> None:
    print("\nEverything is left up (`make down` ends it):")
    print(f"  Elasticsearch  {addresses.elasticsearch}")
    print(f"  Redis          {addresses.redis}")
    print(f"  logs, records  {addresses.folder}")
    print("To ask more:")
    print(f"  export SHIPPER_ELASTICSEARCH={addresses.elasticsearch}")
    print("  .venv/bin/shipper timeline --follow", flush=True)


if __name__ == "__main__":
    sys.exit(main())
