"""One function: how long it takes, how it fails, what a release did to it, and its slowest and latest jobs."""

from __future__ import annotations

from ..colours import ANY_IS_BAD, FAILURE_RATE_BANDS
from ..drawings.happened import HAPPENED
from ..lens import (
    among,
    by,
    by_outcome,
    chart,
    count,
    earliest,
    figure,
    in_unit,
    largest,
    latest,
    lines,
    newest,
    ratio,
    share,
    spread,
    table,
)
from ..objects import Control, Dashboard, Row, Shown
from ..words import (
    ACTION,
    ATTEMPTED,
    CUSTOMER,
    DURATION,
    ENDED,
    FAILED,
    FUNCTION,
    JOB,
    NOT_WELL,
    QUEUE,
    SECOND_NS,
    SERVICE,
    STATE_DEAD,
    VERSION,
    WHAT_FAILED,
)
from .again import OF_FUNCTIONS
from .now import OVER_TIME
from .said import IN_RANGE, NO_ATTEMPT, NOW

_RATE = ratio("failure rate", FAILED, whole=ATTEMPTED, bands=FAILURE_RATE_BANDS)

FUNCTION_PAGE = Dashboard(
    name="function",
    title="RQ: one function",
    label="One function",
    description="How long one function takes, how it fails, what a release did to it, its slowest and latest jobs. "
    "Follow a function from any table, or choose one here.",
    controls=(
        Control(field=FUNCTION, title="Function", view="jobs", single=True),
        Control(field=SERVICE, title="Service", view="jobs"),
        Control(field=QUEUE, title="Queue", view="jobs"),
        Control(field=CUSTOMER, title="Customer", view="jobs"),
    ),
    rows=(
        Row(height=6, panels=(
            (8, figure("jobs", ratio("Failure rate", FAILED, bands=FAILURE_RATE_BANDS), where=ATTEMPTED,
                       subtitle=IN_RANGE, description=NO_ATTEMPT)),
            (8, figure("states", among("Dead jobs now", STATE_DEAD, bands=ANY_IS_BAD), subtitle=NOW)),
            (8, figure("jobs", count("Executions"), where=ATTEMPTED, subtitle=IN_RANGE)),
            (8, figure("jobs", share(50, DURATION, label="Duration, p50"), subtitle=IN_RANGE)),
            (8, figure("jobs", share(95, DURATION, label="Duration, p95"), subtitle=IN_RANGE)),
            (8, figure("jobs", share(99, DURATION, label="Duration, p99"), subtitle=IN_RANGE)),
        )),
        Row(height=12, panels=(
            (24, chart("How long do executions take? (how many of each duration)", "jobs", [count("executions")],
                       x=spread("duration", DURATION), where=ATTEMPTED)),
            (24, lines("Duration over time (logarithmic)", "jobs",
                       [in_unit(share(percent, DURATION), SECOND_NS, "s") for percent in (50, 95, 99)], log=True,
                       annotated=OVER_TIME)),
        )),
        Row(height=7, panels=((48, HAPPENED),)),
        Row(height=12, panels=(
            (28, table("With what does it fail?", "jobs", [by(WHAT_FAILED, "what failed", size=50)],
                       [count("failed"), newest("last seen"), earliest("first seen")], where=NOT_WELL,
                       goto=["failures"])),
            (20, chart("How do executions end?", "jobs", by_outcome(), goto=["failures"])),
        )),
        Row(height=12, panels=(
            (30, table("Each release of it", "jobs", [by(VERSION, "version", size=20)],
                       [earliest("first seen"), count("executions"), _RATE, share(50, DURATION), share(95, DURATION)],
                       where=ATTEMPTED, description=NO_ATTEMPT)),
            (18, lines("Duration by release (p95)", "jobs", [in_unit(share(95, DURATION), SECOND_NS, "s")],
                       split=by(VERSION, "version", size=5), where=ATTEMPTED)),
        )),
        Row(height=12, panels=(
            (24, table("Slowest jobs", "jobs", [by(JOB, "job", size=50)],
                       [largest("took", DURATION), newest("ended")],
                       where=ATTEMPTED)),
            (24, table("Latest jobs", "jobs", [by(JOB, "job", size=50)],
                       [newest("ended"), latest("how", ACTION, type="string", width=120)],
                       where=ENDED)),
        )),
        Row(height=9, panels=((48, OF_FUNCTIONS),)),
        Row(height=18, panels=((48, Shown(search="failures", title="Newest failures, with stack trace")),)),
    ),
)  # fmt: skip
