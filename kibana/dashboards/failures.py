"""What failed, why, and what to do about it first."""

from __future__ import annotations

from ..colours import AMBER, ANY_IS_AMBER, ANY_IS_BAD, ANY_IS_RED, RED
from ..drawings.happened import HAPPENED
from ..drawings.releases import NEW_ERRORS
from ..lens import among, by, chart, count, distinct, donut, figure, largest, newest, table
from ..objects import Dashboard, Row, Shown
from ..words import CUSTOMER, DEAD, FUNCTION, JOB, MAX_RSS, NOT_WELL, QUEUE, REASON, RETRIED, STATE_DEAD, WHAT_FAILED
from .again import OF_FUNCTIONS
from .controls import JOB_CONTROLS
from .said import IN_RANGE, NOW

_VANISHED = 'event.reason : ("abandoned" or "expired" or "lost")'

FAILURES = Dashboard(
    name="failures",
    title="RQ: failures",
    label="Failures",
    description="Retried and dead jobs, by reason and error, and the newest with their stack traces.",
    controls=JOB_CONTROLS,
    rows=(
        Row(height=6, panels=(
            (8, figure("states", among("Dead jobs", STATE_DEAD, bands=ANY_IS_BAD), subtitle=NOW)),
            (8, figure("jobs", among("Died", DEAD, bands=ANY_IS_RED), subtitle=IN_RANGE)),
            (8, figure("jobs", among("Retried", RETRIED, bands=ANY_IS_AMBER), subtitle=IN_RANGE)),
            (8, figure("jobs", among("Killed", f'{NOT_WELL} and event.reason : "killed"'), subtitle=IN_RANGE)),
            (8, figure("jobs", among("Timed out", f'{NOT_WELL} and event.reason : "timeout"'), subtitle=IN_RANGE)),
            (8, figure("jobs", among("Abandoned, expired, lost", f"{NOT_WELL} and {_VANISHED}"), subtitle=IN_RANGE)),
        )),
        Row(height=9, panels=(
            (35, table("Error groups", "jobs",
                       [by(WHAT_FAILED, "what failed", size=50), by(FUNCTION, "function", size=20)],
                       [count("failed"), count("retried", RETRIED), count("dead", DEAD, bands=ANY_IS_BAD),
                        distinct("jobs", JOB), newest("last seen")], where=NOT_WELL, goto=["function"])),
            (13, table("Which customers?", "jobs", [by(CUSTOMER, "customer", size=20)],
                       [count("failed"), count("dead", DEAD)], where=NOT_WELL, goto=["customer"])),
        )),
        Row(height=7, panels=((48, OF_FUNCTIONS),)),
        Row(height=12, panels=(
            (16, chart("Retried and dead over time", "jobs",
                       [count("retried", RETRIED, colour=AMBER), count("dead", DEAD, colour=RED)], where=NOT_WELL)),
            (12, donut("Why?", "jobs", by(REASON, "reason"), count("failed"), where=NOT_WELL)),
            (20, chart("When, by reason", "jobs", [count("failed")], split=by(REASON, "reason"), where=NOT_WELL)),
        )),
        Row(height=7, panels=((48, HAPPENED),)),
        Row(height=9, panels=((48, NEW_ERRORS),)),
        Row(height=10, panels=(
            (14, table("Which queues?", "jobs", [by(QUEUE, "queue", size=20)],
                       [count("failed"), count("dead", DEAD)], where=NOT_WELL, goto=["queue"])),
            (34, table("Which jobs died?", "jobs",
                       [by(JOB, "job", size=50), by(FUNCTION, "function"), by(WHAT_FAILED, "what failed")],
                       [newest("died")], where=DEAD, goto=["job"])),
        )),
        Row(height=10, panels=(
            (22, table("Retries: how far did they get?", "jobs",
                       [by(FUNCTION, "function", size=20), by("rq.retry_verdict", "verdict")],
                       [count("attempts"), largest("furthest attempt", "rq.attempt")], where=NOT_WELL,
                       goto=["function"])),
            (26, table("Killed by which signal, with how much memory?", "jobs",
                       [by("rq.signal", "signal", width=96), by(FUNCTION, "function", size=20)],
                       [count("killed"), largest("most memory", MAX_RSS), newest("last seen")],
                       where="rq.signal : *", goto=["function"])),
        )),
        Row(height=18, panels=((48, Shown(search="failures", title="Newest failures, with stack trace")),)),
    ),
)  # fmt: skip
