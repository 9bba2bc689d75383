"""What is true now, from the gauges and alarms of the watch: panels that several pages have in common."""

from __future__ import annotations

from ..colours import ANY_IS_RED, BY_OPERATOR, OF_OBJECTIVE_BANDS, RED
from ..lens import Annotation, by, computed, decimals, distinct, figure, largest, latest, less, newest, table
from ..words import ACTION, ACTOR, ALARM, ALARM_STATE, OF_OBJECTIVE, QUEUE, RULE, SAMPLED_NOW, SEVERITY, SUBJECT
from .said import SAMPLED

WORST_WAIT = figure(
    "gauges",
    largest("Oldest job, of its objective", OF_OBJECTIVE, where=SAMPLED_NOW, bands=OF_OBJECTIVE_BANDS),
    subtitle=SAMPLED,
    description="For how long the oldest job of any queue has waited, as a share of the queue's objective.",
)  # fmt: skip

WAITING_BY_QUEUE = table(
    "Oldest waiting job, by queue, now", "gauges", [by(QUEUE, "queue", size=50)],
    [
        latest("of its objective", OF_OBJECTIVE, where=SAMPLED_NOW, bands=OF_OBJECTIVE_BANDS),
        latest("oldest waits for", "rq.queue.oldest_age_s", where=SAMPLED_NOW),
        latest("waiting", "rq.queue.depth", where=SAMPLED_NOW),
        latest("workers", "rq.queue.workers", where=SAMPLED_NOW),
    ],
    where=f"{OF_OBJECTIVE} : *", goto=["queue"],
    description="From RQ's Redis, sampled by `shipper watch` within the last 6 minutes. The objective is that of the "
    "setting `objectives`: 15 minutes by default.",
)  # fmt: skip

OVER_TIME = (
    Annotation(
        name="alarms", label="alarm", view="alarms", where=f'{ACTION} : "alarm-opened"', text=RULE, colour=RED,
        icon="bell",
    ),
    Annotation(
        name="operators", label="operator", view="audit", where=f'{ACTOR} : "operator"', text=ACTION,
        colour=BY_OPERATOR, icon="editorComment",
    ),
)  # fmt: skip
"""What stands as marks on charts over time: alarms that opened, and what operators did."""

OPEN_ALARMS = figure(
    "alarms",
    computed(
        "Open alarms", less(distinct("seen", ALARM), distinct("over", ALARM, f'{ALARM_STATE} : "closed"')),
        format=decimals(0), bands=ANY_IS_RED,  # none is neutral: without a watch there are none either
    ),
    subtitle="opened in the time range",
    description="Alarms of `shipper watch` that opened in the time range and are not over.",
)  # fmt: skip

ALARMS = table(
    "Alarms in the time range", "alarms", [by(RULE, "rule", size=30), by(SUBJECT, "subject", size=30)],
    [
        newest("last"),
        latest("state", ALARM_STATE, type="string", width=84),
        latest("severity", SEVERITY, type="string", width=96),
        distinct("times", ALARM),
    ],
)  # fmt: skip
