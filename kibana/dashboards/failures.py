"""What failed, why, and what to do about it first."""

from __future__ import annotations

from ..lens import by, chart, count, distinct, donut, figure, largest, newest, table
from ..objects import Dashboard, Row, Shown
from ..words import (
    AMBER,
    ANY_IS_BAD,
    CUSTOMER,
    DEAD,
    ERROR,
    FAILED,
    FUNCTION,
    JOB,
    QUEUE,
    REASON,
    RED,
    RETRIED,
    STATE_DEAD,
)
from .controls import JOB_CONTROLS

_VANISHED = 'event.reason : ("abandoned" or "expired" or "lost")'

FAILURES = Dashboard(
    name="failures",
    title="RQ: failures",
    label="Failures",
    description="Retried and dead jobs, by reason and error, and the newest with their stack traces.",
    controls=JOB_CONTROLS,
    rows=(
        Row(height=6, panels=(
            (8, figure("states", count("Dead jobs now", bands=ANY_IS_BAD), where=STATE_DEAD)),
            (8, figure("jobs", count("Died", colour=RED), where=DEAD)),
            (8, figure("jobs", count("Retried", colour=AMBER), where=RETRIED)),
            (8, figure("jobs", count("Killed"), where=f'{FAILED} and event.reason : "killed"')),
            (8, figure("jobs", count("Timed out"), where=f'{FAILED} and event.reason : "timeout"')),
            (8, figure("jobs", count("Abandoned, expired, lost"), where=f"{FAILED} and {_VANISHED}")),
        )),
        Row(height=12, panels=(
            (20, chart("Retried and dead over time", "jobs",
                       [count("retried", RETRIED, colour=AMBER), count("dead", DEAD, colour=RED)], where=FAILED)),
            (12, donut("Why?", "jobs", by(REASON, "reason"), count("failed"), where=FAILED)),
            (16, chart("When, by reason", "jobs", [count("failed")], split=by(REASON, "reason"), where=FAILED)),
        )),
        Row(height=13, panels=(
            (26, table("Error groups", "jobs",
                       [by(ERROR, "error", size=50, missing=True), by(FUNCTION, "function", size=20)],
                       [count("failed"), count("retried", RETRIED), count("dead", DEAD, bands=ANY_IS_BAD),
                        distinct("jobs", JOB), newest("last seen")], where=FAILED, goto=["functions"])),
            (11, table("Which queues?", "jobs", [by(QUEUE, "queue", size=20)],
                       [count("failed"), count("dead", DEAD)], where=FAILED, goto=["queues"])),
            (11, table("Which customers?", "jobs", [by(CUSTOMER, "customer", size=20)],
                       [count("failed"), count("dead", DEAD)], where=FAILED, goto=["customer"])),
        )),
        Row(height=10, panels=(
            (14, table("Retries: how far did they get?", "jobs",
                       [by(FUNCTION, "function", size=20), by("rq.retry_verdict", "verdict")],
                       [count("attempts"), largest("furthest attempt", "rq.attempt")], where=FAILED,
                       goto=["functions"])),
            (18, table("Killed by which signal, with how much memory (kB)?", "jobs",
                       [by("rq.signal", "signal"), by(FUNCTION, "function", size=20)],
                       [count("killed"), largest("most memory", "rq.max_rss_kb"), newest("last seen")],
                       where="rq.signal : *", goto=["functions"])),
            (16, table("Which jobs died?", "jobs", [by(JOB, "job", size=50), by(FUNCTION, "function")],
                       [newest("died")], where=DEAD, goto=["job"])),
        )),
        Row(height=18, panels=((48, Shown(search="failures", title="Newest failures, with stack trace")),)),
    ),
)  # fmt: skip
