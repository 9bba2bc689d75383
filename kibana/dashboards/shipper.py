"""Does each shipper keep up, is it heard of, and did it put anything aside? From the status that each writes."""

from __future__ import annotations

from ..colours import ANY_IS_BAD, NONE_IS_BAD
from ..lens import by, count, figure, in_unit, largest, latest, lines, newest, table
from ..objects import Control, Dashboard, Row
from ..words import HEARD_NOW, HOST, SECOND_MS
from .said import IN_RANGE

_BACKLOG, _AGE, _LAG = "shipper.backlog_bytes", "shipper.backlog_age_s", "shipper.lag_ms"
_DEAD, _RETRIES, _STATE = "shipper.dead_letters", "shipper.retries", "shipper.state"
_RETRYING = "shipper.retrying_s"
_NOW = "now: the last 5 minutes"


SHIPPER = Dashboard(
    name="shipper",
    title="RQ: the shipper",
    label="Shipper",
    description="Backlog, lag, retries and dead letters of each shipper. What it counts, it counts since its start.",
    controls=(Control(field=HOST, title="Host", view="shipper"),),
    rows=(
        Row(height=5, panels=(
            (8, figure("shipper", largest("Retrying for", _RETRYING, where=HEARD_NOW, bands=ANY_IS_BAD),
                        subtitle=_NOW)),
            (8, figure("shipper", largest("Backlog", _BACKLOG, where=HEARD_NOW), subtitle=_NOW)),
            (8, figure("shipper", largest("Dead letters", _DEAD, bands=ANY_IS_BAD), subtitle=IN_RANGE)),
            (8, figure("shipper", largest("Longest lag", _LAG), subtitle=IN_RANGE)),
            (16, figure("shipper", newest("Last status"), subtitle=IN_RANGE)),
        )),
        Row(height=9, panels=(
            (24, table("Shippers: last heard of, by host", "shipper", [by(HOST, "host", size=100)],
                       [newest("last status"), count("in the last 5 minutes", HEARD_NOW, bands=NONE_IS_BAD),
                        latest("state", _STATE, type="string")],
                       description="A shipper writes its status every 30 seconds. A red one is silent: it has stopped, "
                       "cannot reach Elasticsearch, or its host is gone.")),
            (24, table("Hosts: last record of any job, by host", "jobs", [by(HOST, "host", size=100)],
                       [newest("last record"), count("in the last 5 minutes", HEARD_NOW), count("in the time range")])),
        )),
        Row(height=11, panels=(
            (48, table("Each shipper, as it last said", "shipper", [by(HOST, "host", size=100)],
                       [latest("backlog", _BACKLOG), latest("age of the backlog", _AGE), latest("lag", _LAG),
                        latest("records a second", "shipper.records_per_s"), latest("indexed", "shipper.indexed"),
                        latest("duplicates", "shipper.duplicates"), latest("retries", _RETRIES),
                        latest("dead letters", _DEAD), latest("memory", "shipper.memory_bytes"),
                        latest("files", "shipper.files")])),
        )),
        Row(height=11, panels=(
            (24, lines("Backlog: what is written and not yet indexed", "shipper", [largest("backlog", _BACKLOG)],
                       split=by(HOST, "host"))),
            (24, lines("Lag: from a record's time to its being indexed", "shipper",
                       [in_unit(largest("lag", _LAG), SECOND_MS, "s")], split=by(HOST, "host"))),
        )),
        Row(height=11, panels=(
            (16, lines("Records a second", "shipper", [largest("records", "shipper.records_per_s")],
                       split=by(HOST, "host"))),
            (16, lines("Requests tried again", "shipper", [largest("retries", _RETRIES)], split=by(HOST, "host"))),
            (16, lines("Dead letters over time", "shipper", [largest("dead letters", _DEAD)], split=by(HOST, "host"))),
        )),
    ),
)  # fmt: skip
