"""Fields, queries and colours that several panels share: said once, so that all panels mean the same by them."""

from __future__ import annotations

# Fields. What they mean: docs/records.md.
JOB = "messaging.message.id"
QUEUE = "messaging.destination.name"
FUNCTION = "code.function.name"
CUSTOMER = "organization.id"
USER = "user.id"
SERVICE = "service.name"
VERSION = "service.version"
HOST = "host.name"
ACTION = "event.action"
OUTCOME = "event.outcome"
REASON = "event.reason"
DATASET = "event.dataset"
DURATION = "event.duration"
LAG = "rq.lag_ms"
PAYLOAD = "messaging.message.body.size"
ERROR = "error.type"
PARENT = "rq.parent_job_id"
ROOT = "rq.root_job_id"
DEPENDS_ON = "rq.depends_on"
TIME = "@timestamp"

# Queries, in KQL.
ENQUEUED = 'event.action : "job-enqueued"'
STARTED = 'event.action : "job-started"'
FINISHED = 'event.action : "job-finished"'
RETRIED = 'event.action : "job-retried"'
DEAD = 'event.action : "job-dead"'
TAKEN_AWAY = 'event.action : ("job-stopped" or "job-canceled" or "job-deleted")'
FAILED = 'event.action : ("job-retried" or "job-dead")'
ATTEMPTED = 'event.action : ("job-finished" or "job-retried" or "job-dead")'
"""Attempts that ended by themselves, well or badly: what a failure rate is the share of."""
ENDED = "rq.final : true"
"""One record for each job that ended: retried attempts are not among them."""
STATE_DEAD = 'state : ("dead" or "expired" or "lost")'
"""What a job-dead record leaves: where it expired or was lost, the state says so."""
STATE_WAITING = 'state : ("queued" or "scheduled" or "deferred" or "retrying")'
STATE_RUNNING = 'state : ("started" or "busy")'

LAG_OBJECTIVE_MS = 60_000
"""How long a job may wait before it counts as late: dashboards and the alert rule go by it."""
IN_TIME = f"rq.lag_ms <= {LAG_OBJECTIVE_MS}"
LATE = f"rq.lag_ms > {LAG_OBJECTIVE_MS}"

# Colours. The first four are outcomes, and nothing else has them.
GREEN, AMBER, RED, GREY = "#54B399", "#D6BF57", "#CC5642", "#98A2B3"
BLUE, VIOLET, PINK = "#6092C0", "#9170B8", "#CA8EAE"

FAILURE_RATE_BANDS = ((0.0, GREEN), (0.01, AMBER), (0.05, RED))
"""From this share on, this colour: up to 1 % is as it should be, from 5 % on somebody has to look."""
IN_TIME_BANDS = ((0.0, RED), (0.95, AMBER), (0.99, GREEN))
LAG_BANDS = ((0.0, GREEN), (LAG_OBJECTIVE_MS / 2, AMBER), (float(LAG_OBJECTIVE_MS), RED))
ANY_IS_BAD = ((0.0, GREEN), (1.0, RED))
