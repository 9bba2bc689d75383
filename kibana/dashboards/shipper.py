"""Does the shipper keep up, and did it have to put anything aside? From the status that each shipper writes."""

from __future__ import annotations

from ..lens import by, figure, largest, latest, lines, newest, table
from ..objects import Control, Dashboard, Row
from ..words import ANY_IS_BAD, HOST

_BACKLOG, _AGE, _LAG = "shipper.backlog_bytes", "shipper.backlog_age_s", "shipper.lag_ms"
_DEAD, _RETRIES, _STATE = "shipper.dead_letters", "shipper.retries", "shipper.state"


SHIPPER = Dashboard(
    name="shipper",
    title="RQ: the shipper",
    label="Shipper",
    description="Backlog, lag, retries and dead letters of each shipper. What it counts, it counts since its start.",
    controls=(
        Control(field=HOST, title="Host", view="shipper"),
        Control(field=_STATE, title="State", view="shipper"),
    ),
    rows=(
        Row(height=6, panels=(
            (10, figure("shipper", largest("Dead letters", _DEAD, bands=ANY_IS_BAD))),
            (10, figure("shipper", largest("Longest retrying", "shipper.retrying_s", bands=ANY_IS_BAD))),
            (10, figure("shipper", largest("Largest backlog", _BACKLOG))),
            (9, figure("shipper", largest("Longest lag", _LAG))),
            (9, figure("shipper", newest("Last status"))),
        )),
        Row(height=11, panels=(
            (48, table("Each shipper now", "shipper", [by(HOST, "host", size=100)],
                       [latest("state", _STATE, type="string"),
                        latest("backlog", _BACKLOG), latest("age of the backlog", _AGE), latest("lag", _LAG),
                        latest("records a second", "shipper.records_per_s"), latest("indexed", "shipper.indexed"),
                        latest("duplicates", "shipper.duplicates"), latest("retries", _RETRIES),
                        latest("dead letters", _DEAD), latest("memory", "shipper.memory_bytes"),
                        latest("files", "shipper.files"), newest("last status")])),
        )),
        Row(height=11, panels=(
            (24, lines("Backlog: what is written and not yet indexed", "shipper", [largest("backlog", _BACKLOG)],
                       split=by(HOST, "host"))),
            (24, lines("Lag: from a record's time to its being indexed", "shipper", [largest("lag", _LAG)],
                       split=by(HOST, "host"))),
        )),
        Row(height=11, panels=(
            (16, lines("Records a second", "shipper", [largest("records", "shipper.records_per_s")],
                       split=by(HOST, "host"))),
            (16, lines("Requests tried again", "shipper", [largest("retries", _RETRIES)], split=by(HOST, "host"))),
            (16, lines("Dead letters over time", "shipper", [largest("dead letters", _DEAD)], split=by(HOST, "host"))),
        )),
    ),
)  # fmt: skip
