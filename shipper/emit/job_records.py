"""Builds the record of each job event from a JobSnapshot. Pure: no clock, no RQ objects, no files.

Every function here returns a Record whose times are datetimes; `records.encode` formats them. `now` is when the event
was observed.
"""

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
from .events import Busy, Ending, ExceptionInfo, ExitStatus, Failure, Success
from .raised import from_text
from .snapshot import JobSnapshot

NS_PER_US = 1000
_MICROSECOND = timedelta(microseconds=1)


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields whose value is not None."""
    return {name: value for name, value in fields.items() if value is not None}


def enqueued(job: JobSnapshot, cause: str, now: datetime, service: ServiceInfo) -> Record:
    """job-enqueued: the job was pushed to a queue."""
    at = job.enqueued_at or now
    return _record(
        job,
        service,
        at,
        now,
        identity=("enqueued", timestamp(at)),
        event={"type": ["info"], "action": "job-enqueued", "outcome": "success"},
        message=f"{_name(job)} enqueued on {job.queue}",
        rq={
            "cause": cause,
            "status": "queued",
            "expires_at": at + timedelta(seconds=job.ttl_s) if job.ttl_s and job.ttl_s > 0 else None,
        },
    )


def deferred(job: JobSnapshot, now: datetime, service: ServiceInfo) -> Record:
    """job-deferred: the job waits for its dependencies."""
    at = job.created_at or now
    return _record(
        job,
        service,
        at,
        now,
        identity=("deferred", timestamp(at)),
        event={"type": ["info"], "action": "job-deferred", "outcome": "success"},
        message=f"{_name(job)} waits for {len(job.depends_on)} other job{'s' * (len(job.depends_on) != 1)}",
        rq={"status": "deferred", "depends_on": list(job.depends_on)},
    )


def scheduled(job: JobSnapshot, cause: str, now: datetime, service: ServiceInfo) -> Record:
    """job-scheduled: the job will be pushed at `rq.scheduled_at`."""
    at = job.scheduled_at or now
    return _record(
        job,
        service,
        now,
        now,
        identity=("scheduled", timestamp(at)),
        event={"type": ["info"], "action": "job-scheduled", "outcome": "success"},
        message=f"{_name(job)} scheduled for {timestamp(at)}",
        rq={"cause": cause, "status": "scheduled"},
    )


def rate_limited(job: JobSnapshot, now: datetime, service: ServiceInfo) -> Record:
    """job-rate-limited: the job waits for its rate limit, outside of its queue."""
    at = job.rate_limited_at or now
    return _record(
        job,
        service,
        at,
        now,
        identity=("rate-limited", timestamp(at)),
        event={"type": ["info"], "action": "job-rate-limited", "outcome": "success"},
        message=f"{_name(job)} waits for its rate limit {job.rate_limit_key}",
        rq={"status": "rate_limited"},
    )


def refused(job: JobSnapshot, reason: str, now: datetime, service: ServiceInfo) -> Record:
    """job-refused: nothing was pushed. `reason` is duplicate (a job with this id exists), or redis_full."""
    why = f"there is a job {job.job_id} already" if reason == "duplicate" else "Redis is full (maxmemory)"
    return _record(
        job,
        service,
        now,
        now,
        identity=("refused", timestamp(now)),
        event={"type": ["info"], "action": "job-refused", "outcome": "failure", "reason": reason},
        message=f"{_name(job)} was refused: {why}",
        rq={},
    )


def webhook_failed(job: JobSnapshot, url: str, kind: str, error: str, now: datetime, service: ServiceInfo) -> Record:
    """job-webhook-failed: RQ could not send a webhook after the job's end.

    The URL is cut to scheme and host, as its path and query may hold secrets. `kind` and `error` are of the exception.
    """
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.hostname}"
    return _record(
        job,
        service,
        now,
        now,
        identity=("webhook-failed", timestamp(now)),
        event={"type": ["info"], "action": "job-webhook-failed", "outcome": "failure"},
        message=shorten(f"The webhook of {_name(job)} to {where} failed: {error}", 1000),
        rq={},
        error={"type": kind, "message": shorten(error)},
    )


def removed(job: JobSnapshot, how: str, now: datetime, service: ServiceInfo, *, concluded: bool = False) -> Record:
    """job-canceled or job-deleted: a job that had not ended was removed. `how` is canceled or deleted."""
    return _record(
        job,
        service,
        now,
        now,
        identity=(f"concluded {how}" if concluded else how, _push(job)),
        event={"type": ["end"], "action": f"job-{how}", "outcome": "unknown"},
        message=f"{_name(job)} was {how}",
        rq={
            "status": how,
            "final": True,
            "inferred": concluded or None,
            "total_ms": _milliseconds(job.created_at, now),
            "ended_at": now,
        },
    )


def job_identity(job: JobSnapshot) -> Record:
    """The fields that identify a job on an audit record, so that it is found by job, customer and trace."""
    rq = {"attempt": job.attempt, "parent_job_id": job.parent_job_id, "root_job_id": job.root_job_id}
    record: Record = {
        "messaging": {"system": "rq", "destination": {"name": job.queue}, "message": {"id": job.job_id}},
        "rq": _present(rq),
    }
    if job.function is not None:
        record["code"] = {"function": {"name": job.function}}
    carried = fields_of(job.context)
    record |= {name: carried[name] for name in ("organization", "trace") if name in carried}
    return record


def started(job: JobSnapshot, execution_id: str | None, worker: str, now: datetime, service: ServiceInfo) -> Record:
    """job-started: the work-horse is about to call the function. `rq.lag_ms` is the time since it was due."""
    at = job.started_at or now
    lag_ms = _milliseconds(job.waits_since, at)
    waited = "" if lag_ms is None else f" after {lag_ms} ms in {job.queue}"
    return _record(
        job,
        service,
        at,
        now,
        identity=("started", execution_id or _push(job)),
        event={"type": ["start"], "action": "job-started", "outcome": "unknown"},
        message=f"{_name(job)} started{waited}",
        rq={"execution_id": execution_id, "status": "started", "lag_ms": lag_ms, "started_at": at},
        worker=worker,
    )


def progressed(
    job: JobSnapshot, progress: Progress, execution_id: str | None, now: datetime, service: ServiceInfo
) -> Record:
    """job-progressed: the job reported progress. `event.sequence` numbers its reports."""
    about = f": {progress.message}" if progress.message else ""
    return _record(
        job,
        service,
        now,
        now,
        identity=(f"progress {progress.count}", execution_id or _push(job)),
        event={"type": ["info"], "action": "job-progressed", "outcome": "unknown", "sequence": progress.count},
        message=shorten(f"{_name(job)} at {progress.percent:g} %{about}", 1000),
        rq={
            "execution_id": execution_id,
            "status": "started",
            "progress": _present({"percent": progress.percent, "message": shorten(progress.message, 1000) or None}),
        },
    )


def busy(job: JobSnapshot, busy: Busy, now: datetime, service: ServiceInfo) -> Record:
    """job-busy: the job could not get into a critical section. If it is put back, this closes the execution."""
    holder = f"job {busy.holder}" if busy.holder else "a process that runs no job"
    push = busy.execution_id or _push(job)
    returns = busy.delay_s is not None
    then = f", back to {job.queue} in {busy.delay_s:.1f} s" if returns else ""
    return _record(
        job,
        service,
        busy.at,
        now,
        identity=("end", push) if returns else (f"busy {busy.section}", push),
        event={"type": ["change"], "action": "job-busy", "outcome": "unknown"},
        message=shorten(f"{_name(job)} could not get into {busy.section}, which {holder} holds{then}", 1000),
        rq={
            "execution_id": busy.execution_id,
            "status": "busy",
            "final": False,
            "started_at": job.started_at,
            "retry_at": busy.at + timedelta(seconds=busy.delay_s) if busy.delay_s is not None else None,
            "section": _present(
                {
                    "name": busy.section,
                    "holder": busy.holder,
                    "holder_function": busy.holder_function,
                    "since": busy.since,
                    "tries": busy.tries,
                    "waited_ms": round(busy.waited_s * 1000),
                    "on_busy": busy.action,
                }
            ),
        },
        worker=busy.worker or None,
    )


def finished(job: JobSnapshot, success: Success, now: datetime, service: ServiceInfo) -> Record:
    """job-finished: the function returned. `rq.status_saved` is false if Redis does not have it, else absent."""
    return _closing(
        job,
        success,
        now,
        service,
        event={"type": ["end"], "action": "job-finished", "outcome": "success"},
        verb="finished",
        rq={
            "status": "finished",
            "final": True,
            "inferred": success.concluded or None,
            "status_saved": None if success.status_saved else False,
            "result_type": success.result_type,
            "result_bytes": success.result_bytes,
        },
    )


def failed(job: JobSnapshot, failure: Failure, now: datetime, service: ServiceInfo) -> Record:
    """job-retried, job-dead or job-stopped: an execution failed or was stopped."""
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
        verdict = "exhausted" if job.max_attempts > 1 and failure.is_retried else "no_retry"
        status = "failed"
    return _closing(
        job._replace(ended_at=failure.ended_at or job.ended_at),
        failure,
        now,
        service,
        event=_present({**ending, "reason": reason}),
        verb=verb,
        detail=f"{raised.type}: {raised.message}" if raised.type else raised.message,
        rq={
            "status": status,
            "final": failure.retry_in_s is None,
            "retry_verdict": verdict,
            "inferred": failure.inferred or None,
            **_retry(job, failure, now),
            **_signal(failure.killed),
        },
        error=_error(raised),
        exit_code=_exit_code(failure.killed),
    )


def _closing(
    job: JobSnapshot,
    ended: Ending,
    now: datetime,
    service: ServiceInfo,
    *,
    event: dict[str, Any],
    verb: str,
    rq: dict[str, Any],
    detail: str = "",
    error: dict[str, Any] | None = None,
    exit_code: int | None = None,
) -> Record:
    """A closing record. Its id follows from job and execution: if two processes write it, it is one document."""
    at, started_at = job.ended_at or now, job.started_at
    duration_us = _microseconds(started_at, at)
    elapsed = ""
    event["end"] = at
    if duration_us is not None:
        event["start"], event["duration"] = started_at, duration_us * NS_PER_US
        elapsed = f" after {duration_us / 1000:.0f} ms"
    return _record(
        job,
        service,
        at,
        now,
        identity=(ended.kind, ended.execution_id or _push(job)),
        event=event,
        message=shorten(f"{_name(job)} {verb}{elapsed}" + (f": {detail}" if detail else ""), 1000),
        rq={
            "execution_id": ended.execution_id,
            **rq,
            "lag_ms": _milliseconds(job.waits_since, started_at),
            "total_ms": _milliseconds(job.created_at, at),
            "started_at": started_at,
            "ended_at": at,
        },
        worker=ended.worker,
        error=error,
        exit_code=exit_code,
    )


def _record(
    job: JobSnapshot,
    service: ServiceInfo,
    at: datetime,
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
    """The fields that all job records share. The first keys are at fixed offsets: see records.py."""
    process: dict[str, Any] = {"pid": service.pid}
    message_fields: dict[str, Any] = {"id": job.job_id}
    messaging: dict[str, Any] = {"system": "rq", "destination": {"name": job.queue}, "message": message_fields}
    record = begin(
        at if at.microsecond else timestamp(at),
        record_id(job.enqueued_at or job.created_at or at, job.job_id, *identity),
        "rq.job",
        {"kind": "event", "category": _CATEGORY, "created": now, **event},
    )
    record["ecs"] = service.ecs
    record["message"] = message
    record["service"] = service.service_of(job.queue)
    record["host"] = service.host
    record["process"] = process
    record["messaging"] = messaging
    record["rq"] = _present(
        {
            "attempt": job.attempt,
            "max_attempts": job.max_attempts,
            "created_at": job.created_at,
            "enqueued_at": job.enqueued_at,
            "scheduled_at": job.scheduled_at,
            "rate_limited_at": job.rate_limited_at,
            "rate_limit_key": job.rate_limit_key,
            "cron_name": job.cron_name,
            "payload_stored_bytes": job.payload_stored_bytes,
            "group_id": job.group_id,
            "parent_job_id": job.parent_job_id,
            "root_job_id": job.root_job_id,
            **rq,
        }
    )
    if exit_code is not None:
        process["exit_code"] = exit_code
    if job.payload_bytes is not None:
        message_fields["body"] = {"size": job.payload_bytes}
    if worker:
        messaging["client"] = {"id": worker}
    if job.function is not None:
        record["code"] = {"function": {"name": job.function}}
    if error:
        record["error"] = _present(error)
    if job.context:
        record.update(fields_of(job.context))
    return record


_CATEGORY = ["process"]


def _push(job: JobSnapshot) -> str:
    """Identifies a push of a job where there is no execution id: the time of the push, which RQ keeps."""
    return timestamp(job.enqueued_at or job.created_at or _EPOCH)


_EPOCH = datetime.fromtimestamp(0, UTC)


def _name(job: JobSnapshot) -> str:
    return job.function or job.job_id


def _microseconds(start: datetime | None, end: datetime | None) -> int | None:
    """The time between, None if either is unknown. Never negative: the clocks of two machines may differ."""
    if start is None or end is None:
        return None
    return max(0, (end - start) // _MICROSECOND)


def _milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    span = _microseconds(start, end)
    return None if span is None else round(span / 1000)


def _reason(failure: Failure) -> str | None:
    """event.reason: what ended the execution."""
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
    if kind == "shipper.errors.SectionBusy":
        return "busy"
    return "exception"


def _reason_of_end(failure: Failure) -> str | None:
    """event.reason where nothing was raised: the work-horse exited, the job was stopped or returned a Retry."""
    if failure.stopped or failure.killed is None:
        return None
    status = failure.killed.status
    return "exited" if status is not None and os.WIFEXITED(status) else "killed"


def _retry(job: JobSnapshot, failure: Failure, now: datetime) -> dict[str, Any]:
    """`rq.retry_at` and `rq.retries_left`, as they are after this attempt."""
    if failure.retry_in_s is None:
        return {"retries_left": job.retries_left}
    retry_at = (job.ended_at or now) + timedelta(seconds=failure.retry_in_s)
    return {"retries_left": max(0, job.retries_left - 1), "retry_at": retry_at}


def _error(raised: ExceptionInfo) -> dict[str, str | None]:
    return {
        "type": raised.type or None,
        "message": shorten(raised.message),
        "stack_trace": shorten(raised.stack_trace) or None,
    }


def _raised_from(text: str) -> ExceptionInfo:
    """RQ's text of an ending: a traceback, or (where nothing was raised) a message as an exception without a type."""
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
