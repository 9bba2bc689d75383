"""Fields and queries that several panels share: said once, so that all panels mean the same by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
ATTEMPT = "rq.attempt"
EXECUTION = "rq.execution_id"
WORKER = "messaging.client.id"
STATE = "state"
ACTOR = "audit.actor.type"
RESOURCE = "audit.resource.type"
RULE = "rule.name"
SUBJECT = "rq.alert.subject"
SEVERITY = "rq.alert.severity"
ALARM = "rq.alert.id"
ALARM_STATE = "rq.alert.state"

# Fields that the data views compute (kibana/views.py): a group's name where the field itself may have no value.
WHAT_FAILED = "what_failed"
"""The error's type; of an attempt without one, such as a killed one, the reason; of a state, the state itself."""
RESOURCE_OR_NONE = "resource_or_none"
REASON_OR_NONE = "reason_or_none"
MAX_RSS = "max_rss_bytes"
DUE = "due_at"
"""When a job that is retried, or was scheduled, is due."""
AGAIN, AGAIN_QUEUE, AGAIN_CUSTOMER = "run_again", "run_again_queue", "run_again_customer"
"""A command that runs all dead jobs again that have the same function and error; and the same queue, or customer."""
OF_OBJECTIVE = "of_objective"
"""How long a queue's oldest job has waited, as a share of the queue's objective."""

KINDS_OF_KEYS = ("job", "result", "queue", "registry", "dependents", "shipper", "other")
"""What fills Redis: each has a field, `rq.redis.bytes_by_kind.job` and so on."""

FAILED_ACTIONS = ("job-retried", "job-dead")
ATTEMPTED_ACTIONS = ("job-finished", *FAILED_ACTIONS)
_NO_ATTEMPT = "expired"  # the reason of a job that never ran


def attempts(actions: Sequence[str]) -> str:
    """In KQL: attempts that ended so."""
    either = " or ".join(f'"{action}"' for action in actions)
    return f'{ACTION} : ({either}) and not {REASON} : "{_NO_ATTEMPT}"'


def attempts_query(actions: Sequence[str]) -> dict[str, Any]:
    """The same as a query of Elasticsearch, for Vega."""
    return {"bool": {"filter": [{"terms": {ACTION: [*actions]}}], "must_not": [{"term": {REASON: _NO_ATTEMPT}}]}}


# Queries, in KQL.
ENQUEUED = 'event.action : "job-enqueued"'
STARTED = 'event.action : "job-started"'
FINISHED = 'event.action : "job-finished"'
RETRIED = 'event.action : "job-retried"'
DEAD = 'event.action : "job-dead"'
TAKEN_AWAY = 'event.action : ("job-stopped" or "job-canceled" or "job-deleted")'
FAILED = attempts(FAILED_ACTIONS)
"""Attempts that failed. A job whose time to live ran out in the queue is dead, but no attempt: it never ran."""
ATTEMPTED = attempts(ATTEMPTED_ACTIONS)
"""Attempts that ended by themselves, well or badly: what a failure rate is the share of."""
NOT_WELL = 'event.action : ("job-retried" or "job-dead")'
"""Failed attempts and expired jobs: everything that a page about failures lists."""
EXPIRED = 'event.action : "job-dead" and event.reason : "expired"'
ENDED = "rq.final : true"
"""One record for each job that ended: retried attempts are not among them."""
STATE_DEAD = 'state : ("dead" or "expired" or "lost")'
"""What a job-dead record leaves: where it expired or was lost, the state says so."""
STATE_WAITING = 'state : ("queued" or "scheduled" or "deferred" or "retrying")'
STATE_RUNNING = 'state : ("started" or "busy")'

LAG_OBJECTIVE_MS = 60_000
"""How long a job may wait before it counts as late: dashboards and the alert rule go by it."""
SAMPLED_NOW = "@timestamp >= now-6m"
"""Gauges of now: the watch samples four times a minute, and an idle queue each 20th time, which is each 5 minutes."""
HEARD_NOW = "@timestamp >= now-5m"
DUE_LATER = "rq.retry_at >= now or rq.scheduled_at >= now"
IN_TIME = f"rq.lag_ms <= {LAG_OBJECTIVE_MS}"
LATE = f"rq.lag_ms > {LAG_OBJECTIVE_MS}"

SECOND_NS, MINUTE_NS, SECOND_MS, MINUTE_MS, MINUTE_S = 1_000_000_000, 60_000_000_000, 1_000, 60_000, 60
"""What a figure in nanoseconds, milliseconds or seconds is divided by where an axis has to show round numbers."""
