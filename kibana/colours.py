"""Colours: one meaning has one colour, on every page and at every load.

Lens gives colours of its own in the order in which values happen to come, unless a panel stores which value has which.
So each panel stores it, from the tables here. `tests/unit/test_kibana_colours.py` computes how the colours of one table
look to people who are blind to red, green or blue, and that any two can still be told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shipper.index.name_colours import NAMED, assignment

from .words import (
    ACTION,
    ACTOR,
    ALARM_STATE,
    DATASET,
    ERROR,
    FUNCTION,
    HOST,
    LAG_OBJECTIVE_MS,
    OUTCOME,
    QUEUE,
    REASON,
    SEVERITY,
    STATE,
    VERSION,
    WHAT_FAILED,
)

Bands = tuple[tuple[float, str], ...]
"""From this value on, this colour."""

# The four outcomes. Nothing else has these colours.
GREEN, AMBER, RED, GREY = "#209280", "#F5C747", "#C1351D", "#A7B0C0"
NEUTRAL = "#EEF1F7"
"""Of a figure that has no value: neither good nor bad."""

BLUE, VIOLET, PINK = NAMED[0], NAMED[3], NAMED[8]

MEANINGS: Mapping[str, Mapping[str, str]] = {
    OUTCOME: {"success": GREEN, "failure": RED, "unknown": GREY},
    ACTION: {
        "job-finished": GREEN, "job-retried": AMBER, "job-dead": RED, "job-stopped": GREY, "job-canceled": GREY,
        "job-deleted": GREY, "job-enqueued": NAMED[0], "job-started": NAMED[3], "job-scheduled": NAMED[10],
        "job-deferred": NAMED[9], "job-busy": NAMED[11],
    },
    STATE: {
        "finished": GREEN, "retrying": AMBER, "dead": RED, "stopped": GREY, "canceled": GREY, "deleted": GREY,
        "queued": NAMED[0], "started": NAMED[3], "scheduled": NAMED[10], "deferred": NAMED[9], "busy": NAMED[11],
        "expired": NAMED[7], "lost": NAMED[8],
    },
    REASON: {
        "exception": NAMED[1], "timeout": NAMED[0], "killed": NAMED[7], "exited": NAMED[2], "unimportable": NAMED[6],
        "undecodable": NAMED[10], "callback": NAMED[4], "retry_limit": NAMED[11], "abandoned": NAMED[8],
        "lost": NAMED[3], "expired": NAMED[5], "busy": NAMED[9],
    },
    DATASET: {
        "rq.job": NAMED[0], "rq.app": NAMED[2], "rq.audit": NAMED[1], "rq.alert": NAMED[8], "rq.shipper": NAMED[9],
    },
    ACTOR: {
        "user": NAMED[0], "operator": NAMED[1], "system": NAMED[2], "api_key": NAMED[3], "job": NAMED[9],
        "anonymous": NAMED[4],
    },
    SEVERITY: {"warning": AMBER, "critical": RED},
    ALARM_STATE: {"open": RED, "closed": GREEN},
}  # fmt: skip
"""Field → value → colour, for fields whose values are known."""

NAMES = frozenset({QUEUE, FUNCTION, VERSION, HOST, ERROR, WHAT_FAILED})
"""Fields whose values only an installation knows: `shipper setup` stores their colours (index/name_colours.py)."""


WAITS, RUNS, DUE_LATER = (MEANINGS[STATE][state] for state in ("queued", "started", "scheduled"))
"""Of jobs that wait for a worker, that run, and that wait for a time: a pause before a retry is one of those."""
BY_OPERATOR = MEANINGS[ACTOR]["operator"]


def stored(field: str) -> dict[str, Any]:
    """What Lens keeps for a panel that is split by this field (kbn-coloring's `ColorMapping.Config`).

    In the form of before 9.1, which every later version converts as it opens a panel. Values without a colour of their
    own get one in turn; `shipper setup` stores one for each name that it finds.
    """
    if field not in MEANINGS and field not in NAMES:
        raise ValueError(f"no colours are decided for {field}: add it to MEANINGS or NAMES")
    return {
        "assignments": [assignment(value, colour) for value, colour in MEANINGS.get(field, {}).items()],
        "specialAssignments": [{"rule": {"type": "other"}, "color": {"type": "loop"}, "touched": False}],
        "paletteId": "eui_amsterdam_color_blind",
        "colorMode": {"type": "categorical"},
    }


FAILURE_RATE_BANDS: Bands = ((0.0, GREEN), (0.01, AMBER), (0.05, RED))
"""From this share on, this colour: up to 1 % is as it should be, from 5 % on somebody has to look."""
IN_TIME_BANDS: Bands = ((0.0, RED), (0.95, AMBER), (0.99, GREEN))
LAG_BANDS: Bands = ((0.0, GREEN), (LAG_OBJECTIVE_MS / 2, AMBER), (float(LAG_OBJECTIVE_MS), RED))
OF_OBJECTIVE_BANDS: Bands = ((0.0, GREEN), (0.5, AMBER), (1.0, RED))
"""Of the time that a job may wait, as a share of the queue's objective."""
ANY_IS_RED: Bands = ((0.0, NEUTRAL), (1.0, RED))
ANY_IS_AMBER: Bands = ((0.0, NEUTRAL), (1.0, AMBER))
"""Of what may be among many: none is neutral, for it is not known whether there could have been any."""
ANY_IS_BAD: Bands = ((0.0, GREEN), (1.0, RED))
MEMORY_LIMIT_PERCENT, MEMORY_CRITICAL_PERCENT = 80, 90
"""Where the alarm redis_memory opens, and where it is critical, unless shipper.toml says otherwise."""
MEMORY_BANDS: Bands = ((0.0, GREEN), (MEMORY_LIMIT_PERCENT, AMBER), (MEMORY_CRITICAL_PERCENT, RED))
ANY_IS_GOOD: Bands = ((0.0, NEUTRAL), (1.0, GREEN))
"""Of what may not have begun: none is not wrong yet."""
NONE_IS_BAD: Bands = ((0.0, RED), (1.0, GREEN))


def palette(bands: Bands) -> dict[str, Any]:
    """Bands as Lens keeps them: each one's start, and its end once more; the last goes on above its own.

    Kibana gives a figure without a value the colour of the first band (charts' `workoutColorForValue`). So there is one
    before the first, which no figure reaches, and it is neutral: no data is neither green nor red.
    """
    bands = ((bands[0][0] - 1, NEUTRAL), *bands)
    starts = [{"color": colour, "stop": start} for start, colour in bands]
    ends = [*(start for start, _ in bands[1:]), bands[-1][0] + 1]
    return {
        "name": "custom",
        "type": "palette",
        "params": {
            "name": "custom",
            "steps": len(bands),
            "maxSteps": 5,
            "reverse": False,
            "progression": "fixed",
            "continuity": "above",
            "rangeType": "number",
            "rangeMin": bands[0][0],
            "rangeMax": None,
            "colorStops": starts,
            "stops": [{"color": colour, "stop": end} for (_, colour), end in zip(bands, ends, strict=True)],
        },
    }
