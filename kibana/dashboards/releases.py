"""What a release did: which functions became slower, what fails more, and which errors came with it."""

from __future__ import annotations

from ..colours import FAILURE_RATE_BANDS
from ..drawings.happened import HAPPENED
from ..drawings.releases import FAILS_MORE, NEW_ERRORS, SLOWER
from ..lens import by, chart, count, earliest, in_unit, lines, newest, ratio, share, table
from ..objects import Control, Dashboard, Row
from ..words import ATTEMPTED, DURATION, FAILED, FUNCTION, QUEUE, SECOND_NS, SERVICE, VERSION
from .said import NO_ATTEMPT

RELEASES = Dashboard(
    name="releases",
    title="RQ: releases",
    label="Releases",
    description="The newest release of each service against the one before it: what became slower, what fails more, "
    "which errors were not seen before, the worst first.",
    since="now-7d",
    controls=(
        Control(field=SERVICE, title="Service", view="jobs"),
        Control(field=QUEUE, title="Queue", view="jobs"),
        Control(field=FUNCTION, title="Function", view="jobs"),
    ),
    rows=(
        Row(height=16, panels=((26, SLOWER), (22, FAILS_MORE))),
        Row(height=10, panels=((48, NEW_ERRORS),)),
        Row(height=9, panels=(
            (48, table("Each release", "jobs", [by(SERVICE, "service"), by(VERSION, "version", size=20)],
                       [earliest("first seen"), newest("last seen"), count("executions"),
                        ratio("failure rate", FAILED, whole=ATTEMPTED, bands=FAILURE_RATE_BANDS),
                        share(95, DURATION)], where=ATTEMPTED, description=NO_ATTEMPT)),
        )),
        Row(height=7, panels=((48, HAPPENED),)),
        Row(height=12, panels=(
            (24, chart("Executions by release", "jobs", [count("executions")], split=by(VERSION, "version", size=8),
                       where=ATTEMPTED)),
            (24, lines("Duration by release (p95)", "jobs", [in_unit(share(95, DURATION), SECOND_NS, "s")],
                       split=by(VERSION, "version", size=5), where=ATTEMPTED)),
        )),
    ),
)  # fmt: skip
