"""One queue: how long jobs wait in it, whether its workers keep up, and what is in it."""

from __future__ import annotations

from ..colours import ANY_IS_BAD, FAILURE_RATE_BANDS, IN_TIME_BANDS, RUNS, WAITS
from ..drawings.happened import HAPPENED
from ..lens import (
    among,
    by,
    chart,
    count,
    figure,
    in_unit,
    largest,
    latest,
    lines,
    mean,
    newest,
    ratio,
    share,
    spread,
    table,
    total,
)
from ..objects import Control, Dashboard, Row
from ..words import (
    ACTION,
    ATTEMPTED,
    CUSTOMER,
    DURATION,
    ENDED,
    ENQUEUED,
    FAILED,
    FUNCTION,
    IN_TIME,
    JOB,
    LAG,
    LAG_OBJECTIVE_MS,
    MINUTE_S,
    NOT_WELL,
    QUEUE,
    SECOND_MS,
    SERVICE,
    STARTED,
    STATE_DEAD,
    STATE_RUNNING,
    STATE_WAITING,
    WHAT_FAILED,
)
from .again import OF_QUEUES
from .now import OVER_TIME, WAITING_BY_QUEUE, WORST_WAIT
from .said import IN_RANGE, NO_ATTEMPT, NOW

_OBJECTIVE = f"{LAG_OBJECTIVE_MS // 1000} s"

QUEUE_PAGE = Dashboard(
    name="queue",
    title="RQ: one queue",
    label="One queue",
    description="How long jobs wait in one queue, whether its workers keep up, and what is in it. Follow a queue from "
    "any table, or choose one here.",
    controls=(
        Control(field=QUEUE, title="Queue", view="jobs", single=True),
        Control(field=SERVICE, title="Service", view="jobs"),
    ),
    rows=(
        Row(height=6, panels=(
            (8, WORST_WAIT),
            (8, figure("states", among("Jobs waiting", STATE_WAITING), subtitle=NOW)),
            (8, figure("states", among("Jobs running", STATE_RUNNING), subtitle=NOW)),
            (8, figure("jobs", ratio(f"Started within {_OBJECTIVE}", IN_TIME, bands=IN_TIME_BANDS), where=STARTED,
                       subtitle=IN_RANGE)),
            (8, figure("jobs", share(95, LAG, label="Lag, p95"), where=STARTED, subtitle=IN_RANGE)),
            (8, figure("states", among("Dead jobs now", STATE_DEAD, bands=ANY_IS_BAD), subtitle=NOW)),
        )),
        Row(height=7, panels=((27, HAPPENED), (21, WAITING_BY_QUEUE))),
        Row(height=12, panels=(
            (24, lines("In and out (jobs a minute)", "jobs",
                       [count("enqueued", ENQUEUED, colour=WAITS, per_minute=True),
                        count("started", STARTED, colour=RUNS, per_minute=True)])),
            (24, lines("Oldest waiting job (minutes, from the watch)", "gauges",
                       [in_unit(largest("oldest waits for", "rq.queue.oldest_age_s"), MINUTE_S, "min")])),
        )),
        Row(height=12, panels=(
            (24, chart("How long do jobs wait? (how many of each lag)", "jobs", [count("jobs")],
                       x=spread("lag", LAG), where=STARTED)),
            (24, lines("Lag over time, and the objective (logarithmic)", "jobs",
                       [in_unit(share(percent, LAG), SECOND_MS, "s") for percent in (50, 95, 99)], where=STARTED,
                       log=True, line_at=("objective", LAG_OBJECTIVE_MS / SECOND_MS), annotated=OVER_TIME)),
        )),
        Row(height=12, panels=(
            (28, table("What is in it? (by function)", "jobs", [by(FUNCTION, "function", size=50)],
                       [total("time worked", DURATION), count("enqueued", ENQUEUED), share(95, DURATION),
                        ratio("failure rate", FAILED, whole=ATTEMPTED, bands=FAILURE_RATE_BANDS)], goto=["function"],
                       description=NO_ATTEMPT)),
            (20, lines("How busy are its workers?", "gauges", [mean("utilisation", "rq.queue.utilization")])),
        )),
        Row(height=12, panels=(
            (24, table("With what do its jobs fail?", "jobs",
                       [by(WHAT_FAILED, "what failed", size=30), by(FUNCTION, "function", size=20)],
                       [count("failed"), newest("last seen")], where=NOT_WELL, goto=["failures"])),
            (24, table("Whose jobs? (customers, by time worked)", "jobs", [by(CUSTOMER, "customer", size=30)],
                       [total("time worked", DURATION), count("enqueued", ENQUEUED)])),
        )),
        Row(height=12, panels=(
            (24, table("Waited longest", "jobs", [by(JOB, "job", size=50)],
                       [largest("waited", LAG), newest("started")], where=STARTED)),
            (24, table("Latest jobs", "jobs", [by(JOB, "job", size=50)],
                       [newest("ended"), latest("how", ACTION, type="string", width=120)],
                       where=ENDED)),
        )),
        Row(height=9, panels=((48, OF_QUEUES),)),
    ),
)  # fmt: skip
