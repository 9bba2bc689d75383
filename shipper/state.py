"""Derives a job's state document from its records; external versions make updates independent of their order.

Every record that changes a job's state carries the whole of it. The shipper writes it beside the record with
an external version, so that records which come late, twice or out of order do no harm: Elasticsearch keeps the
highest version. A plain time would be no version: a late "abandoned" is newer than the success before it, and
clocks differ. So the version is made of the push (each push of a job begins a new epoch), the rank of the
state within it, and a sequence for what repeats. Pure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import orjson

from .records import milliseconds, parse_timestamp, timestamp

STATE_INDEX = "rq-state"

# Within one push a higher rank has the last word: what was seen to succeed outranks what was concluded to be lost.
RANKS = {
    "deferred": 1,
    "scheduled": 2,
    "queued": 3,
    "rate_limited": 3,  # it was never pushed; once it is, a new epoch begins
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
STATES = {
    "job-deferred": "deferred",
    "job-scheduled": "scheduled",
    "job-enqueued": "queued",
    "job-rate-limited": "rate_limited",
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
WAITING_ACTIONS = frozenset(action for action, state in STATES.items() if RANKS[state] < RANKS["started"])
"""Of records after which a job waits for a worker."""
CLOSING_ACTIONS = frozenset(action for action, state in STATES.items() if RANKS[state] > RANKS["started"])
"""Of records that close an execution, or end a job that never started."""
_RANK_BITS, _SEQUENCE_BITS = 4, 16
_SEQUENCE_MOST = (1 << _SEQUENCE_BITS) - 1
# External versions are 0 to 2**63 - 1; one beyond has Elasticsearch refuse the whole request.
_EPOCH_MOST_MS = (1 << 63 - _RANK_BITS - _SEQUENCE_BITS) - 1
_AHEAD_MS = 86_400_000  # by which a push may be later than a record of it: clocks differ

ID_LIMIT = 512  # bytes of an _id, Elasticsearch's own limit: a longer one has it refuse the whole request
_ID_KEPT = 400  # bytes of a longer job id that are kept, before the hash that tells it from others


class _Event(msgspec.Struct, gc=False):
    action: str
    dataset: str = ""
    reason: str | None = None
    sequence: int = 0


class Named(msgspec.Struct, gc=False):
    """An object of a record of which the name matters."""

    name: str | None = None


class Identified(msgspec.Struct, gc=False):
    """An object of a record of which the id matters."""

    id: str | None = None


class _Message(msgspec.Struct, gc=False):
    id: str


class _Messaging(msgspec.Struct, gc=False):
    destination: Named
    message: _Message
    client: Identified | None = None


class Code(msgspec.Struct, gc=False):
    """`code` of a record."""

    function: Named | None = None


class _Rq(msgspec.Struct, gc=False):
    enqueued_at: str | None = None
    created_at: str | None = None
    expires_at: str | None = None
    attempt: int | None = None
    inferred: bool | None = None
    progress: dict[str, Any] | None = None


class _Error(msgspec.Struct, gc=False, omit_defaults=True):
    type: str | None = None
    message: str | None = None


class _JobRecord(msgspec.Struct, rename={"timestamp": "@timestamp"}, gc=False):
    """What a state needs of a job record. Everything else in it is passed over."""

    timestamp: datetime
    event: _Event
    rq: _Rq
    messaging: _Messaging
    code: Code | None = None
    service: Named | None = None
    user: dict[str, Any] | None = None
    organization: dict[str, Any] | None = None
    error: _Error | None = None


class _Document(msgspec.Struct, rename={"timestamp": "@timestamp"}, gc=False, omit_defaults=True):
    """A state as Elasticsearch has it. What is None is left out."""

    timestamp: str
    event: Mapping[str, str]
    state: str
    updated_at: str
    service: Named
    job_id: str | None = None  # where it is too long to be the document's id
    job_type: str | None = None
    family: str | None = None
    queue: str | None = None
    worker: str | None = None
    created_at: str | None = None
    expires_at: str | None = None
    attempt: int | None = None
    user: dict[str, Any] | None = None
    organization: dict[str, Any] | None = None
    error: _Error | None = None  # without the stack trace: that is on the record
    progress: dict[str, Any] | None = None


class State(NamedTuple):
    """A job's state as it is sent: `body` is the `_bulk` action and the document, each with its newline.

    It goes to `rq-state-<namespace>` under `document_id`, with `version` as its external version.
    """

    job_id: str
    version: int
    body: bytes

    @property
    def source(self) -> bytes:
        """The document, as JSON."""
        return self.body.split(b"\n", 2)[1]


_EVENT, _NAMELESS = {"kind": "state"}, Named()
_encode = msgspec.json.Encoder().encode
INFERRED_STATES = ("lost", "expired")
"""States that are told by the reason of a closing record."""
ENDED_STATES = ("canceled", "dead", "deleted", "expired", "finished", "lost", "stopped")
"""States of a job that does not change any more, unless somebody pushes it again."""


def index_name(namespace: str) -> str:
    """The one index of a namespace's states."""
    return f"{STATE_INDEX}-{namespace}"


def document_id(job_id: str) -> str:
    """The `_id` of a job's state: the job's own id, or the beginning of one that is too long and a hash of it."""
    encoded = job_id.encode("utf-8", "surrogatepass")
    if len(encoded) <= ID_LIMIT:
        return job_id
    digest = hashlib.blake2b(encoded, digest_size=16).hexdigest()
    return f"{encoded[:_ID_KEPT].decode('utf-8', 'ignore')}-{digest}"


def job_id_of(hit: Mapping[str, Any]) -> str:
    """The job id of a state as a search returns it (`_id` and `_source`)."""
    return str(hit["_source"].get("job_id", hit["_id"]))


def epoch_of(version: int) -> datetime:
    """When the push was that a version belongs to, to the millisecond."""
    return datetime.fromtimestamp((version >> (_RANK_BITS + _SEQUENCE_BITS)) / 1000, UTC)


def state_from_mapping(record: Mapping[str, Any], namespace: str) -> State | None:
    """The state of a job after this record of it; None if the record changes none, or is not as ours are."""
    try:
        return _state(msgspec.convert(record, _JobRecord), namespace)
    except (msgspec.ValidationError, ValueError, OverflowError, RecursionError):
        return None


def _state(record: _JobRecord, namespace: str) -> State | None:
    """Raises ValueError if the record's times are none."""
    event, rq = record.event, record.rq
    name = STATES.get(event.action)
    job_id = record.messaging.message.id
    if event.dataset != "rq.job" or name is None or not job_id:
        return None
    epoch_ms = _epoch_ms(rq.enqueued_at or rq.created_at, milliseconds(record.timestamp))
    rank = RANKS[_rank_name(name, rq, event)]
    sequence = max(0, min(event.sequence, _SEQUENCE_MOST))
    version = ((epoch_ms << _RANK_BITS | rank) << _SEQUENCE_BITS) | sequence
    action = b'%b%b,"version":%d,"version_type":"external"}}' % (
        action_start(namespace),
        orjson.dumps(document_id(job_id)),
        version,
    )
    return State(job_id, version, b"%b\n%b\n" % (action, _source(record, name)))


def action_start(namespace: str) -> bytes:
    """The `_bulk` action of a state up to its id."""
    return b'{"index":{"_index":"%b","_id":' % index_name(namespace).encode()


def _source(record: _JobRecord, name: str) -> bytes:
    rq = record.rq
    job_id = record.messaging.message.id
    function = record.code.function.name if record.code and record.code.function else None
    return _encode(
        _Document(
            timestamp=timestamp(record.timestamp),
            event=_EVENT,
            state=record.event.reason if record.event.reason in INFERRED_STATES else name,
            updated_at=timestamp(record.timestamp),
            service=record.service or _NAMELESS,
            job_id=job_id if document_id(job_id) != job_id else None,
            job_type=function,
            family=function.rpartition(".")[0] or None if function else None,
            queue=record.messaging.destination.name,
            worker=record.messaging.client.id if record.messaging.client else None,
            created_at=rq.created_at,
            expires_at=rq.expires_at,
            attempt=rq.attempt,
            user=record.user,
            organization=record.organization,
            error=record.error,
            progress=rq.progress,
        )
    )


def _epoch_ms(pushed: str | None, recorded_ms: int) -> int:
    """When the push was, in milliseconds since 1970. One that cannot have been then was when the record was made."""
    epoch_ms = _milliseconds(pushed) if pushed else recorded_ms
    if not 0 <= epoch_ms <= recorded_ms + _AHEAD_MS:
        epoch_ms = recorded_ms
    return max(0, min(epoch_ms, _EPOCH_MOST_MS))


@lru_cache(1024)
def _milliseconds(text: str) -> int:
    """Since 1970. A job's records follow one another, and all of one push state the same moment."""
    return milliseconds(parse_timestamp(text))


def _rank_name(state: str, rq: _Rq, event: _Event) -> str:
    if state == "scheduled" and rq.enqueued_at:
        return "rescheduled"
    if rq.inferred:
        if event.reason in INFERRED_STATES:
            return event.reason
        return "retrying" if state == "retrying" else "inferred"
    return state
