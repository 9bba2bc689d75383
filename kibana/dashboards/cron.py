"""Cron jobs: which are late, when each ran last, and when it is due."""

from __future__ import annotations

from ..colours import ANY_IS_BAD
from ..lens import by, different, distinct, figure, largest, latest, lines, table
from ..objects import Control, Dashboard, Row, Text
from ..words import DATASET, FUNCTION, QUEUE, SAMPLED_NOW, SERVICE
from .said import FROM_WATCH, SAMPLED

OF_CRON = f'{DATASET} : "rq.cron"'
_NAME = "rq.cron.name"

CRON = Dashboard(
    name="cron",
    title="RQ: cron jobs",
    label="Cron",
    description="Which cron jobs are late, when each ran last, and when it is due. From the gauges of `shipper watch`.",
    controls=(
        Control(field=SERVICE, title="Service", view="gauges"),
        Control(field=QUEUE, title="Queue", view="gauges"),
        Control(field=FUNCTION, title="Function", view="gauges"),
    ),
    rows=(
        Row(height=6, panels=(
            (16, figure("gauges", different("Late cron jobs", _NAME, "rq.cron.is_late : true",
                                            whole=f"{_NAME} : * and {SAMPLED_NOW}", bands=ANY_IS_BAD),
                         subtitle=SAMPLED)),
            (16, figure("gauges", largest("Most runs that one missed", "rq.cron.missed", where=SAMPLED_NOW,
                                          bands=ANY_IS_BAD), subtitle=SAMPLED)),
            (16, figure("gauges", distinct("Cron jobs", _NAME, SAMPLED_NOW), subtitle=SAMPLED)),
        )),
        Row(height=16, panels=(
            (48, table("Each cron job now", "gauges",
                       [by(_NAME, "cron job", size=200), by(FUNCTION, "function", width=165), by(QUEUE, "queue")],
                       [largest("missed", "rq.cron.missed", where=SAMPLED_NOW, bands=ANY_IS_BAD),
                        latest("late", "rq.cron.is_late", type="boolean", where=SAMPLED_NOW),
                        latest("schedule", "rq.cron.schedule", type="string", where=SAMPLED_NOW),
                        latest("last run", "rq.cron.last_at", type="date", where=SAMPLED_NOW),
                        latest("next run", "rq.cron.next_at", type="date", where=SAMPLED_NOW),
                        latest("scheduler", "rq.cron.scheduler", type="string", where=SAMPLED_NOW)], where=OF_CRON)),
        )),
        Row(height=11, panels=(
            (48, lines("Missed runs over time", "gauges", [largest("missed", "rq.cron.missed")],
                       split=by(FUNCTION, "function", size=8), where=OF_CRON)),
        )),
        Row(height=3, panels=((48, Text(markdown=FROM_WATCH)),)),
    ),
)  # fmt: skip
