"""What an uncontended critical section costs, beside two round trips to the same Redis."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from redis import Redis

import shipper
from shipper.sections import caller
from stack.redis import Redis as OwnRedis

from .promises import Promise, show

COUNT = 2000
LIMIT_US = 400.0


def main() -> list[Promise]:
    """Both in turns, in one run. The fastest tenth counts: what else the machine does takes time, and gives none."""
    with tempfile.TemporaryDirectory(prefix="rq-shipper-bench-") as folder:
        server = OwnRedis(Path(folder))
        try:
            connection = Redis.from_url(server.url)
            caller._own_connection = lambda: connection  # type: ignore[assignment]
            return _measured(connection)
        finally:
            server.stop()


def _measured(connection: Redis) -> list[Promise]:
    def section() -> None:
        with shipper.critical_section("benchmark"):
            pass

    def pings() -> None:
        connection.ping()
        connection.ping()

    section()  # loads the scripts
    times: dict[Callable[[], None], list[float]] = {section: [], pings: []}
    for _ in range(COUNT):
        for call, taken in times.items():
            begun = time.perf_counter_ns()
            call()
            taken.append((time.perf_counter_ns() - begun) / 1000)
    ours, bare = (statistics.quantiles(taken, n=10)[0] for taken in times.values())
    print(f"an uncontended section: {ours:.0f} µs; two round trips: {bare:.0f} µs")
    return [Promise("an uncontended critical section, µs", ours, most=LIMIT_US, shown="{:.0f}")]


if __name__ == "__main__":
    sys.exit(not show(main()))
