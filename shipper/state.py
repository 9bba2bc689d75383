"""A job's state, as one document that is always right: what a record says of it, and which record says the last word.

Every record that changes a job's state carries the whole of it. The shipper writes it beside the record with
an external version, so that records which come late, twice or out of order do no harm: Elasticsearch keeps the
highest version. A plain time would be no version: a late "abandoned" is newer than the success before it, and
clocks differ. So the version is made of the push (each push of a job begins a new epoch), the rank of the
state within it, and a sequence for what repeats. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

STATE_INDEX = "rq-state"

# Within one push a higher rank has the last word: what was seen to succeed outranks what was concluded to be lost.
_RANKS = {
    "deferred": 1,
    "scheduled": 2,
    "queued": 3,
    "started": 4,
    "busy": 5,
    "retrying": 7,
    "rescheduled": 8,  # by a retry, after the attempt that failed
    "lost": 9,
    "expired": 9,
    "inferred": 10,
    "deleted": 11,
    "canceled": 12,
    "stopped": 13,
    "dead": 14,
    "finished": 15,
}
_STATES = {
    "job-deferred": "deferred",
    "job-scheduled": "scheduled",
    "job-enqueued": "queued",
    "job-started": "started",
    "job-progressed": "started",
    "job-busy": "busy",
    "job-retried": "retrying",
    "job-finished": "finished",
    "job-dead": "dead",
    "job-stopped": "stopped",
    "job-canceled": "canceled",
    "job-deleted": "deleted",
}
_RANK_BITS, _SEQUENCE_BITS = 4, 16
_SEQUENCE_MOST = (1 << _SEQUENCE_BITS) - 1


@dataclass(frozen=True, slots=True)
class State:
    """A job's state: `document` goes to `rq-state-<namespace>` under the job's id, with this external version."""

    job_id: str
    version: int
    document: dict[str, Any]


def index_name(namespace: str) -> str:
    """The one index of a namespace's states."""
    return f"{STATE_INDEX}-{namespace}"


def epoch_of(version: int) -> datetime:
    """When the push was that a version belongs to, to the millisecond."""
    return datetime.fromtimestamp((version >> (_RANK_BITS + _SEQUENCE_BITS)) / 1000, UTC)


def state_of(record: Mapping[str, Any]) -> State | None:
    """The state that a job record tells; None of a record that tells none, or is not as ours are."""
    try:
        return _state_of(record)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _state_of(record: Mapping[str, Any]) -> State | None:
    event, rq, messaging = record["event"], record["rq"], record["messaging"]
    state = _STATES.get(event["action"])
    if event.get("dataset") != "rq.job" or state is None:
        return None
    pushed = rq.get("enqueued_at") or rq.get("created_at") or record["@timestamp"]
    epoch_ms = int(datetime.fromisoformat(pushed).timestamp() * 1000)
    rank = _RANKS[_rank_name(state, rq, event)]
    sequence = min(int(event.get("sequence", 0)), _SEQUENCE_MOST)
    version = ((epoch_ms << _RANK_BITS | rank) << _SEQUENCE_BITS) | sequence
    function = record.get("code", {}).get("function", {}).get("name")
    document = {
        "@timestamp": record["@timestamp"],
        "event": {"kind": "state"},
        "job_type": function,
        "family": function.rpartition(".")[0] or None if function else None,
        "state": event["reason"] if event.get("reason") in ("lost", "expired") else state,
        "queue": messaging["destination"]["name"],
        "worker": messaging.get("client", {}).get("id"),
        "created_at": rq.get("created_at"),
        "updated_at": record["@timestamp"],
        "expires_at": rq.get("expires_at"),
        "attempt": rq.get("attempt"),
        "service": {"name": record.get("service", {}).get("name")},
        "user": record.get("user"),
        "organization": record.get("organization"),
        "error": _last_error(record.get("error")),
        "progress": rq.get("progress"),
    }
    return State(
        messaging["message"]["id"], version, {key: value for key, value in document.items() if value is not None}
    )


def _rank_name(state: str, rq: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    if state == "scheduled" and rq.get("enqueued_at"):
        return "rescheduled"
    if rq.get("inferred"):
        if event.get("reason") in ("lost", "expired"):
            return str(event["reason"])
        return "retrying" if state == "retrying" else "inferred"
    return state


def _last_error(error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What failed last, without the stack trace: that is on the record."""
    return {key: value for key, value in error.items() if key in ("type", "message")} if error else None
