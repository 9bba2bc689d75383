"""Who did what to what, what operators did, and what was denied."""

from __future__ import annotations

from ..lens import by, chart, count, distinct, donut, figure, newest, table
from ..objects import Control, Dashboard, Row, Shown
from ..searches import OPERATOR
from ..words import ACTION, AMBER, CUSTOMER, GREEN, GREY, OUTCOME, REASON, RED, SERVICE, USER

_DENIED = f'{OUTCOME} : "failure"'
_ACTOR, _RESOURCE, _WHICH = "audit.actor.type", "audit.resource.type", "audit.resource.id"

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
        Control(field=_ACTOR, title="Kind of actor", view="audit"),
        Control(field=OUTCOME, title="Outcome", view="audit"),
    ),
    rows=(
        Row(height=6, panels=(
            (12, figure("audit", count("Denied or failed", colour=RED), where=_DENIED)),
            (12, figure("audit", count("By operators", colour=AMBER), where=OPERATOR)),
            (12, figure("audit", count("Actions"))),
            (12, figure("audit", distinct("Users", USER))),
        )),
        Row(height=14, panels=(
            (32, table("Who did what to what?", "audit",
                       [by(USER, "user", size=50), by(ACTION, "action", size=20),
                        by(_RESOURCE, "resource", missing=True)],
                       [count("times"), count("denied", _DENIED), newest("last")], goto=["customer"])),
            (16, chart("When, and how it ended", "audit",
                       [count("success", f'{OUTCOME} : "success"', colour=GREEN),
                        count("failure", _DENIED, colour=RED),
                        count("unknown", f'{OUTCOME} : "unknown"', colour=GREY)])),
        )),
        Row(height=12, panels=(
            (19, table("What was denied, to whom, why?", "audit",
                       [by(USER, "user", size=50), by(ACTION, "action"), by(REASON, "reason", missing=True)],
                       [count("times"), newest("last")], where=_DENIED)),
            (11, donut("Who acts?", "audit", by(_ACTOR, "actor"), count("actions"))),
            (18, table("What did operators touch?", "audit",
                       [by(USER, "user"), by(ACTION, "action"), by(_WHICH, "what")],
                       [count("times"), newest("last")], where=OPERATOR)),
        )),
        Row(height=14, panels=((48, Shown(search="operators", title="Operators' actions, the newest first")),)),
        Row(height=18, panels=((48, Shown(search="audit", title="The audit trail, the newest first")),)),
    ),
)  # fmt: skip
