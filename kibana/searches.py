"""The first things that people look for, as saved searches; and the parts of them as saved queries."""

from __future__ import annotations

from .objects import Query, Search
from .objects.data import WHOLE
from .words import (
    ACTION,
    ACTOR,
    ATTEMPT,
    CUSTOMER,
    DATASET,
    DEAD,
    DURATION,
    ENDED,
    ENQUEUED,
    ERROR,
    FAILED,
    FUNCTION,
    HOST,
    JOB,
    LAG,
    LATE,
    MAX_RSS,
    NOT_WELL,
    OUTCOME,
    PAYLOAD,
    QUEUE,
    RETRIED,
    STARTED,
    TIME,
    USER,
    WHAT_FAILED,
)

_OLDEST_FIRST = ((TIME, "asc"),)
# A text-log record is one that was read from a log of RQ's own before there were records.
LEGACY = 'tags : "legacy"'
OPERATOR = 'audit.actor.type : "operator"'

SEARCHES = (
    Search(
        name="slowest", title="RQ: slowest tasks", view="jobs", where=f"{DURATION} : *", sort=((DURATION, "desc"),),
        description="Executions by how long they took.",
        columns=(DURATION, FUNCTION, QUEUE, ACTION, CUSTOMER, JOB),
    ),
    Search(
        name="failed-last-day", title="RQ: failed in the last day", view="jobs",
        where=NOT_WELL, since="now-1d",
        description="Attempts that failed within the last 24 hours, whether retried or not, and jobs that expired.",
        columns=(FUNCTION, ACTION, WHAT_FAILED, "error.message", JOB),
    ),
    Search(
        name="dead", title="RQ: dead jobs", view="jobs", where=DEAD,
        description="Jobs that failed for good.",
        columns=(FUNCTION, WHAT_FAILED, "error.message", CUSTOMER, JOB),
    ),
    Search(
        name="retried", title="RQ: retried jobs", view="jobs", where=RETRIED,
        description="Attempts that failed and were followed by another.",
        columns=(FUNCTION, ERROR, ATTEMPT, "rq.retry_at", JOB), widths={"rq.retry_at": 165},
    ),
    Search(
        name="killed", title="RQ: killed by a signal", view="jobs", where="rq.signal : *",
        description="Work-horses that a signal ended, with the memory they had taken.",
        columns=("rq.signal", FUNCTION, MAX_RSS, DURATION, HOST, JOB),
    ),
    Search(
        name="waited-longest", title="RQ: waiting longest", view="jobs", where=STARTED, sort=((LAG, "desc"),),
        description="Jobs by how long they had waited when they were started.",
        columns=(LAG, QUEUE, FUNCTION, CUSTOMER, JOB),
    ),
    Search(
        name="fattest", title="RQ: fattest payloads", view="jobs", where=ENQUEUED, sort=((PAYLOAD, "desc"),),
        description="Jobs by the size of what was pushed to Redis.",
        columns=(PAYLOAD, "rq.payload_stored_bytes", FUNCTION, QUEUE, JOB),
    ),
    Search(
        name="user-timeline", title="RQ: a user's timeline", view="records", where=f"{USER} : *", sort=_OLDEST_FIRST,
        description="What was done by and for users, in order. Add a filter for user.id.",
        columns=(USER, ACTION, "message", OUTCOME, DATASET, JOB),
    ),
    Search(
        name="operators", title="RQ: operators' actions", view="audit", where=OPERATOR,
        description="What the people who run the system did by hand.",
        columns=(USER, ACTION, OUTCOME, "audit.resource.type", "audit.resource.id", "source.ip"),
    ),
    Search(
        name="legacy", title="RQ: legacy text-log records", view="records", where=LEGACY,
        description="Records that were read from text logs of before.",
        columns=(DATASET, ACTION, "message", "log.level", HOST),
    ),
    # The tables of the pages.
    Search(
        name="failures", title="RQ: newest failures with stack trace", view="jobs", where=NOT_WELL,
        description="Failed attempts, the newest first.",
        columns=(FUNCTION, WHAT_FAILED, "error.message", "error.stack_trace", JOB),
    ),
    Search(
        name="traces", title="RQ: failures with their whole stack traces", view="jobs", where=NOT_WELL, lines=WHOLE,
        description="Failed attempts, the newest first, each with all lines of its stack trace.",
        columns=(WHAT_FAILED, "error.message", "error.stack_trace"), widths={WHAT_FAILED: 170, "error.message": 220},
    ),
    Search(
        name="job", title="RQ: every record and log line of a job", view="records", where=f"{JOB} : *",
        sort=_OLDEST_FIRST,
        description="A job's life in order, with the log lines of its own. Add a filter for messaging.message.id.",
        columns=(ACTION, "message", "rq.attempt", "log.level", "messaging.client.id", JOB),
    ),
    Search(
        name="customer", title="RQ: a customer's timeline", view="records", where=f"{CUSTOMER} : *",
        description="Audit records, jobs and application events of customers in one table.",
        columns=(DATASET, ACTION, "message", OUTCOME, USER, JOB),
    ),
    Search(
        name="customer-audit", title="RQ: what was done by and for customers", view="audit", where=f"{CUSTOMER} : *",
        description="Audit records of customers, the newest first.",
        columns=(ACTION, OUTCOME, USER, "audit.resource.id"), widths={ACTION: 132, OUTCOME: 106, USER: 80},
    ),
    Search(
        name="customer-jobs", title="RQ: customers' jobs that ended", view="jobs", where=f"{CUSTOMER} : * and {ENDED}",
        description="One record for each job of a customer that ended, the newest first.",
        columns=(FUNCTION, ACTION, JOB), widths={FUNCTION: 150, ACTION: 120},
    ),
    Search(
        name="audit", title="RQ: audit trail", view="audit",
        description="Who did what to what.",
        columns=(USER, ACTOR, ACTION, OUTCOME, "audit.resource.type", "audit.resource.id"),
        widths={USER: 110, ACTOR: 120, ACTION: 140, OUTCOME: 110},
    ),
)  # fmt: skip

QUERIES = (
    Query(name="failed", title="RQ: failed attempts", where=FAILED),
    Query(name="dead", title="RQ: dead jobs", where=DEAD),
    Query(name="ended", title="RQ: one record for each job that ended", where=ENDED),
    Query(name="inferred", title="RQ: endings that nobody saw", where="rq.inferred : true"),
    Query(name="operators", title="RQ: operators' actions", where=OPERATOR),
    Query(
        name="denied", title="RQ: denied or failed actions", where=f'{DATASET} : "rq.audit" and {OUTCOME} : "failure"'
    ),
    Query(name="late", title="RQ: started later than the objective", where=f"{STARTED} and {LATE}"),
)
