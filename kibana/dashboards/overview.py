"""Is everything well? If not, where to look."""

from __future__ import annotations

from ..lens import by, by_outcome, chart, count, figure, lines, ranking, ratio, share, table, total
from ..objects import Dashboard, Row
from ..words import (
    ANY_IS_BAD,
    ATTEMPTED,
    DURATION,
    ENDED,
    ERROR,
    FAILED,
    FAILURE_RATE_BANDS,
    FUNCTION,
    LAG,
    LAG_BANDS,
    QUEUE,
    RED,
    STARTED,
    STATE_DEAD,
    STATE_WAITING,
)
from .controls import JOB_CONTROLS

OVERVIEW = Dashboard(
    name="overview",
    title="RQ: overview",
    label="Overview",
    description="Jobs a minute and how they end, how long they take and wait, what is busy, slow and dead.",
    controls=JOB_CONTROLS,
    rows=(
        Row(height=6, panels=(
            (8, figure("states", count("Dead jobs now", bands=ANY_IS_BAD), where=STATE_DEAD)),
            (8, figure("jobs", ratio("Failure rate", FAILED, bands=FAILURE_RATE_BANDS), where=ATTEMPTED)),
            (8, figure("jobs", count("Jobs ended"), where=ENDED)),
            (8, figure("states", count("Jobs waiting now"), where=STATE_WAITING)),
            (8, figure("jobs", share(95, DURATION, label="Duration, p95"))),
            (8, figure("jobs", share(95, LAG, label="Lag, p95", bands=LAG_BANDS), where=STARTED)),
        )),
        Row(height=11, panels=(
            (28, chart("Jobs a minute, by outcome", "jobs", by_outcome(per_minute=True), goto=["failures"])),
            (20, lines("Failure rate over time", "jobs", [ratio("failed", FAILED, colour=RED)], where=ATTEMPTED,
                       goto=["failures"])),
        )),
        Row(height=11, panels=(
            (24, lines("How long jobs take", "jobs", [share(percent, DURATION) for percent in (50, 95, 99)],
                       goto=["functions"])),
            (24, lines("How long jobs wait (lag)", "jobs", [share(percent, LAG) for percent in (50, 95, 99)],
                       where=STARTED, goto=["queues"])),
        )),
        Row(height=13, panels=(
            (16, ranking("Busiest queues, by time worked", "jobs", by(QUEUE, "queue"), [total("time worked", DURATION)],
                         goto=["queues"])),
            (16, ranking("Slowest functions, by p95", "jobs", by(FUNCTION, "function"), [share(95, DURATION)],
                         goto=["functions"])),
            (16, table("What is dead now", "states", [by(FUNCTION, "function"), by(ERROR, "error", missing=True)],
                       [count("dead", bands=ANY_IS_BAD)], where=STATE_DEAD, goto=["failures"])),
        )),
    ),
)  # fmt: skip
