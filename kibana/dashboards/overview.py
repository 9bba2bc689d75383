"""Is everything well? If not, where to look."""

from __future__ import annotations

from ..colours import ANY_IS_BAD, FAILURE_RATE_BANDS, LAG_BANDS, RED
from ..drawings.happened import HAPPENED
from ..lens import among, by, by_outcome, chart, count, figure, in_unit, lines, ranking, ratio, share, table, total
from ..objects import Dashboard, Row, Text
from ..words import (
    ATTEMPTED,
    DURATION,
    ENDED,
    FAILED,
    FUNCTION,
    LAG,
    LAG_OBJECTIVE_MS,
    MINUTE_NS,
    QUEUE,
    SECOND_MS,
    SECOND_NS,
    STARTED,
    STATE_DEAD,
    STATE_WAITING,
    WHAT_FAILED,
)
from .controls import JOB_CONTROLS
from .now import ALARMS, OPEN_ALARMS, OVER_TIME, WAITING_BY_QUEUE, WORST_WAIT
from .said import IN_RANGE, NO_ATTEMPT, NOTHING_HERE, NOW

OVERVIEW = Dashboard(
    name="overview",
    title="RQ: overview",
    label="Overview",
    description="Jobs a minute and how they end, how long they take and wait, what is busy, slow and dead.",
    controls=JOB_CONTROLS,
    rows=(
        Row(height=5, panels=(
            (12, figure("states", among("Dead jobs", STATE_DEAD, bands=ANY_IS_BAD), subtitle=NOW)),
            (12, figure("jobs", ratio("Failure rate", FAILED, bands=FAILURE_RATE_BANDS), where=ATTEMPTED,
                        subtitle=IN_RANGE, description=NO_ATTEMPT)),
            (12, WORST_WAIT),
            (12, OPEN_ALARMS),
        )),
        Row(height=9, panels=(
            (28, chart("Jobs a minute, by outcome", "jobs", by_outcome(per_minute=True), goto=["failures"],
                       annotated=OVER_TIME)),
            (20, lines("Failure rate over time", "jobs", [ratio("failed", FAILED, colour=RED)], where=ATTEMPTED,
                       goto=["failures"], description=NO_ATTEMPT, annotated=OVER_TIME)),
        )),
        Row(height=7, panels=((48, HAPPENED),)),
        Row(height=5, panels=(
            (12, figure("states", among("Jobs waiting", STATE_WAITING), subtitle=NOW)),
            (12, figure("jobs", among("Jobs ended", ENDED), subtitle=IN_RANGE)),
            (12, figure("jobs", share(95, DURATION, label="Duration, p95"), subtitle=IN_RANGE)),
            (12, figure("jobs", share(95, LAG, label="Wait before the start, p95", bands=LAG_BANDS), where=STARTED,
                        subtitle=IN_RANGE)),
        )),
        Row(height=3, panels=((48, Text(markdown=NOTHING_HERE)),)),
        Row(height=9, panels=((21, WAITING_BY_QUEUE), (27, ALARMS))),
        Row(height=11, panels=(
            (24, lines("How long jobs take (logarithmic)", "jobs",
                       [in_unit(share(percent, DURATION), SECOND_NS, "s") for percent in (50, 95, 99)],
                       log=True, goto=["functions"])),
            (24, lines("How long jobs wait, and the objective (logarithmic)", "jobs",
                       [in_unit(share(percent, LAG), SECOND_MS, "s") for percent in (50, 95, 99)],
                       where=STARTED, log=True, goto=["queues"],
                       line_at=("objective", LAG_OBJECTIVE_MS / SECOND_MS))),
        )),
        Row(height=13, panels=(
            (24, ranking("Busiest queues, by time worked", "jobs", by(QUEUE, "queue"),
                         [in_unit(total("time worked", DURATION), MINUTE_NS, "min", digits=1)], goto=["queue"])),
            (24, ranking("Slowest functions, by p95", "jobs", by(FUNCTION, "function"),
                         [in_unit(share(95, DURATION), SECOND_NS, "s")], goto=["function"])),
        )),
        Row(height=11, panels=(
            (48, table("What is dead now", "states",
                       [by(FUNCTION, "function"), by(WHAT_FAILED, "what failed"), by(QUEUE, "queue")],
                       [count("dead", bands=ANY_IS_BAD)], where=STATE_DEAD, goto=["failures"])),
        )),
    ),
)  # fmt: skip
