"""One job: its whole story, with the log lines that it wrote."""

from __future__ import annotations

from ..lens import by, chart, count, figure, largest, latest, table, total
from ..objects import Control, Dashboard, Row, Shown, Text
from ..words import ACTION, DATASET, DURATION, ERROR, FUNCTION, JOB, LAG, PAYLOAD, QUEUE, REASON, SERVICE, STARTED

JOB_PAGE = Dashboard(
    name="job",
    title="RQ: one job",
    label="One job",
    description="Every record and log line of one job. Follow a job id from any table, or choose one here.",
    since="now-30d",
    controls=(
        Control(field=JOB, title="Job", view="records", single=True),
        Control(field=SERVICE, title="Service", view="records"),
        Control(field=FUNCTION, title="Function", view="records"),
    ),
    rows=(
        Row(height=6, panels=(
            (8, figure("jobs", latest("Last seen", ACTION, type="string"))),
            (8, figure("jobs", largest("Attempts", "rq.attempt"))),
            (8, figure("jobs", largest("Longest wait", LAG), where=STARTED)),
            (8, figure("jobs", total("Time worked", DURATION))),
            (8, figure("jobs", largest("Payload", PAYLOAD))),
            (8, figure("logs", count("Log lines of its own"), where=f"{JOB} : *")),
        )),
        Row(height=22, panels=((48, Shown(search="job", title="Every record and log line, in order")),)),
        Row(height=10, panels=(
            (24, table("Each execution", "jobs", [by("rq.execution_id", "execution"), by(ACTION, "ending")],
                       [largest("attempt", "rq.attempt"), total("took", DURATION), largest("waited", LAG)],
                       where=f"{DURATION} : *")),
            (24, chart("When", "records", [count("records")], split=by(DATASET, "kind"), where=f"{JOB} : *")),
        )),
        Row(height=10, panels=(
            (36, table("What went wrong?", "jobs", [by(ERROR, "error", missing=True), by(REASON, "reason"),
                                                  by(QUEUE, "queue")],
                       [count("failed")], where=f"{REASON} : *", goto=["failures"])),
            (12, Text(markdown="**No job chosen?** Then this is about all of them. Choose one above, or follow a "
                               "job's id from any other page. The range is the last 30 days.")),
        )),
    ),
)  # fmt: skip
