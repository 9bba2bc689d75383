"""One job: what became of it and why, first; then its attempts, its log lines, and the jobs around it."""

from __future__ import annotations

from ..drawings.job_story import ATTEMPTS, STORY
from ..drawings.relatives import RELATIVES
from ..lens import among, by, count, figure, largest, latest, table, total
from ..objects import Control, Dashboard, Row, Shown
from ..words import (
    ACTION,
    DEPENDS_ON,
    DURATION,
    FUNCTION,
    JOB,
    LAG,
    PARENT,
    PAYLOAD,
    QUEUE,
    REASON,
    ROOT,
    SERVICE,
    STARTED,
    WHAT_FAILED,
)

JOB_PAGE = Dashboard(
    name="job",
    title="RQ: one job",
    label="One job",
    description="What became of one job, why, its attempts, its log lines, and the jobs around it. "
    "Follow a job's id from any table, or choose one here.",
    since="now-30d",
    controls=(
        Control(field=JOB, title="Job", view="records", single=True),
        Control(field=SERVICE, title="Service", view="records"),
        Control(field=FUNCTION, title="Function", view="records"),
    ),
    rows=(
        Row(height=14, panels=((48, STORY),)),
        Row(height=9, panels=((48, ATTEMPTS),)),
        Row(height=20, panels=((48, Shown(search="job", title="Every record and log line, in order")),)),
        Row(height=9, panels=(
            (28, table("Which jobs does it come from?", "jobs",
                       [by(PARENT, "enqueued by"), by(ROOT, "first of the chain")],
                       [count("records")], where=f"{PARENT} : *")),
            (20, table("Which jobs does it wait for?", "jobs", [by(DEPENDS_ON, "waits for")],
                       [count("records")], where=f"{DEPENDS_ON} : *")),
        )),
        Row(height=11, panels=((48, RELATIVES),)),
        Row(height=5, panels=(
            (13, figure("jobs", latest("Last seen", ACTION, type="string"))),
            (7, figure("jobs", largest("Attempts", "rq.attempt"))),
            (7, figure("jobs", largest("Longest wait", LAG), where=STARTED)),
            (7, figure("jobs", total("Time worked", DURATION))),
            (7, figure("jobs", largest("Payload", PAYLOAD))),
            (7, figure("logs", among("Own log lines", f"{JOB} : *"))),
        )),
        Row(height=10, panels=(
            (26, table("Each execution", "jobs", [by("rq.execution_id", "execution"), by(ACTION, "ending")],
                       [largest("attempt", "rq.attempt"), total("took", DURATION), largest("waited", LAG)],
                       where=f"{DURATION} : *")),
            (22, table("What went wrong?", "jobs", [by(WHAT_FAILED, "what failed"), by(REASON, "reason"),
                                                  by(QUEUE, "queue")],
                       [count("failed")], where=f"{REASON} : *", goto=["failures"])),
        )),
        Row(height=18, panels=((48, Shown(search="traces", title="Its failures, with the whole stack trace")),)),
    ),
)  # fmt: skip
