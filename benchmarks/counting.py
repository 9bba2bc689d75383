"""What counting costs: a record that is counted, a record that is not, and a span.

    python -m benchmarks.counting

CPU time of one process in a loop, the best of many rounds: what others do on the machine only adds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from shipper import settings
from shipper.ship.counting.counter import JobCounter
from shipper.ship.counting.spans import span
from shipper.ship.reader import state_store
from shipper.ship.reader.framer import Framed, Framer
from shipper.ship.source.tail import Block

from .promises import Promise, show
from .shipping import write_records

COUNT, ROUNDS = 1800, 60  # records of a block of 2 MB
MOST_US = 3.0  # for a record
MOST_SPAN_US = 20.0


class _Source:
    path = Path("/none")
    rereadable = True


def best_us(work: Callable[[], object], count: int) -> float:
    """Microseconds of CPU for each of `count`."""
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times) / count * 1e6


def main() -> list[Promise]:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        write_records(path, COUNT)
        data = path.read_bytes()
    block = Block(_Source(), 0, data)  # type: ignore[arg-type]
    framer, counter = Framer(settings.load(environment={}), "host"), JobCounter(None, 500)

    def frame(*, counts: bool) -> Framed | None:
        states = state_store.make("default")
        return framer.frame(block, "file", datetime.now(UTC), states, trusted=True, counts=counts)

    def count() -> None:
        framed = frame(counts=True)
        if framed is None or framed.tally is None:
            raise RuntimeError("framing.c was not compiled, which makes the figures worthless")
        counter.add(framed.tally.series())

    lines = data.splitlines()
    ended = [line for line in lines if span(line) is not None]
    off_us, on_us = best_us(lambda: frame(counts=False), COUNT), best_us(count, COUNT)
    span_us = best_us(lambda: [span(line) for line in ended], len(ended))
    print(f"Counting: a record takes {off_us:.2f} us without and {on_us:.2f} us with it, a span {span_us:.1f} us")
    return [
        Promise("counting: CPU of a record more", on_us - off_us, most=MOST_US, shown="{:.2f} us"),
        Promise("counting: CPU of a span", span_us, most=MOST_SPAN_US, shown="{:.1f} us"),
    ]


if __name__ == "__main__":
    sys.exit(not show(main()))
