"""Who did what to what, what operators did, and what was denied."""

from __future__ import annotations

from ..colours import ANY_IS_AMBER, GREEN, GREY, RED
from ..lens import among, by, chart, count, distinct, donut, figure, newest, table
from ..objects import Control, Dashboard, Row, Shown
from ..searches import OPERATOR
from ..words import (
    ACTION,
    ACTOR,
    CUSTOMER,
    OUTCOME,
    REASON_OR_NONE,
    RESOURCE_OR_NONE,
    SERVICE,
    USER,
)
from .said import IN_RANGE

_DENIED = f'{OUTCOME} : "failure"'
_WHICH = "audit.resource.id"

AUDIT = Dashboard(
    name="audit",
    title="RQ: audit",
    label="Audit",
    description="Who did what to what; operators' actions; denied actions.",
    since="now-7d",
    where=f'not {ACTION} : "chain-sealed"',
    controls=(
        Control(field=SERVICE, title="Service", view="audit"),
        Control(field=CUSTOMER, title="Customer", view="audit"),
        Control(field=USER, title="User", view="audit"),
        Control(field=ACTOR, title="Actor type", view="audit"),
        Control(field=OUTCOME, title="Outcome", view="audit"),
    ),
    rows=(
        Row(height=5, panels=(
            (12, figure("audit", among("Denied or failed", _DENIED, bands=ANY_IS_AMBER), subtitle=IN_RANGE)),
            (12, figure("audit", among("By operators", OPERATOR), subtitle=IN_RANGE)),
            (12, figure("audit", count("Actions"), subtitle=IN_RANGE)),
            (12, figure("audit", distinct("Users", USER), subtitle=IN_RANGE)),
        )),
        Row(height=14, panels=(
            (30, table("Who did what to what?", "audit",
                       [by(USER, "user", size=50), by(ACTION, "action", size=20), by(RESOURCE_OR_NONE, "resource")],
                       [count("times"), count("denied", _DENIED), newest("last")], goto=["customer"])),
            (18, chart("When, and how it ended", "audit",
                       [count("success", f'{OUTCOME} : "success"', colour=GREEN),
                        count("failure", _DENIED, colour=RED),
                        count("unknown", f'{OUTCOME} : "unknown"', colour=GREY)])),
        )),
        Row(height=12, panels=(
            (30, table("What was denied, to whom, why?", "audit",
                       [by(USER, "user", size=50), by(ACTION, "action"), by(REASON_OR_NONE, "reason")],
                       [count("times"), newest("last")], where=_DENIED)),
            (18, donut("Who acts?", "audit", by(ACTOR, "actor"), count("actions"))),
        )),
        Row(height=12, panels=(
            (48, table("What did operators touch?", "audit",
                       [by(USER, "user"), by(ACTION, "action"), by(_WHICH, "what", width=330)],
                       [count("times"), newest("last")], where=OPERATOR)),
        )),
        Row(height=14, panels=((48, Shown(search="operators", title="Operators' actions, the newest first")),)),
        Row(height=18, panels=((48, Shown(search="audit", title="The audit trail, the newest first")),)),
    ),
)  # fmt: skip
