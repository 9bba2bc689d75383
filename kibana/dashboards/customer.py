"""One customer: what they and their users did, and what was done for them, in one table."""

from __future__ import annotations

from ..colours import ANY_IS_BAD, FAILURE_RATE_BANDS
from ..lens import among, by, by_outcome, chart, count, distinct, figure, newest, ratio, table, total
from ..objects import Control, Dashboard, Row, Shown
from ..words import (
    ACTION,
    ATTEMPTED,
    CUSTOMER,
    DATASET,
    DEAD,
    DURATION,
    ENDED,
    FAILED,
    FUNCTION,
    RETRIED,
    USER,
)
from .again import OF_CUSTOMERS
from .said import IN_RANGE, NO_ATTEMPT

_THEIRS = f"{CUSTOMER} : *"

CUSTOMER_PAGE = Dashboard(
    name="customer",
    title="RQ: one customer",
    label="One customer",
    description="What a customer did and what was done for them, first from the audit trail, then their jobs. "
    "Choose the customer above.",
    since="now-7d",
    controls=(
        Control(field=CUSTOMER, title="Customer", view="records"),
        Control(field=USER, title="User", view="records"),
    ),
    rows=(
        Row(height=5, panels=(
            (8, figure("jobs", among("Jobs died", DEAD, bands=ANY_IS_BAD), where=_THEIRS, subtitle=IN_RANGE)),
            (8, figure("jobs", ratio("Failure rate", FAILED, bands=FAILURE_RATE_BANDS),
                       where=f"{ATTEMPTED} and {_THEIRS}", subtitle=IN_RANGE, description=NO_ATTEMPT)),
            (8, figure("jobs", among("Jobs ended", ENDED), where=_THEIRS, subtitle=IN_RANGE)),
            (8, figure("jobs", total("Time worked for them", DURATION), where=_THEIRS, subtitle=IN_RANGE)),
            (8, figure("audit", count("Audited actions"), where=_THEIRS, subtitle=IN_RANGE)),
            (8, figure("records", distinct("Users seen", USER), where=_THEIRS, subtitle=IN_RANGE)),
        )),
        Row(height=17, panels=(
            (26, Shown(search="customer-audit", title="What they did, and what was done for them (audit)")),
            (22, Shown(search="customer-jobs", title="Their jobs that ended, the newest first")),
        )),
        Row(height=8, panels=((48, OF_CUSTOMERS),)),
        Row(height=18, panels=((48, Shown(search="customer", title="Everything that happened, in one table")),)),
        Row(height=11, panels=(
            (24, chart("When, by kind of record", "records", [count("records")], split=by(DATASET, "kind"),
                       where=_THEIRS)),
            (24, chart("Their jobs, by outcome", "jobs", by_outcome(), where=_THEIRS, goto=["failures"])),
        )),
        Row(height=11, panels=(
            (17, table("Which customers?", "records", [by(CUSTOMER, "customer", size=50)],
                       [count("records"), newest("last seen")], goto=["customer"])),
            (17, table("Their users", "records", [by(USER, "user", size=50)], [count("records"), newest("last seen")],
                       where=_THEIRS)),
            (14, table("What was done", "records", [by(ACTION, "action", size=50)],
                       [count("times")], where=_THEIRS)),
        )),
        Row(height=10, panels=(
            (48, table("Their jobs, by function", "jobs", [by(FUNCTION, "function", size=50)],
                       [count("attempts", ATTEMPTED), total("time worked", DURATION), count("retried", RETRIED),
                        count("dead", DEAD, bands=ANY_IS_BAD),
                        ratio("failure rate", FAILED, whole=ATTEMPTED, bands=FAILURE_RATE_BANDS)],
                       where=_THEIRS, goto=["function"], description=NO_ATTEMPT)),
        )),
    ),
)  # fmt: skip
