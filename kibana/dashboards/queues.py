"""Which queues are asked for most, and do they keep up?

What waits now, and for how long, is what the watch samples. All else follows from the jobs' records.
"""

from __future__ import annotations

from ..colours import ANY_IS_BAD, FAILURE_RATE_BANDS, IN_TIME_BANDS, RUNS, WAITS
from ..lens import among, by, chart, count, figure, in_unit, largest, lines, ranking, ratio, share, table, total
from ..objects import Dashboard, Row
from ..words import (
    ATTEMPTED,
    DURATION,
    ENQUEUED,
    FAILED,
    IN_TIME,
    LAG,
    LAG_OBJECTIVE_MS,
    LATE,
    MINUTE_MS,
    MINUTE_NS,
    QUEUE,
    SECOND_NS,
    STARTED,
    STATE_DEAD,
    STATE_RUNNING,
    STATE_WAITING,
)
from .controls import JOB_CONTROLS
from .now import WAITING_BY_QUEUE, WORST_WAIT
from .said import IN_RANGE, NO_ATTEMPT, NOW

_OBJECTIVE = f"{LAG_OBJECTIVE_MS // 1000} s"
_ON_TIME = f"started within {_OBJECTIVE}"

QUEUES = Dashboard(
    name="queues",
    title="RQ: queues",
    label="Queues",
    description="Which queues accrue the most demand, how long jobs wait against the objective, and who keeps up.",
    controls=JOB_CONTROLS,
    rows=(
        # Each so narrow that Kibana writes its figure small enough to leave room for when it is of.
        Row(height=6, panels=(
            (10, WORST_WAIT),
            (9, figure("states", among("Jobs waiting", STATE_WAITING), subtitle=NOW)),
            (9, figure("states", among("Jobs running", STATE_RUNNING), subtitle=NOW)),
            (10, figure("jobs", ratio(f"Started within {_OBJECTIVE}", IN_TIME, bands=IN_TIME_BANDS), where=STARTED,
                        subtitle=IN_RANGE)),
            # Without a colour: one late job among thousands is no trouble. The share beside it says whether it is.
            (10, figure("jobs", among(f"Started later than {_OBJECTIVE}", LATE, whole=STARTED), subtitle=IN_RANGE)),
        )),
        Row(height=10, panels=((24, WAITING_BY_QUEUE), (
            24, table("What lies where now?", "states", [by(QUEUE, "queue", size=50)],
                      [count("waiting", STATE_WAITING), count("running", STATE_RUNNING),
                       count("dead", STATE_DEAD, bands=ANY_IS_BAD), count("all")]),
        ))),
        Row(height=12, panels=(
            (24, ranking("Which queues accrue the most demand? (jobs × duration)", "jobs", by(QUEUE, "queue"),
                         [in_unit(total("time worked", DURATION), MINUTE_NS, "min", digits=1)])),
            (24, chart("Demand over time, by queue", "jobs",
                       [in_unit(total("time worked", DURATION), SECOND_NS, "s", digits=0)],
                       split=by(QUEUE, "queue", size=8))),
        )),
        Row(height=12, panels=(
            (24, table("How long do jobs wait before they start?", "jobs", [by(QUEUE, "queue", size=50)],
                       [share(95, LAG), share(50, LAG), largest("longest", LAG),
                        ratio(_ON_TIME, IN_TIME, bands=IN_TIME_BANDS), count("started")],
                       where=STARTED)),
            (24, lines("Wait over time, by queue (p95), and the objective", "jobs",
                       [in_unit(share(95, LAG), MINUTE_MS, "min")],
                       split=by(QUEUE, "queue", size=8), where=STARTED,
                       line_at=("objective", LAG_OBJECTIVE_MS / MINUTE_MS))),
        )),
        Row(height=12, panels=(
            (48, lines("Do the workers keep up? (jobs a minute)", "jobs",
                       [count("enqueued", ENQUEUED, colour=WAITS, per_minute=True),
                        count("started", STARTED, colour=RUNS, per_minute=True)])),
        )),
        Row(height=10, panels=(
            (48, table("Every queue", "jobs", [by(QUEUE, "queue", size=50)],
                       [total("time worked", DURATION), count("enqueued", ENQUEUED), count("attempts", ATTEMPTED),
                        share(50, DURATION), share(95, DURATION),
                        ratio("failure rate", FAILED, whole=ATTEMPTED, bands=FAILURE_RATE_BANDS)],
                       description=NO_ATTEMPT)),
        )),
    ),
)  # fmt: skip
