"""Every queue as it is now: who waits for how long, what comes and goes, what is due next."""

from __future__ import annotations

from ..colours import NONE_IS_BAD, OF_OBJECTIVE_BANDS, RUNS, WAITS
from ..lens import by, count, different, distinct, earliest, figure, largest, latest, lines, mean, table
from ..objects import Control, Dashboard, Row, Text
from ..words import (
    DATASET,
    DUE,
    DUE_LATER,
    ENQUEUED,
    FUNCTION,
    JOB,
    OF_OBJECTIVE,
    QUEUE,
    SAMPLED_NOW,
    SERVICE,
    STARTED,
    WORKER,
)
from .now import ALARMS, OPEN_ALARMS, WORST_WAIT
from .said import FROM_WATCH, SAMPLED

OF_QUEUES = f'{DATASET} : "rq.queue"'
_LIVE, _SAMPLED = "rq.worker.is_live : true", f"rq.worker.is_live : * and {SAMPLED_NOW}"

QUEUES_NOW = Dashboard(
    name="queuesnow",
    title="RQ: queues now",
    label="Queues now",
    description="What waits in each queue, for how long against its objective, what comes and goes, when it is empty, "
    "and what is due next. From the gauges of `shipper watch`.",
    since="now-3h",
    controls=(
        Control(field=SERVICE, title="Service", view="gauges"),
        Control(field=QUEUE, title="Queue", view="gauges"),
    ),
    rows=(
        Row(height=5, panels=(
            (12, WORST_WAIT),
            (12, OPEN_ALARMS),
            (12, figure("gauges", largest("Most jobs waiting in a queue", "rq.queue.depth", where=SAMPLED_NOW),
                        subtitle=SAMPLED)),
            (12, figure("gauges", different("Live workers", WORKER, _LIVE, whole=_SAMPLED, bands=NONE_IS_BAD),
                        subtitle=SAMPLED)),
        )),
        Row(height=8, panels=(
            (48, table("Each queue now", "gauges", [by(QUEUE, "queue", size=100)],
                       [latest("of its objective", OF_OBJECTIVE, where=SAMPLED_NOW, bands=OF_OBJECTIVE_BANDS),
                        latest("oldest waits for", "rq.queue.oldest_age_s", where=SAMPLED_NOW),
                        latest("objective", "rq.queue.objective_s", where=SAMPLED_NOW),
                        latest("waiting", "rq.queue.depth", where=SAMPLED_NOW),
                        latest("in a second", "rq.queue.enqueued_per_s", where=SAMPLED_NOW),
                        latest("out a second", "rq.queue.dequeued_per_s", where=SAMPLED_NOW),
                        latest("time to empty", "rq.queue.time_to_empty_s", where=SAMPLED_NOW),
                        latest("workers", "rq.queue.workers", where=SAMPLED_NOW, bands=NONE_IS_BAD),
                        latest("utilisation", "rq.queue.utilization", where=SAMPLED_NOW),
                        latest("running", "rq.queue.started", where=SAMPLED_NOW),
                        latest("scheduled", "rq.queue.scheduled", where=SAMPLED_NOW)],
                       where=OF_QUEUES, goto=["queue"],
                       description="Sampled within the last 6 minutes. No time to empty: it grows, stands still, or "
                                   "its rates are not known.")),
        )),
        Row(height=7, panels=(
            (48, table("What is retried or due next, and when?", "due", [by(FUNCTION, "function", size=50)],
                       [distinct("jobs", JOB), distinct("within 5 minutes", JOB, f"{DUE} < now+5m"),
                        distinct("within an hour", JOB, f"{DUE} < now+1h"),
                        distinct("within a day", JOB, f"{DUE} < now+1d"), earliest("next", DUE)],
                       where=DUE_LATER,
                       description="Jobs whose retry or scheduled time lies ahead, whenever that was recorded. One "
                                   "that was cancelled since is among them.")),
        )),
        Row(height=12, panels=(
            (24, lines("In and out of all queues (jobs a minute)", "jobs",
                       [count("enqueued", ENQUEUED, colour=WAITS, per_minute=True),
                        count("started", STARTED, colour=RUNS, per_minute=True)])),
            (24, lines("How long has the oldest job waited? (share of the objective)", "gauges",
                       [largest("of its objective", OF_OBJECTIVE)], split=by(QUEUE, "queue", size=8),
                       line_at=("objective", 1))),
        )),
        Row(height=12, panels=(
            (24, lines("How busy are the workers? (mean utilisation)", "gauges",
                       [mean("utilisation", "rq.queue.utilization")], split=by(QUEUE, "queue", size=8))),
            (24, lines("Jobs waiting", "gauges", [largest("waiting", "rq.queue.depth")],
                       split=by(QUEUE, "queue", size=8))),
        )),
        Row(height=10, panels=((48, ALARMS),)),
        Row(height=3, panels=((48, Text(markdown=FROM_WATCH)),)),
    ),
)  # fmt: skip
