"""Which queues are asked for most, and do they keep up?

What the jobs' records tell. Depth, workers and Redis's memory are gauges: they go below the last row.
"""

from __future__ import annotations

from ..lens import by, chart, count, figure, largest, lines, ranking, ratio, share, table, total
from ..objects import Dashboard, Row
from ..words import (
    AMBER,
    ANY_IS_BAD,
    ATTEMPTED,
    BLUE,
    DURATION,
    ENQUEUED,
    FAILED,
    FAILURE_RATE_BANDS,
    IN_TIME,
    IN_TIME_BANDS,
    LAG,
    LAG_OBJECTIVE_MS,
    LATE,
    QUEUE,
    STARTED,
    STATE_DEAD,
    STATE_RUNNING,
    STATE_WAITING,
)
from .controls import JOB_CONTROLS

_OBJECTIVE = f"{LAG_OBJECTIVE_MS // 1000} s"
_ON_TIME = f"started within {_OBJECTIVE}"

QUEUES = Dashboard(
    name="queues",
    title="RQ: queues",
    label="Queues",
    description="Which queues accrue the most demand, how long jobs wait against the objective, and who keeps up.",
    controls=JOB_CONTROLS,
    rows=(
        Row(height=6, panels=(
            (12, figure("jobs", ratio(f"Started within {_OBJECTIVE}", IN_TIME, bands=IN_TIME_BANDS), where=STARTED)),
            (12, figure("jobs", count(f"Started later than {_OBJECTIVE}", bands=ANY_IS_BAD),
                        where=f"{STARTED} and {LATE}")),
            (12, figure("states", count("Jobs waiting now"), where=STATE_WAITING)),
            (12, figure("states", count("Jobs running now"), where=STATE_RUNNING)),
        )),
        Row(height=12, panels=(
            (20, ranking("Which queues accrue the most demand? (jobs × duration)", "jobs", by(QUEUE, "queue"),
                         [total("time worked", DURATION)])),
            (28, chart("Demand over time, by queue", "jobs", [total("time worked", DURATION)],
                       split=by(QUEUE, "queue", size=8))),
        )),
        Row(height=12, panels=(
            (24, table("How long do jobs wait? (lag)", "jobs", [by(QUEUE, "queue", size=50)],
                       [share(95, LAG), share(50, LAG), largest("longest", LAG),
                        ratio(_ON_TIME, IN_TIME, bands=IN_TIME_BANDS), count("started")],
                       where=STARTED)),
            (24, lines("Lag over time, by queue (p95), and the objective", "jobs", [share(95, LAG)],
                       split=by(QUEUE, "queue", size=8), where=STARTED,
                       line_at=("objective", LAG_OBJECTIVE_MS))),
        )),
        Row(height=12, panels=(
            (24, lines("Do the workers keep up? (jobs a minute)", "jobs",
                       [count("enqueued", ENQUEUED, colour=AMBER, per_minute=True),
                        count("started", STARTED, colour=BLUE, per_minute=True)])),
            (24, table("What lies where now?", "states", [by(QUEUE, "queue", size=50)],
                       [count("waiting", STATE_WAITING), count("running", STATE_RUNNING),
                        count("dead", STATE_DEAD, bands=ANY_IS_BAD), count("all")])),
        )),
        Row(height=10, panels=(
            (48, table("Every queue", "jobs", [by(QUEUE, "queue", size=50)],
                       [total("time worked", DURATION), count("enqueued", ENQUEUED), count("attempts", ATTEMPTED),
                        share(50, DURATION), share(95, DURATION),
                        ratio("failure rate", FAILED, whole=ATTEMPTED, bands=FAILURE_RATE_BANDS)])),
        )),
    ),
)  # fmt: skip
