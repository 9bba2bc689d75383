"""The dead jobs that are filtered, as commands to copy that run them again. Kibana itself cannot."""

from __future__ import annotations

from ..colours import ANY_IS_BAD
from ..lens import Panel, by, count, table
from ..words import AGAIN, AGAIN_CUSTOMER, AGAIN_QUEUE

_TOLD = (
    "Each command takes all dead jobs with what it names, and asks before it acts. Only jobs that Redis still has can "
    "run again: RQ keeps them for a year, unless `failure_ttl` says otherwise."
)


def _commands(field: str) -> Panel:
    return table(
        "Run them again: the dead jobs that are filtered, as commands to copy (now)", "states",
        [by(field, "command", size=50)], [count("dead jobs", bands=ANY_IS_BAD)], where='state : "dead"',
        description=_TOLD,
    )  # fmt: skip


OF_FUNCTIONS, OF_QUEUES, OF_CUSTOMERS = (_commands(field) for field in (AGAIN, AGAIN_QUEUE, AGAIN_CUSTOMER))
