"""The first page for an installation in which nothing was recorded yet: what has arrived, and what to check."""

from __future__ import annotations

from ..colours import ANY_IS_GOOD
from ..lens import count, figure, newest
from ..objects import Control, Dashboard, Row, Text
from ..words import HEARD_NOW, SERVICE

_RECENT = "in the last 5 minutes"

_CHECKS = """
### Nothing yet? Three things to check

1. **Do the workers write records?** They need `SHIPPER_LOG` and the job class:
   `RQ_JOB_CLASS=shipper.LoggedJob rq worker …`. `tail -f $SHIPPER_LOG` shows a line for each job.
2. **Does the shipper send them?** `shipper status` on each host says what it has read and sent, and what holds it up.
   Its status arrives here as *Status of the shipper*.
3. **Does the watch run?** `shipper watch`, one for each Redis. Without it there are no alarms, and nobody knows how
   long jobs wait that no worker starts.

`shipper doctor` looks for all of this by itself, and says what to do.

Records are there, but the other pages are empty? Then the time range at the top right does not reach them, or something
is chosen above the panels.
"""

START = Dashboard(
    name="start",
    title="RQ: start here",
    label="Start here",
    description="What has arrived, and three things to check if nothing has.",
    since="now-24h",
    controls=(Control(field=SERVICE, title="Service", view="records"),),
    rows=(
        Row(height=6, panels=(
            (10, figure("jobs", count("Records of jobs", HEARD_NOW, bands=ANY_IS_GOOD), subtitle=_RECENT)),
            (10, figure("shipper", count("Status of the shipper", HEARD_NOW, bands=ANY_IS_GOOD), subtitle=_RECENT)),
            (10, figure("gauges", count("Samples of the watch", HEARD_NOW, bands=ANY_IS_GOOD), subtitle=_RECENT)),
            (18, figure("jobs", newest("Newest record of a job"), subtitle="in the time range")),
        )),
        Row(height=13, panels=((48, Text(markdown=_CHECKS.strip())),)),
    ),
)  # fmt: skip
