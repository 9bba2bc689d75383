"""The dead jobs that are filtered, as commands to copy that run them again. Kibana itself cannot."""

from __future__ import annotations

from ..colours import ANY_IS_BAD
from ..lens import Panel, by, count, table
from ..lens.columns import both
from ..words import AGAIN, AGAIN_CUSTOMER, AGAIN_QUEUE, CUSTOMER

_TOLD = (
    "Each command takes all dead jobs with what it names, and asks before it acts. Only jobs that Redis still has can "
    "run again: RQ keeps them for a year, unless `failure_ttl` says otherwise."
)


def _commands(field: str, where: str = "") -> Panel:
    return table(
        "Run them again: the dead jobs that are filtered, as commands to copy (now)", "states",
        [by(field, "command", size=50)], [count("dead jobs", bands=ANY_IS_BAD)], where=both('state : "dead"', where),
        description=_TOLD,
    )  # fmt: skip


OF_FUNCTIONS, OF_QUEUES = _commands(AGAIN), _commands(AGAIN_QUEUE)
OF_CUSTOMERS = _commands(AGAIN_CUSTOMER, f"{CUSTOMER} : *")
"""Without the jobs that are nobody's: a command for those would run all customers' again."""
