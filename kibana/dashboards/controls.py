"""The lists to choose from that pages about jobs have in common."""

from __future__ import annotations

from ..objects import Control
from ..words import CUSTOMER, FUNCTION, OUTCOME, QUEUE, SERVICE

SERVICE_CONTROL = Control(field=SERVICE, title="Service", view="jobs")

JOB_CONTROLS = (
    SERVICE_CONTROL,
    Control(field=QUEUE, title="Queue", view="jobs"),
    Control(field=FUNCTION, title="Function", view="jobs"),
    Control(field=OUTCOME, title="Outcome", view="jobs"),
    Control(field=CUSTOMER, title="Customer", view="jobs"),
)
