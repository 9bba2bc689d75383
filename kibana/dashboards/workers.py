"""The workers: who lives, who is silent, what runs and for how long, how busy they are."""

from __future__ import annotations

from ..colours import ANY_IS_BAD, NONE_IS_BAD
from ..drawings.running import RUNNING_NOW
from ..lens import by, different, distinct, figure, largest, latest, lines, mean, table
from ..objects import Control, Dashboard, Row, Text
from ..words import DATASET, FUNCTION, HOST, JOB, QUEUE, SAMPLED_NOW, SERVICE, WORKER
from .said import FROM_WATCH, SAMPLED

OF_WORKERS = f'{DATASET} : "rq.worker"'
_LIVE, _SILENT = "rq.worker.is_live : true", "rq.worker.is_live : false"
_SAMPLED = f"rq.worker.is_live : * and {SAMPLED_NOW}"
_BUSY = "rq.worker.running_jobs > 0"

WORKERS = Dashboard(
    name="workers",
    title="RQ: workers",
    label="Workers",
    description="Which workers live and which are silent, what runs now and for how long compared with what is usual, "
    "how busy they are. From the gauges of `shipper watch`.",
    since="now-3h",
    controls=(
        Control(field=SERVICE, title="Service", view="gauges"),
        Control(field=HOST, title="Host", view="gauges"),
        Control(field=FUNCTION, title="Function", view="gauges"),
    ),
    rows=(
        Row(height=5, panels=(
            (12, figure("gauges", different("Live workers", WORKER, _LIVE, whole=_SAMPLED, bands=NONE_IS_BAD),
                        subtitle=SAMPLED)),
            (12, figure("gauges", different("Silent workers", WORKER, _SILENT, whole=_SAMPLED, bands=ANY_IS_BAD),
                        subtitle=SAMPLED,
                        description="They neither ended in order nor are they heard of: killed, hung, or their host "
                                    "is gone.")),
            (12, figure("gauges", different("Busy workers", WORKER, _BUSY, whole=_SAMPLED), subtitle=SAMPLED)),
            (12, figure("gauges", largest("Runs for the longest time", "rq.worker.busy_s", where=SAMPLED_NOW),
                        subtitle=SAMPLED)),
        )),
        Row(height=9, panels=((48, RUNNING_NOW),)),
        Row(height=14, panels=(
            (48, table("Each worker now", "gauges", [by(WORKER, "worker", size=200), by(HOST, "host")],
                       [latest("silent for", "rq.worker.heartbeat_age_s", where=SAMPLED_NOW),
                        latest("alive", "rq.worker.is_live", type="boolean", where=SAMPLED_NOW),
                        latest("queues", "rq.worker.queues", type="string", where=SAMPLED_NOW),
                        latest("runs for", "rq.worker.busy_s", where=SAMPLED_NOW),
                        latest("last function", FUNCTION, type="string", width=160),
                        latest("last job", JOB, type="string"),
                        latest("memory", "rq.worker.rss_bytes", where=SAMPLED_NOW)], where=OF_WORKERS)),
        )),
        Row(height=12, panels=(
            (16, lines("How busy are they? (mean utilisation, by queue)", "gauges",
                       [mean("utilisation", "rq.queue.utilization")], split=by(QUEUE, "queue", size=8))),
            (16, lines("Live workers over time, by host", "gauges",
                       [distinct("workers", WORKER, "rq.worker.is_live : true")], split=by(HOST, "host"),
                       where=OF_WORKERS)),
            (16, lines("Most memory of a worker, by host", "gauges", [largest("memory", "rq.worker.rss_bytes")],
                       split=by(HOST, "host"), where=OF_WORKERS)),
        )),
        Row(height=3, panels=((48, Text(markdown=FROM_WATCH)),)),
    ),
)  # fmt: skip
