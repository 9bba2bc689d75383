"""Which functions cost most, and what they cost: time, memory of Redis, failures. And what a release changed."""

from __future__ import annotations

from ..colours import FAILURE_RATE_BANDS
from ..lens import by, chart, count, in_unit, largest, lines, mean, ranking, ratio, share, table, total
from ..objects import Dashboard, Row
from ..words import (
    ATTEMPTED,
    DEAD,
    DURATION,
    ENQUEUED,
    FAILED,
    FUNCTION,
    JOB,
    MINUTE_NS,
    NOT_WELL,
    PAYLOAD,
    RETRIED,
    SECOND_NS,
    VERSION,
    WHAT_FAILED,
)
from .controls import JOB_CONTROLS
from .said import NO_ATTEMPT

_RATE = ratio("failure rate", FAILED, whole=ATTEMPTED, bands=FAILURE_RATE_BANDS)

FUNCTIONS = Dashboard(
    name="functions",
    title="RQ: functions",
    label="Functions",
    description="Which functions take the most time, are slowest, bloat Redis, fail, and what a release changed.",
    controls=JOB_CONTROLS,
    rows=(
        Row(height=13, panels=(
            (24, ranking("Which take the most time in all?", "jobs", by(FUNCTION, "function"),
                         [in_unit(total("time in all", DURATION), MINUTE_NS, "min", digits=1)])),
            (24, ranking("Which are slowest? (p95)", "jobs", by(FUNCTION, "function"),
                         [in_unit(share(95, DURATION), SECOND_NS, "s")])),
        )),
        Row(height=13, panels=(
            (48, table("Every function", "jobs", [by(FUNCTION, "function", size=100)],
                       [total("time in all", DURATION), count("attempts", ATTEMPTED), share(50, DURATION),
                        share(95, DURATION), largest("longest", DURATION), _RATE, count("retried", RETRIED),
                        count("dead", DEAD)], where=ATTEMPTED, description=NO_ATTEMPT)),
        )),
        Row(height=12, panels=(
            (26, table("Which payloads bloat Redis?", "jobs", [by(FUNCTION, "function", size=50)],
                       [total("payloads in all", PAYLOAD), mean("mean", PAYLOAD), largest("largest", PAYLOAD),
                        total("stored in Redis", "rq.payload_stored_bytes"), count("jobs")], where=ENQUEUED)),
            (22, lines("How long do they take over time? (p95 of the slowest five)", "jobs",
                       [in_unit(share(95, DURATION), SECOND_NS, "s")], split=by(FUNCTION, "function", size=5))),
        )),
        Row(height=12, panels=(
            (24, table("Slowest jobs", "jobs", [by(JOB, "job", size=50), by(FUNCTION, "function")],
                       [largest("took", DURATION)], goto=["job"])),
            (24, chart("When is the time spent? (by function)", "jobs",
                       [in_unit(total("time worked", DURATION), SECOND_NS, "s", digits=0)],
                       split=by(FUNCTION, "function", size=8))),
        )),
        Row(height=12, panels=(
            (26, table("What fails, and with what error?", "jobs",
                       [by(FUNCTION, "function", size=50), by(WHAT_FAILED, "what failed")],
                       [count("failed"), count("retried", RETRIED), count("dead", DEAD)],
                       where=NOT_WELL, goto=["failures"])),
            (22, chart("When does it fail? (by function)", "jobs", [count("failed")],
                       split=by(FUNCTION, "function", size=5), where=NOT_WELL, goto=["failures"])),
        )),
        Row(height=12, panels=(
            (48, table("Before and after a release: each version beside the other", "jobs",
                       [by(FUNCTION, "function", size=50)],
                       [count("attempts"), _RATE, share(95, DURATION)],
                       across=by(VERSION, "version", size=3), where=ATTEMPTED, description=NO_ATTEMPT)),
        )),
        Row(height=12, panels=(
            (48, chart("Duration by release (p95 of the slowest)", "jobs",
                       [in_unit(share(95, DURATION), SECOND_NS, "s")],
                       x=by(FUNCTION, "function", size=8), split=by(VERSION, "version", size=3), series="bar",
                       where=ATTEMPTED)),
        )),
    ),
)  # fmt: skip
