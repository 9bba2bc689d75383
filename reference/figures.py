"""Measured figures: they stand in docs/performance.md, marked, and what is made of them is made from there.

    <!-- figure: shipped -->180,000<!-- end -->

The table in README (`costs`) and docs/sizing.md (`sizing`) name the command that measures each.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from .markdown import page, table

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "docs/performance.md"
_FIGURE = re.compile(r"<!-- figure: (\w+) -->(.*?)<!-- end -->", re.DOTALL)
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")
BEGIN, END = "<!-- Made by `make reference` from docs/performance.md. -->\n", "<!-- End of what is made. -->\n"

# What it costs → the text with figures in it, the command that measures them.
COSTS = (
    ("a job, in its worker", "{emission} of CPU for each record, in a loop; in all {delay} of CPU more on Worker, "
     "which forks, and {delay_unforked} on SimpleWorker", "emission"),
    ("a shipper", "one CPU second for {shipped} records, states included; {memory} of memory", "shipping"),
    ("until it is found", "{lag} after it was written (median; p99 {lag_p99})", "lag"),
    ("Elasticsearch", "{indexed} records a second on two cores; the shipper adds {elasticsearch_share}", "real_server"),
    ("a job, in bytes", "{log_bytes} of log (a tenth once it is rotated and indexed), {index_bytes} of index, "
     "{state_bytes} of state, without replicas", "index_size"),
    ("an audit event", "{audit} of CPU", "audit"),
)  # fmt: skip

RATES = (100, 1_000, 100_000)  # jobs a second
RECORDS = 3  # of a job: enqueued, started, finished
DAY_S = 86_400
CORES = 2  # on which `indexed` was measured
HEADROOM = 2  # twice what is needed on average: jobs come in waves
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
DAYS = 90  # the default retention of records of jobs


@cache
def figures() -> Mapping[str, str]:
    """Each marked figure, as it is written there."""
    found = _FIGURE.findall(SOURCE.read_text(encoding="utf-8"))
    return {name: " ".join(text.split()) for name, text in found}


def number(name: str) -> float:
    """The first number of a figure."""
    found = _NUMBER.search(figures()[name])
    if found is None:
        raise ValueError(f"the figure {name} in {SOURCE.name} has no number: {figures()[name]}")
    return float(found[0].replace(",", ""))


def readme() -> str:
    """README, with the table of costs as it should be."""
    before, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    rows = [(what, text.format_map(figures()), f"`python -m benchmarks.{by}`") for what, text, by in COSTS]
    return f"{before}{BEGIN}\n{table(('of', 'cost', 'measured by'), rows)}\n\n{END}{after}"


def sizing() -> str:
    """docs/sizing.md."""
    heads = ("", *(f"{rate:,} jobs/s" for rate in RATES))
    return page(
        "Sizing",
        "Computed from the figures that are marked in [performance.md](performance.md), which were measured on two "
        f"virtual cores. A job has {RECORDS} records: enqueued, started, finished. Each failed attempt has two more. "
        f"Cores are for {HEADROOM} times the average rate. Disks are for what was measured, without replicas: one "
        "replica doubles Elasticsearch's disk and cores.",
        table(heads, [(what, *(compute(rate) for rate in RATES)) for what, compute in ROWS.items()]),
        "What to do about it:",
        "- **100 jobs/s** fit on one machine, with Elasticsearch of 4 GB of memory, if its disk is large enough.\n"
        "- **1,000 jobs/s** want Elasticsearch on machines of its own, and a look at "
        "[retention](settings.md): its disk decides how many days are kept.\n"
        "- **100,000 jobs/s** come from many machines: each has a shipper for its own log, so that none of them has "
        "much to do. What matters is Elasticsearch: its cores, and days of retention instead of months. Count jobs in "
        "[Prometheus or StatsD](counting.md), and keep the records for as long as somebody asks for single jobs.",
        "Gauges of `shipper watch` and audit records are not included: the former are a few records each 15 seconds, "
        "of the latter you decide how many there are. Measure your own records with "
        "`python -m benchmarks.index_size` and `make bench`.",
    )


def _records(rate: float) -> str:
    return f"{rate * RECORDS:,.0f}"


def _log(rate: float) -> str:
    return _bytes(rate * DAY_S * number("log_bytes"))


def _log_rate(rate: float) -> str:
    return f"{_bytes(rate * number('log_bytes'))}/s"


def _shippers(rate: float) -> str:
    return _cores(rate * RECORDS * HEADROOM / number("shipped"))


def _elasticsearch(rate: float) -> str:
    return _cores(rate * RECORDS * HEADROOM / number("indexed") * CORES)


def _index(rate: float, days: float = 1) -> str:
    return _bytes(rate * DAY_S * days * (number("index_bytes") + number("state_bytes")))


def _kept(rate: float) -> str:
    return _index(rate, DAYS)


def _bytes(size: float) -> str:
    """In a decimal unit, with at least two figures."""
    power = int(math.log10(size) // 3)
    shown = size / 1000**power
    return f"{shown:,.{0 if shown >= 10 else 1}f} {UNITS[power]}"


def _cores(cores: float) -> str:
    return "< 0.01" if cores < 0.01 else f"{cores:.2f}" if cores < 1 else f"{cores:,.0f}"


ROWS = {
    "records a second": _records,
    "log written": _log_rate,
    "log in a day": _log,
    "cores of shippers": _shippers,
    "cores of Elasticsearch": _elasticsearch,
    "Elasticsearch's disk in a day": _index,
    f"Elasticsearch's disk after {DAYS} days (the default)": _kept,
}
