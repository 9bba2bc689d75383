"""JobSnapshot: what RQ's Job object knows, read once into an immutable tuple. Never unpickles a payload.

Unpickling runs code that another process put there. Only the work-horse may do that, through RQ itself, as it is about
to run the job anyway. Everything here reads the fields beside the payload.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from rq.job import UNEVALUATED

from ..context import Actor, RunningJob
from ..job_fields import CARRIED_FIELD, attempts, called_function, function_in_payload, parse_carried

if TYPE_CHECKING:
    from rq.job import Job

    from ..sections.unique import Unique

_CARRIED_KEY = CARRIED_FIELD.encode()
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class JobMarks:
    """Our state of one RQ Job object, kept as one attribute on it.

    `carried`: the enqueuer's context, as stored in the job's hash.
    `stored_bytes`: the payload's size in Redis, None if unknown.
    `raised`, `callback_raised`: `sys.exc_info()` of the function and of its callback.
    `start_recorded`: another wrapper of this process writes job-started.
    `asked_for_retry`: the function returned a Retry.
    `unique`: what a job that was just created has to claim before it is pushed, and under which name.
    """

    # Defaults of the class, so that creating one for each job sets nothing.
    carried: Mapping[str, Any] = _NOTHING
    stored_bytes: int | None = None
    raised: Any = None
    callback_raised: Any = None
    start_recorded = False
    asked_for_retry = False
    unique: tuple[Unique, str] | None = None


_MARKS = "_shipper"


def marks_of(job: Job) -> JobMarks:
    """The marks of a job, created on first use."""
    marks: JobMarks | None = job.__dict__.get(_MARKS)
    if marks is None:
        marks = job.__dict__[_MARKS] = JobMarks()
    return marks


NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class JobSnapshot(NamedTuple):
    """A job at one point in time. Times are aware datetimes, None where RQ has not set them yet.

    `args` and `kwargs` are None where they would have to be unpickled: set only in the enqueuer and the work-horse.
    They are the job's own objects and have to be redacted before they are written.

    `payload_bytes` is the size of the payload, `payload_stored_bytes` its size in Redis, where RQ compresses it.

    A tuple, because two are created for each job and a frozen dataclass takes more than twice as long.
    """

    job_id: str
    queue: str
    function: str | None = None
    payload_bytes: int | None = None
    created_at: datetime | None = None
    enqueued_at: datetime | None = None
    attempt: int = 1
    max_attempts: int = 1
    retries_left: int = 0
    group_id: str | None = None
    depends_on: tuple[str, ...] = ()
    ttl_s: int | None = None
    payload_stored_bytes: int | None = None
    rate_limit_key: str | None = None
    # What the job carries from its enqueuer: see `_from_enqueuer`.
    scheduled_at: datetime | None = None
    parent_job_id: str | None = None
    root_job_id: str | None = None
    rate_limited_at: datetime | None = None
    cron_name: str | None = None
    context: Mapping[str, str] = NO_CONTEXT
    # What changes while the job runs comes last: see `_changing`.
    started_at: datetime | None = None
    ended_at: datetime | None = None
    args: tuple[Any, ...] | None = None
    kwargs: Mapping[str, Any] | None = None
    meta: Mapping[Any, Any] | None = None

    @property
    def waits_since(self) -> datetime | None:
        """When the job was due. Its lag counts from then."""
        return self.scheduled_at or self.rate_limited_at or self.enqueued_at


_UNCHANGED = JobSnapshot._fields.index("started_at")


def carry(
    job: Job,
    context: Mapping[str, str],
    parent: RunningJob | None,
    actor: Actor | None = None,
    request_id: str | None = None,
) -> None:
    """Store on the job what its later records need.

    That is the enqueuer's context, the actor, the web request's id, the parent job, and the number of attempts.
    """
    carried: dict[str, Any] = dict(_carried(job))
    if context:
        carried["context"] = dict(context)
    if parent:
        carried["parent"], carried["root"] = parent.job_id, parent.root_job_id
    if actor:
        carried["actor"] = [*actor]
    if request_id:
        carried["request"] = request_id
    if (name := _method_name(job)) is not None:
        carried["function"] = name
    if carried:
        marks_of(job).carried = carried
    carry_attempts(job)


def is_carrying(job: Job) -> bool:
    """Whether `carry` has stored something on the job."""
    return bool(_carried(job))


def carry_attempts(job: Job) -> None:
    """Store the number of attempts: RQ keeps only how many retries are left."""
    if job.retries_left:
        marks_of(job).carried = {**_carried(job), "max_attempts": job.retries_left + 1}


def carry_last_attempt(job: Job) -> None:
    """Store that there will be no other attempt, before its retries are taken away."""
    marks_of(job).carried = {**_carried(job), "max_attempts": from_job(job).attempt}


def carry_family(job: Job, family: str) -> None:
    """Store the family of the job's critical section, to find it by."""
    marks_of(job).carried = {**_carried(job), "family": family}


def carry_cron(job: Job, name: str | None) -> None:
    """Store the name of the cron job that enqueued it."""
    if name:
        marks_of(job).carried = {**_carried(job), "cron": name}


def carry_rate_limit(job: Job) -> None:
    """Store when the job began to wait for its rate limit. Its lag counts from then."""
    marks_of(job).carried = {**_carried(job), "rate_limited_at": datetime.now(UTC).timestamp()}


def carry_schedule(job: Job, at: datetime) -> None:
    """Store when the job is due. Its lag counts from then. As in RQ, a time without a zone is local time."""
    marks_of(job).carried = {**_carried(job), "scheduled_at": at.timestamp()}


def forget_schedule(job: Job) -> None:
    """Remove the stored schedule and rate limit: the job is pushed for another reason."""
    carried = _carried(job)
    if "scheduled_at" in carried or "rate_limited_at" in carried:
        kept = {name: value for name, value in carried.items() if name not in ("scheduled_at", "rate_limited_at")}
        marks_of(job).carried = kept


def carried_bytes(job: Job) -> bytes | None:
    """What `carry` stored, as JSON for the job's hash in Redis. None if there is nothing."""
    carried = _carried(job)
    return orjson.dumps(carried) if carried else None


def restore(job: Job, raw: Mapping[Any, Any]) -> None:
    """Read what `carry` stored from a job's raw hash. Values that are not ours are ignored."""
    stored = raw.get(_CARRIED_KEY) or raw.get(CARRIED_FIELD)
    if stored and (carried := parse_carried(stored)):
        marks_of(job).carried = carried


def from_job(job: Job) -> JobSnapshot:
    """The snapshot of a job, with what this process can read of it."""
    marks = marks_of(job)
    carried = marks.carried
    retries_left = job.retries_left or 0
    returned = getattr(job, "number_of_retries", None) or 0
    max_attempts, attempt = attempts(retries_left, returned, carried.get("max_attempts"))
    # In the order of JobSnapshot's fields: by their names it would take twice as long.
    return JobSnapshot._make(
        (
            job.id,
            job.origin or "",
            function_name(job),
            _payload_bytes(job),
            job.created_at,
            job.enqueued_at,
            attempt,
            max_attempts,
            retries_left,
            job.group_id,
            tuple(job._dependency_ids),
            job.ttl,
            marks.stored_bytes,
            getattr(job, "rate_limit_key", None),
            *(_from_enqueuer(carried) if carried else _CARRIES_NOTHING),
            *_changing(job),
        )
    )


_CARRIES_NOTHING = (None, None, None, None, None, NO_CONTEXT)


def _from_enqueuer(carried: Mapping[str, Any]) -> tuple[Any, ...]:
    """The fields of a snapshot that the job carries."""
    return (
        _datetime(carried.get("scheduled_at")),
        _id(carried.get("parent")),
        _id(carried.get("root")),
        _datetime(carried.get("rate_limited_at")),
        _id(carried.get("cron")),
        _context(carried),
    )


def _changing(job: Job) -> tuple[Any, ...]:
    """The last fields of a snapshot. RQ unpickles the arguments lazily: None if it has not yet."""
    args, kwargs, meta = getattr(job, "_args", UNEVALUATED), getattr(job, "_kwargs", UNEVALUATED), job.meta
    return (
        job.started_at,
        job.ended_at,
        None if args is UNEVALUATED else args,
        None if kwargs is UNEVALUATED else kwargs,
        meta if isinstance(meta, dict) and meta else None,
    )


def at_ending(job: Job, started: JobSnapshot | None) -> JobSnapshot:
    """The snapshot of a job whose function returned: that of its start, with what has changed since."""
    if started is None or started.job_id != job.id:
        return from_job(job)
    return JobSnapshot._make((*started[:_UNCHANGED], *_changing(job)))  # a third of the time of `_replace`


def note_stored_bytes(job: Job, data: object) -> None:
    """Remember the size of the payload in Redis, where RQ compresses it."""
    if isinstance(data, bytes):
        marks_of(job).stored_bytes = len(data)


def _evaluated(job: Job, name: str) -> Any:
    """An attribute of the job that RQ unpickles lazily. None if it is not unpickled yet."""
    value = getattr(job, name, UNEVALUATED)
    return None if value is UNEVALUATED else value


def retry_in_s(job: Job) -> float | None:
    """Seconds until RQ's next attempt, should this one fail; None if there will be none."""
    return float(job.get_retry_interval()) if job.should_retry else None


def running(job: JobSnapshot, execution_id: str | None) -> RunningJob:
    """The part of the snapshot that log lines and jobs created while this one runs refer to."""
    root = job.root_job_id or job.job_id
    return RunningJob(job.job_id, job.function, job.queue, job.attempt, execution_id, root, job.parent_job_id)


def context_of(job: Job) -> Mapping[str, str]:
    """The log context of the job's enqueuer."""
    return _context(_carried(job))


def _context(carried: Mapping[str, Any]) -> Mapping[str, str]:
    stored = carried.get("context")
    if not isinstance(stored, dict):
        return NO_CONTEXT
    return {name: value for name, value in stored.items() if isinstance(value, str)}


def actor_of(job: Job) -> Actor | None:
    """The actor who enqueued the job. None if none was set, or the stored value is not ours."""
    stored = _carried(job).get("actor")
    if not isinstance(stored, list) or len(stored) != len(Actor._fields):
        return None
    kind, identifier, name, roles, effective = stored
    if not isinstance(kind, str) or not isinstance(roles, list):
        return None
    return Actor(
        kind, _id(identifier), _id(name), tuple(role for role in roles if isinstance(role, str)), _id(effective)
    )


def request_of(job: Job) -> str | None:
    """The id of the web request in which the job was enqueued."""
    return _id(_carried(job).get("request"))


def _carried(job: Job) -> Mapping[str, Any]:
    marks: JobMarks | None = job.__dict__.get(_MARKS)
    return _NOTHING if marks is None else marks.carried


def _id(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _datetime(seconds: object) -> datetime | None:
    """A stored time, None if it is none: anybody who can write to Redis can store anything."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, float | int) else None
    except (ValueError, OverflowError, OSError):
        return None


def _payload_bytes(job: Job) -> int | None:
    """The size of the uncompressed payload."""
    try:
        return len(job.data)
    except Exception:  # a serializer of the user's own may raise anything
        return None


def function_name(job: Job) -> str | None:
    """The dotted name of the job's function: RQ's if it has read it already, else from the payload's bytes.

    If only the job's own serializer can read the payload, the name is taken from the description that RQ made.
    """
    name = _method_name(job) or _carried(job).get("function")
    if isinstance(name, str):
        return name
    name = job._func_name
    if isinstance(name, str):
        return name
    with contextlib.suppress(Exception):  # a payload may be anything at all
        if name := function_in_payload(job.data):
            return name
    return called_function(job.description)


def _method_name(job: Job) -> str | None:
    """`module.Class.method` of a bound method or callable object, whose RQ name lacks the class. None for functions."""
    owner, name = _evaluated(job, "_instance"), job._func_name
    if owner is None or not isinstance(name, str):
        return None
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__module__}.{kind.__qualname__}.{name}"
