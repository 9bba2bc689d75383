"""A job's facts → its record. Pure: no clock, no RQ object, no file. Times are left to the encoder."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from ..context import fields_of
from ..job_fields import Progress
from ..records import Record, begin, record_id, shorten, timestamp
from ..service import ServiceInfo
from .events import Ending, ExceptionInfo, ExitStatus, Failure, Success
from .raised import from_text
from .snapshot import JobSnapshot

NS_PER_US = 1000
_MICROSECOND = timedelta(microseconds=1)


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    """Those of the fields that there is something to say of."""
    return {name: value for name, value in fields.items() if value is not None}


def enqueued(facts: JobSnapshot, cause: str, now: datetime, origin: ServiceInfo) -> Record:
    """job-enqueued: the job lies in a queue."""
    moment = facts.enqueued_at or now
    return _record(
        facts, origin, moment, now,
        identity=("enqueued", timestamp(moment)),
        event={"type": ["info"], "action": "job-enqueued", "outcome": "success"},
        message=f"{_name(facts)} enqueued on {facts.queue}",
        rq={
            "cause": cause, "status": "queued",
            "expires_at": moment + timedelta(seconds=facts.ttl_s) if facts.ttl_s and facts.ttl_s > 0 else None,
        },
    )  # fmt: skip


def deferred(facts: JobSnapshot, now: datetime, origin: ServiceInfo) -> Record:
    """job-deferred: the job waits for others to finish."""
    moment = facts.created_at or now
    return _record(
        facts, origin, moment, now,
        identity=("deferred", timestamp(moment)),
        event={"type": ["info"], "action": "job-deferred", "outcome": "success"},
        message=f"{_name(facts)} waits for {len(facts.depends_on)} other job{'s' * (len(facts.depends_on) != 1)}",
        rq={"status": "deferred", "depends_on": list(facts.depends_on)},
    )  # fmt: skip


def scheduled(facts: JobSnapshot, cause: str, now: datetime, origin: ServiceInfo) -> Record:
    """job-scheduled: the job will be pushed at a time."""
    at = facts.scheduled_at or now
    return _record(
        facts, origin, now, now,
        identity=("scheduled", timestamp(at)),
        event={"type": ["info"], "action": "job-scheduled", "outcome": "success"},
        message=f"{_name(facts)} scheduled for {timestamp(at)}",
        rq={"cause": cause, "status": "scheduled"},
    )  # fmt: skip


def rate_limited(facts: JobSnapshot, now: datetime, origin: ServiceInfo) -> Record:
    """job-rate-limited: the job waits for its rate limit, beside its queue."""
    moment = facts.rate_limited_at or now
    return _record(
        facts, origin, moment, now,
        identity=("rate-limited", timestamp(moment)),
        event={"type": ["info"], "action": "job-rate-limited", "outcome": "success"},
        message=f"{_name(facts)} waits for its rate limit {facts.rate_limit_key}",
        rq={"status": "rate_limited"},
    )  # fmt: skip


def refused(facts: JobSnapshot, reason: str, now: datetime, origin: ServiceInfo) -> Record:
    """job-refused: RQ did not take the job. The one that is there already is not affected."""
    return _record(
        facts, origin, now, now,
        identity=("refused", timestamp(now)),
        event={"type": ["info"], "action": "job-refused", "outcome": "failure", "reason": reason},
        message=f"{_name(facts)} was refused: there is a job {facts.job_id} already",
        rq={},
    )  # fmt: skip


def webhook_failed(facts: JobSnapshot, url: str, error: Exception, now: datetime, origin: ServiceInfo) -> Record:
    """job-webhook-failed: after its end. The address is shown without what may be a secret in it."""
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.hostname}"
    return _record(
        facts, origin, now, now,
        identity=("webhook-failed", timestamp(now)),
        event={"type": ["info"], "action": "job-webhook-failed", "outcome": "failure"},
        message=shorten(f"The webhook of {_name(facts)} to {where} failed: {error}", 1000),
        rq={},
        error={"type": type(error).__qualname__, "message": shorten(str(error))},
    )  # fmt: skip


def removed(facts: JobSnapshot, how: str, now: datetime, origin: ServiceInfo, *, concluded: bool = False) -> Record:
    """job-canceled or job-deleted: a job that had not ended was taken away. It had no execution to end."""
    return _record(
        facts, origin, now, now,
        identity=(f"concluded {how}" if concluded else how, _push(facts)),
        event={"type": ["end"], "action": f"job-{how}", "outcome": "unknown"},
        message=f"{_name(facts)} was {how}",
        rq={
            "status": how, "final": True, "inferred": concluded or None,
            "total_ms": _milliseconds(facts.created_at, now), "ended_at": now,
        },
    )  # fmt: skip


def job_identity(facts: JobSnapshot) -> Record:
    """Which job an audit record is about: it is found by the job's id, its customer and its trace."""
    rq = {"attempt": facts.attempt, "parent_job_id": facts.parent_job_id, "root_job_id": facts.root_job_id}
    record: Record = {
        "messaging": {"system": "rq", "destination": {"name": facts.queue}, "message": {"id": facts.job_id}},
        "rq": _present(rq),
    }
    if facts.function is not None:
        record["code"] = {"function": {"name": facts.function}}
    carried = fields_of(facts.context)
    record |= {name: carried[name] for name in ("organization", "trace") if name in carried}
    return record


def started(facts: JobSnapshot, execution_id: str | None, worker: str, now: datetime, origin: ServiceInfo) -> Record:
    """job-started: a work-horse is about to call the function. `rq.lag_ms` is the wait since the push."""
    moment = facts.started_at or now
    lag_ms = _milliseconds(facts.waits_since, moment)
    waited = "" if lag_ms is None else f" after {lag_ms} ms in {facts.queue}"
    return _record(
        facts, origin, moment, now,
        identity=("started", execution_id or _push(facts)),
        event={"type": ["start"], "action": "job-started", "outcome": "unknown"},
        message=f"{_name(facts)} started{waited}",
        rq={"execution_id": execution_id, "status": "started", "lag_ms": lag_ms, "started_at": moment},
        worker=worker,
    )  # fmt: skip


def progressed(
    facts: JobSnapshot, progress: Progress, execution_id: str | None, now: datetime, origin: ServiceInfo
) -> Record:
    """job-progressed: the job said how far it is. `event.sequence` numbers what it said."""
    about = f": {progress.message}" if progress.message else ""
    return _record(
        facts, origin, now, now,
        identity=(f"progress {progress.count}", execution_id or _push(facts)),
        event={"type": ["info"], "action": "job-progressed", "outcome": "unknown", "sequence": progress.count},
        message=shorten(f"{_name(facts)} at {progress.percent:g} %{about}", 1000),
        rq={
            "execution_id": execution_id, "status": "started",
            "progress": _present(
                {"percent": progress.percent, "message": shorten(progress.message, 1000) or None}
            ),
        },
    )  # fmt: skip


def finished(facts: JobSnapshot, success: Success, now: datetime, origin: ServiceInfo) -> Record:
    """job-finished: the function returned. `rq.status_saved` is there, and false, if Redis was not told."""
    return _closing(
        facts, success, now, origin,
        event={"type": ["end"], "action": "job-finished", "outcome": "success"},
        verb="finished",
        rq={
            "status": "finished", "final": True, "inferred": success.concluded or None,
            "status_saved": None if success.status_saved else False,
            "result_type": success.result_type, "result_bytes": success.result_bytes,
        },
    )  # fmt: skip


def failed(facts: JobSnapshot, failure: Failure, now: datetime, origin: ServiceInfo) -> Record:
    """job-retried, job-dead or job-stopped: an execution that did not succeed."""
    raised = failure.raised or _raised_from(failure.text)
    reason = _reason(failure)
    if failure.stopped:
        ending, verb = {"type": ["end"], "action": "job-stopped", "outcome": "unknown"}, "was stopped"
        verdict, status = None, "stopped"
    elif failure.retry_in_s is not None:
        ending, verb = (
            {"type": ["change"], "action": "job-retried", "outcome": "failure"},
            "failed, will be retried",
        )
        verdict, status = "will_retry", "retrying"
    else:
        ending, verb = {"type": ["end"], "action": "job-dead", "outcome": "failure"}, "failed for good"
        verdict = "exhausted" if facts.max_attempts > 1 and failure.is_retried else "no_retry"
        status = "failed"
    return _closing(
        facts._replace(ended_at=failure.ended_at or facts.ended_at), failure, now, origin,
        event=_present({**ending, "reason": reason}),
        verb=verb, because=f"{raised.type}: {raised.message}" if raised.type else raised.message,
        rq={
            "status": status, "final": failure.retry_in_s is None, "retry_verdict": verdict,
            "inferred": failure.inferred or None,
            **_retry(facts, failure, now), **_signal(failure.killed),
        },
        error=_error(raised),
        exit_code=_exit_code(failure.killed),
    )  # fmt: skip


def _closing(
    facts: JobSnapshot,
    ended: Ending,
    now: datetime,
    origin: ServiceInfo,
    *,
    event: dict[str, Any],
    verb: str,
    rq: dict[str, Any],
    because: str = "",
    error: dict[str, Any] | None = None,
    exit_code: int | None = None,
) -> Record:
    """A record that ends an execution. Its id follows from job and execution: two witnesses, one document."""
    moment, started_at = facts.ended_at or now, facts.started_at
    duration_us = _microseconds(started_at, moment)
    taken = ""
    event["end"] = moment
    if duration_us is not None:
        event["start"], event["duration"] = started_at, duration_us * NS_PER_US
        taken = f" after {duration_us / 1000:.0f} ms"
    return _record(
        facts, origin, moment, now,
        identity=(ended.kind, ended.execution_id or _push(facts)),
        event=event,
        message=shorten(f"{_name(facts)} {verb}{taken}" + (f": {because}" if because else ""), 1000),
        rq={
            "execution_id": ended.execution_id,
            **rq,
            "lag_ms": _milliseconds(facts.waits_since, started_at),
            "total_ms": _milliseconds(facts.created_at, moment),
            "started_at": started_at,
            "ended_at": moment,
        },
        worker=ended.worker, error=error, exit_code=exit_code,
    )  # fmt: skip


def _record(
    facts: JobSnapshot,
    origin: ServiceInfo,
    moment: datetime,
    now: datetime,
    *,
    identity: tuple[str, str],
    event: dict[str, Any],
    message: str,
    rq: dict[str, Any],
    worker: str | None = None,
    error: dict[str, Any] | None = None,
    exit_code: int | None = None,
) -> Record:
    """The frame that all job records share. The first keys are at fixed places: see records.py."""
    process: dict[str, Any] = {"pid": origin.pid}
    message_fields: dict[str, Any] = {"id": facts.job_id}
    messaging: dict[str, Any] = {"system": "rq", "destination": {"name": facts.queue}, "message": message_fields}
    record = begin(
        moment if moment.microsecond else timestamp(moment),
        record_id(facts.enqueued_at or facts.created_at or moment, facts.job_id, *identity),
        "rq.job",
        {"kind": "event", "category": _CATEGORY, "created": now, **event},
    )
    record |= {
        "ecs": origin.ecs,
        "message": message,
        "service": origin.service_of(facts.queue),
        "host": origin.host,
        "process": process,
        "messaging": messaging,
        "rq": _present({
            "attempt": facts.attempt,
            "max_attempts": facts.max_attempts,
            "created_at": facts.created_at,
            "enqueued_at": facts.enqueued_at,
            "scheduled_at": facts.scheduled_at,
            "rate_limited_at": facts.rate_limited_at,
            "rate_limit_key": facts.rate_limit_key,
            "cron_name": facts.cron_name,
            "payload_stored_bytes": facts.payload_stored_bytes,
            "group_id": facts.group_id,
            "parent_job_id": facts.parent_job_id,
            "root_job_id": facts.root_job_id,
            **rq,
        }),
    }  # fmt: skip
    if exit_code is not None:
        process["exit_code"] = exit_code
    if facts.payload_bytes is not None:
        message_fields["body"] = {"size": facts.payload_bytes}
    if worker:
        messaging["client"] = {"id": worker}
    if facts.function is not None:
        record["code"] = {"function": {"name": facts.function}}
    if error:
        record["error"] = _present(error)
    if facts.context:
        record.update(fields_of(facts.context))
    return record


_CATEGORY = ["process"]


def _push(facts: JobSnapshot) -> str:
    """What tells one push of a job from the next, where there is no execution: RQ notes the time of each."""
    return timestamp(facts.enqueued_at or facts.created_at or _EPOCH)


_EPOCH = datetime.fromtimestamp(0, UTC)


def _name(facts: JobSnapshot) -> str:
    return facts.function or facts.job_id


def _microseconds(start: datetime | None, end: datetime | None) -> int | None:
    """The time between, never negative: clocks of two machines differ."""
    if start is None or end is None:
        return None
    return max(0, (end - start) // _MICROSECOND)


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    span = _microseconds(start, end)
    return None if span is None else round(span / 1000)


def _reason(failure: Failure) -> str | None:
    """event.reason: what kind of thing ended the execution."""
    if failure.reason is not None:
        return failure.reason
    if failure.raised is None:
        return _reason_of_end(failure)
    if failure.raised.where == "callback":
        return "callback"
    if failure.raised.where == "import":
        return "unimportable"
    kind = failure.raised.type
    if kind.endswith("JobTimeoutException"):
        return "timeout"
    if kind.endswith("DeserializationError"):
        return "undecodable"
    return "exception"


def _reason_of_end(failure: Failure) -> str | None:
    """The same where nothing was raised: the work-horse went, or the job asked for a retry, or was stopped."""
    if failure.stopped or failure.killed is None:
        return None
    status = failure.killed.status
    return "exited" if status is not None and os.WIFEXITED(status) else "killed"


def _retry(facts: JobSnapshot, failure: Failure, now: datetime) -> dict[str, Any]:
    """When the next attempt comes, and how many may come after it."""
    if failure.retry_in_s is None:
        return {"retries_left": facts.retries_left}
    retry_at = (facts.ended_at or now) + timedelta(seconds=failure.retry_in_s)
    return {"retries_left": max(0, facts.retries_left - 1), "retry_at": retry_at}


def _error(raised: ExceptionInfo) -> dict[str, str | None]:
    return {
        "type": raised.type or None,
        "message": shorten(raised.message),
        "stack_trace": shorten(raised.stack_trace) or None,
    }


def _raised_from(text: str) -> ExceptionInfo:
    """What RQ says of an ending: a traceback, or (where nothing was raised) a sentence of its own."""
    if (raised := from_text(text)) is not None:
        return raised
    lines = text.strip("; \n").splitlines()
    return ExceptionInfo(type="", message=lines[-1] if lines else "", stack_trace=text)


def _signal(killed: ExitStatus | None) -> dict[str, Any]:
    if killed is None:
        return {}
    status = killed.status
    number = os.WTERMSIG(status) if status is not None and os.WIFSIGNALED(status) else None
    name = None
    if number is not None:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = str(number)  # a real-time signal has no name
    return {"signal": name, "max_rss_kb": killed.max_rss_kb}


def _exit_code(killed: ExitStatus | None) -> int | None:
    if killed is None or killed.status is None or not os.WIFEXITED(killed.status):
        return None
    return os.WEXITSTATUS(killed.status)
