"""What RQ's objects know about a job, read once into a frozen object, without ever unpickling a payload.

Payloads are pickles: whoever loads one runs what another process put there. Only the work-horse, which is
about to run the job anyway, does that (through RQ itself); everybody else reads what lies beside.
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
from ..forking import no_fork
from ..job_fields import CARRIED_FIELD, attempts, called_function, parse_carried

if TYPE_CHECKING:
    from rq.job import Job

_CARRIED_KEY = CARRIED_FIELD.encode()


class JobMarks:
    """What we keep on a Job object: one object under one name, out of RQ's way.

    `carried` is the enqueuer's context as it stands in Redis, `stored_bytes` the payload's size there. `raised` and
    `callback_raised` are exc_info's; `start_recorded`: this process writes job-started where it knows most of the job;
    `asked_for_retry`: the function returned a Retry.
    """

    __slots__ = ("asked_for_retry", "callback_raised", "carried", "raised", "start_recorded", "stored_bytes")

    def __init__(self) -> None:
        self.carried: Mapping[str, Any] = _NOTHING
        self.stored_bytes: int | None = None
        self.raised: Any = None
        self.callback_raised: Any = None
        self.start_recorded = self.asked_for_retry = False


_NOTHING: Mapping[str, Any] = MappingProxyType({})
_MARKS = "_shipper"


def marks_of(job: Job) -> JobMarks:
    """The marks of a job, made when they are first asked for."""
    marks: JobMarks | None = job.__dict__.get(_MARKS)
    if marks is None:
        marks = job.__dict__[_MARKS] = JobMarks()
    return marks


NO_CONTEXT: Mapping[str, str] = MappingProxyType({})


class JobSnapshot(NamedTuple):
    """A job at one moment. Times are aware datetimes, None where RQ has not set them (yet).

    `args` and `kwargs` are there only where they need no unpickling: in the enqueuer and in the work-horse.
    They are the job's own objects, to be redacted before anything is written.

    A tuple, because two are made for each job: a frozen dataclass takes more than twice as long.
    """

    job_id: str
    queue: str
    function: str | None = None
    payload_bytes: int | None = None
    created_at: datetime | None = None
    enqueued_at: datetime | None = None
    scheduled_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    attempt: int = 1
    max_attempts: int = 1
    retries_left: int = 0
    group_id: str | None = None
    depends_on: tuple[str, ...] = ()
    parent_job_id: str | None = None
    root_job_id: str | None = None
    ttl_s: int | None = None
    payload_stored_bytes: int | None = None
    args: tuple[Any, ...] | None = None
    kwargs: Mapping[str, Any] | None = None
    meta: Mapping[Any, Any] | None = None
    context: Mapping[str, str] = NO_CONTEXT
    rate_limited_at: datetime | None = None
    rate_limit_key: str | None = None
    cron_name: str | None = None

    @property
    def waits_since(self) -> datetime | None:
        """When the job was wanted: its lag counts from then."""
        return self.scheduled_at or self.rate_limited_at or self.enqueued_at


def carry(
    job: Job, context: Mapping[str, str], parent: RunningJob | None, actor: Actor | None = None,
    request_id: str | None = None,
) -> None:  # fmt: skip
    """Give the job what its records will need later.

    That is the enqueuer's context, who asked for it and in which web request, the job that it was enqueued by,
    and how many attempts there are.
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
    """Whether the job has what its records will need later."""
    return bool(_carried(job))


def carry_attempts(job: Job) -> None:
    """Note how many attempts there are: RQ keeps only how many are left."""
    if job.retries_left:
        marks_of(job).carried = {**_carried(job), "max_attempts": job.retries_left + 1}


def carry_cron(job: Job, name: str | None) -> None:
    """Note which cron job it was made for."""
    if name:
        marks_of(job).carried = {**_carried(job), "cron": name}


def carry_rate_limit(job: Job) -> None:
    """Note since when the job waits for its rate limit: its lag counts from then."""
    marks_of(job).carried = {**_carried(job), "rate_limited_at": datetime.now(UTC).timestamp()}


def carry_schedule(job: Job, at: datetime) -> None:
    """Note when the job was wanted: its lag counts from then. A time without a zone is local, as RQ takes it."""
    marks_of(job).carried = {**_carried(job), "scheduled_at": at.timestamp()}


def forget_schedule(job: Job) -> None:
    """The job is pushed for another reason than its schedule or its rate limit."""
    carried = _carried(job)
    if "scheduled_at" in carried or "rate_limited_at" in carried:
        kept = {name: value for name, value in carried.items() if name not in ("scheduled_at", "rate_limited_at")}
        marks_of(job).carried = kept


def carried_bytes(job: Job) -> bytes | None:
    """What `carry` gave, for the job's hash in Redis."""
    carried = _carried(job)
    return orjson.dumps(carried) if carried else None


def restore(job: Job, raw: Mapping[Any, Any]) -> None:
    """Take what was carried from a job's raw hash. What is not ours to understand is left alone."""
    found = raw.get(_CARRIED_KEY) or raw.get(CARRIED_FIELD)
    if found and (carried := parse_carried(found)):
        marks_of(job).carried = carried


def from_job(job: Job) -> JobSnapshot:
    """The facts of a job, as far as they can be read."""
    marks = marks_of(job)
    carried = marks.carried
    returned = getattr(job, "number_of_retries", None) or 0
    max_attempts, attempt = attempts(job.retries_left or 0, returned, carried.get("max_attempts"))
    return JobSnapshot(
        job_id=job.id,
        queue=job.origin or "",
        function=function_name(job),
        payload_bytes=_payload_bytes(job),
        created_at=job.created_at,
        enqueued_at=job.enqueued_at,
        scheduled_at=_moment(carried.get("scheduled_at")),
        started_at=job.started_at,
        ended_at=job.ended_at,
        attempt=attempt,
        max_attempts=max_attempts,
        retries_left=job.retries_left or 0,
        group_id=job.group_id,
        depends_on=tuple(job._dependency_ids),
        parent_job_id=_id(carried.get("parent")),
        root_job_id=_id(carried.get("root")),
        ttl_s=job.ttl,
        rate_limited_at=_moment(carried.get("rate_limited_at")),
        rate_limit_key=getattr(job, "rate_limit_key", None),
        cron_name=_id(carried.get("cron")),
        payload_stored_bytes=marks.stored_bytes,
        args=_evaluated(job, "_args"),
        kwargs=_evaluated(job, "_kwargs"),
        meta=job.meta if isinstance(job.meta, dict) and job.meta else None,
        context=context_of(job),
    )


def at_ending(job: Job, started: JobSnapshot | None) -> JobSnapshot:
    """The facts of a job whose function returned: those of its start, with what has changed since."""
    if started is None or started.job_id != job.id:
        return from_job(job)
    return started._replace(
        started_at=job.started_at,
        ended_at=job.ended_at,
        args=_evaluated(job, "_args"),
        kwargs=_evaluated(job, "_kwargs"),
        meta=job.meta if isinstance(job.meta, dict) and job.meta else None,
    )


def note_stored_bytes(job: Job, data: object) -> None:
    """How many bytes Redis has for the payload, which RQ compresses."""
    if isinstance(data, bytes):
        marks_of(job).stored_bytes = len(data)


def _evaluated(job: Job, name: str) -> Any:
    """An argument of the job's as it is in this process; None where it is still in the payload alone."""
    value = getattr(job, name, UNEVALUATED)
    return None if value is UNEVALUATED else value


def retry_in_s(job: Job) -> float | None:
    """Seconds until RQ's next attempt, should this one fail; None if there will be none."""
    return float(job.get_retry_interval()) if job.should_retry else None


def running(job: JobSnapshot, execution_id: str | None) -> RunningJob:
    """What log lines and jobs made while this one runs need to know of it."""
    return RunningJob(
        job_id=job.job_id,
        function=job.function,
        queue=job.queue,
        attempt=job.attempt,
        execution_id=execution_id,
        root_job_id=job.root_job_id or job.job_id,
        parent_job_id=job.parent_job_id,
    )


def context_of(job: Job) -> Mapping[str, str]:
    """The log context that the job carries from its enqueuer."""
    found = _carried(job).get("context")
    if not isinstance(found, dict):
        return NO_CONTEXT
    return {name: value for name, value in found.items() if isinstance(value, str)}


def actor_of(job: Job) -> Actor | None:
    """Who asked for the job, as it carries them; None if nobody was named, or what is there is not ours."""
    found = _carried(job).get("actor")
    if not isinstance(found, list) or len(found) != len(Actor._fields):
        return None
    kind, identifier, name, roles, effective = found
    if not isinstance(kind, str) or not isinstance(roles, list):
        return None
    return Actor(
        kind, _id(identifier), _id(name), tuple(role for role in roles if isinstance(role, str)), _id(effective)
    )


def request_of(job: Job) -> str | None:
    """The id of the web request in which the job was asked for."""
    return _id(_carried(job).get("request"))


def _carried(job: Job) -> Mapping[str, Any]:
    marks: JobMarks | None = job.__dict__.get(_MARKS)
    return _NOTHING if marks is None else marks.carried


def _id(found: object) -> str | None:
    return found if isinstance(found, str) else None


def _moment(seconds: object) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, float | int) else None


def _payload_bytes(job: Job) -> int | None:
    """The size of the payload before RQ compresses it."""
    try:
        return len(job.data)
    except Exception:  # a serializer of the user's own may raise anything
        return None


def function_name(job: Job) -> str | None:
    """The dotted name of the job's function: as RQ has it if it was read already, else from the payload's bytes.

    Of a payload that only the job's own serializer can read, from the description that RQ has made of the call.
    """
    known = _method_name(job) or _carried(job).get("function")
    if isinstance(known, str):
        return known
    known = job._func_name
    if isinstance(known, str):
        return known
    with contextlib.suppress(Exception):  # a payload may be anything at all
        if known := function_in_payload(job.data):
            return known
    return called_function(job.description)


def _method_name(job: Job) -> str | None:
    """The dotted name of a bound method or a callable object, whose name alone tells nothing; None of a function."""
    owner, name = _evaluated(job, "_instance"), job._func_name
    if owner is None or not isinstance(name, str):
        return None
    kind = owner if isinstance(owner, type) else type(owner)
    return f"{kind.__module__}.{kind.__qualname__}.{name}"


def function_in_payload(payload: bytes) -> str | None:
    """The first string of a serialized `(function, instance, args, kwargs)`, found without executing anything.

    A pickle is a program; `pickletools` reads its instructions one by one and runs none of them. The
    function's name is the first text in it. RQ's JSONSerializer writes a list that begins with it.
    """
    if payload[:1] == b"[":
        first = orjson.loads(payload)[0]
        return first if isinstance(first, str) else None
    if payload[:1] != b"\x80":
        return None
    with no_fork:
        import pickletools  # the parent and the enqueuer seldom need it: 5 ms of import

    strings: list[object] = []
    for opcode, argument, _ in pickletools.genops(payload):
        if opcode.name in _FRAMING:
            continue
        if opcode.name == "STACK_GLOBAL" and len(strings) == 1 + _GLOBAL_STRINGS:
            return ".".join(map(str, (*strings[1:], strings[0])))  # a method: its name, then its class
        if "UNICODE" not in opcode.name:
            break
        strings.append(argument)
        if len(strings) > 1 + _GLOBAL_STRINGS:
            break
    if len(strings) == _GLOBAL_STRINGS and opcode.name == "STACK_GLOBAL":
        return None  # these were the module and the name of a class: the tuple begins with an object
    return strings[0] if strings and isinstance(strings[0], str) else None


# Instructions that only frame or remember what stands around them (PEP 3154).
_FRAMING = frozenset({"PROTO", "FRAME", "MARK", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"})
_GLOBAL_STRINGS = 2
