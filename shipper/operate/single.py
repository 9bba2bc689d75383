"""Acts on one job. What RQ does by several commands is done by one script or transaction, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from redis.exceptions import WatchError
from rq.command import send_command
from rq.exceptions import InvalidJobOperation
from rq.job import Job, JobStatus
from rq.queue import Queue
from rq.registry import CanceledJobRegistry, FailedJobRegistry
from rq.utils import as_text, utcformat

from .. import lua
from .. import settings as settings_module
from ..emit import snapshot
from ..emit.events import observers
from ..emit.instrument import instrument
from ..emit.patches.operate import report, with_reason
from ..errors import ShipperError
from ..job_fields import CARRIED_FIELD
from ..live import keys
from ..live.connection import connect
from ..settings import Settings

Result = Literal["done", "gone", "changed"]

# The registry that a job of each status is in, which may be run again.
REQUEUED_FROM = {"failed": FailedJobRegistry, "stopped": FailedJobRegistry, "canceled": CanceledJobRegistry}


class Chosen(NamedTuple):
    """A job as it was when it was chosen. `revision` is "status enqueued_at ended_at", as Redis has them."""

    job_id: str
    revision: str

    @property
    def status(self) -> str:
        return self.revision.partition(" ")[0]


def requeue(job_id: str, *, reason: str | None = None, settings: Settings | None = None, redis: Any = None) -> None:
    """Push a dead, stopped or canceled job again. Raises ShipperError if it is none, or not in Redis."""
    connection = prepared(settings, redis)
    chosen = _choose(connection, job_id)
    if chosen.status not in REQUEUED_FROM:
        raise ShipperError(f"Job {job_id} is {chosen.status}. Only dead, stopped and canceled jobs can be requeued.")
    with with_reason(reason):
        _expect(push_again(connection, chosen), job_id)


def discard(job_id: str, *, reason: str | None = None, settings: Settings | None = None, redis: Any = None) -> None:
    """Delete a job that is not running, with its result. Raises ShipperError if it runs, or is not in Redis."""
    connection = prepared(settings, redis)
    chosen = _choose(connection, job_id)
    if chosen.status == JobStatus.STARTED:
        raise ShipperError(f"Job {job_id} is running. Stop it first: shipper job {job_id} --stop.")
    with with_reason(reason):
        _expect(delete(connection, chosen), job_id)


def cancel(job_id: str, *, reason: str | None = None, settings: Settings | None = None, redis: Any = None) -> None:
    """Cancel a job that waits. Raises ShipperError if it runs, has ended, or is not in Redis."""
    connection = prepared(settings, redis)
    chosen = _choose(connection, job_id)
    if chosen.status == JobStatus.STARTED:
        raise ShipperError(f"Job {job_id} is running. Stop it instead: shipper job {job_id} --stop.")
    if chosen.status in ("finished", "failed", "stopped", "canceled"):
        raise ShipperError(f"Job {job_id} has ended already: it is {chosen.status}.")
    with with_reason(reason):
        _expect(_in_transaction(connection, chosen, "cancel"), job_id)


def stop(job_id: str, *, reason: str | None = None, settings: Settings | None = None, redis: Any = None) -> None:
    """Ask the worker to stop a running job. Raises ShipperError if it does not run, or is not in Redis."""
    connection = prepared(settings, redis)
    status, worker = connection.hmget(keys.job(job_id), "status", "worker_name")
    if status is None:
        raise _unknown(job_id)
    if as_text(status) != JobStatus.STARTED or not worker:
        raise ShipperError(f"Job {job_id} is {as_text(status)}, so that there is nothing to stop.")
    with with_reason(reason):
        send_command(connection, as_text(worker), "stop-job", job_id=job_id)


# --- also for bulk acts ---------------------------------------------------------------------------------


def prepared(settings: Settings | None, redis: Any) -> Any:
    """The connection, in a process that writes records."""
    instrument()
    return redis if redis is not None else connect(settings or settings_module.load())


def choose(connection: Any, ids: list[str]) -> list[Chosen]:
    """These jobs as they are now, without those that are gone."""
    answers = keys.ask(connection, [("hmget", keys.job(one), "status", "enqueued_at", "ended_at") for one in ids])
    return [Chosen(one, _revision(answer)) for one, answer in zip(ids, answers, strict=True) if answer[0]]


def push_again(connection: Any, chosen: Chosen) -> Result:
    """Push it if it is as it was when it was chosen, and record and audit that."""
    job = read(connection, chosen.job_id)
    if job is None:
        return "gone"
    before = snapshot.from_job(job)
    queue, now = Queue(job.origin, connection=connection), datetime.now(UTC)
    registry = REQUEUED_FROM[chosen.status](queue=queue)
    snapshot.forget_schedule(job)  # it waits from now on
    names = [job.key, registry.key, queue.key, Queue.redis_queues_keys]
    arguments = job.id, chosen.revision, utcformat(now), CARRIED_FIELD, snapshot.carried_bytes(job) or b""
    answer = as_text(lua.run(connection, __package__, "requeue", names, *arguments))
    if answer == "rate_limited":  # RQ 3: its own way asks for a place in the limit
        try:
            registry.requeue(job.id)
        except InvalidJobOperation:
            return "changed"
        return "done"
    if answer == "done":
        job.enqueued_at, job.started_at, job.ended_at = now, None, None
        observers.enqueued(snapshot.from_job(job), "requeue")
        report("job-requeued", "change", before, ("job", job.id, before.function))
        return "done"
    return "gone" if answer == "gone" else "changed"


def delete(connection: Any, chosen: Chosen) -> Result:
    """Delete it, by RQ's own method, if it is as it was when it was chosen."""
    return _in_transaction(connection, chosen, "delete")


def read(connection: Any, job_id: str) -> Job | None:
    """A job without its meta, which would have to be unpickled. It must not be saved."""
    raw = connection.execute_command("HGETALL", keys.job(job_id), NEVER_DECODE=True)
    if not raw:
        return None
    raw.pop(b"meta", None)
    job = Job(job_id, connection=connection)
    job.restore(raw)
    return job


def _in_transaction(connection: Any, chosen: Chosen, method: str) -> Result:
    """Call a method of Job that takes a pipeline, unless the job has changed before that is executed."""
    job = read(connection, chosen.job_id)
    if job is None:
        return "gone"
    with connection.pipeline() as pipeline:
        try:
            pipeline.watch(job.key)
            if _revision(pipeline.hmget(job.key, "status", "enqueued_at", "ended_at")) != chosen.revision:
                return "changed"
            pipeline.multi()
            getattr(job, method)(pipeline=pipeline)
            pipeline.execute()
        except WatchError:
            return "changed"
    return "done"


def _choose(connection: Any, job_id: str) -> Chosen:
    for chosen in choose(connection, [job_id]):
        return chosen
    raise _unknown(job_id)


def _unknown(job_id: str) -> ShipperError:
    return ShipperError(
        f"There is no job {job_id} in Redis. RQ deletes ended jobs after a time (result_ttl, failure_ttl)."
    )


def _expect(result: Result, job_id: str) -> None:
    if result != "done":
        raise ShipperError(f"Job {job_id} has changed meanwhile, so that nothing was done. Look at it again.")


def _revision(values: Any) -> str:
    return " ".join(as_text(value) if value else "" for value in values)
