"""Ask for jobs: one by its id at once, many by what they are.

state = shipper.jobs.get(job_id)                                  # Redis while it lives, Elasticsearch after
for state in shipper.jobs.find(user="bob", state="dead"): …       # Elasticsearch
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import settings as settings_module
from .forking import no_fork
from .job_fields import CARRIED_FIELD, attempts, parse_carried, read_progress, text
from .records import parse_timestamp
from .settings import Settings
from .state import document_id, index_name, job_id_of

if TYPE_CHECKING:
    from redis import Redis

# RQ's words for what the records call otherwise.
_STATES = {"failed": "dead"}

# Never `data` nor `result`: both are pickles, and this process is not the one that runs the job.
_FIELDS = (
    "status", "description", "origin", "worker_name", "created_at", "enqueued_at", "started_at", "ended_at",
    "retries_left", "number_of_retries", "shipper",
)  # fmt: skip
_CALL = re.compile(r"([A-Za-z_][\w.]*)\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """Where a job is. `state` is queued, deferred, scheduled, started, retrying, finished, dead, stopped, canceled,
    deleted, expired or lost; `live` says whether Redis still has it. `percent` is its progress, 0 to 100.
    """

    job_id: str
    state: str
    live: bool
    function: str | None = None
    queue: str | None = None
    worker: str | None = None
    user: str | None = None
    customer: str | None = None
    attempt: int | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    error: str | None = None
    percent: float | None = None
    message: str | None = None


def get(job_id: str, *, settings: Settings | None = None, redis: Redis | None = None) -> JobState | None:
    """The job's state, None if nobody knows it. From Redis where it still lives, else from Elasticsearch.

    Unpickles nothing. Raises redis.RedisError if Redis cannot be asked, DestinationError if Elasticsearch
    had to be asked and could not.
    """
    made = settings or settings_module.load()
    return _from_redis(job_id, made, redis) or kept(job_id, made)


def find(
    *,
    user: str | None = None,
    customer: str | None = None,
    function: str | None = None,
    queue: str | None = None,
    state: str | None = None,
    service: str | None = None,
    settings: Settings | None = None,
) -> Iterator[JobState]:
    """The jobs that match all that is given, the latest changed first. From Elasticsearch; raises DestinationError."""
    with no_fork:
        from .client import connect_reader
        from .read.states import matching

    made = settings or settings_module.load()
    asked = {
        "user.id": user, "organization.id": customer, "service.name": service,
        "job_type": function, "queue": queue, "state": state,
    }  # fmt: skip
    filters = [{"term": {field: value}} for field, value in asked.items() if value is not None]
    with connect_reader(made) as client, closing(matching(client, made, filters, "desc")) as hits:
        for hit in hits:
            yield _state(job_id_of(hit), hit["_source"])


def kept(job_id: str, made: Settings) -> JobState | None:
    """The state that Elasticsearch has of a job, None if it has none. Raises DestinationError."""
    with no_fork:
        from elasticsearch import NotFoundError

        from .client import connect_reader, translated_errors

    with connect_reader(made) as client, translated_errors(made):
        try:
            return _state(job_id, client.get(index=index_name(made.namespace), id=document_id(job_id))["_source"])
        except NotFoundError:
            return None


def _state(job_id: str, source: dict[str, Any]) -> JobState:
    progress, error = source.get("progress", {}), source.get("error", {})
    return JobState(
        job_id=job_id,
        state=source["state"],
        live=False,
        function=source.get("job_type"),
        queue=source.get("queue"),
        worker=source.get("worker"),
        user=source.get("user", {}).get("id"),
        customer=source.get("organization", {}).get("id"),
        attempt=source.get("attempt"),
        created_at=_moment(source.get("created_at")),
        updated_at=_moment(source.get("updated_at")),
        error=": ".join(part for part in (error.get("type"), error.get("message")) if part) or None,
        percent=progress.get("percent"),
        message=progress.get("message"),
    )


def _from_redis(job_id: str, made: Settings, redis: Redis | None) -> JobState | None:
    with no_fork:
        from redis import Redis as Client
        from rq.job import Job

    connection = redis if redis is not None else Client.from_url(made.redis)
    try:
        found: Any = connection.hmget(Job.key_for(job_id), list(_FIELDS))
        values = {name: text(value) for name, value in zip(_FIELDS, found, strict=True) if value}
        if "status" not in values:
            return None
        progress = read_progress(connection, job_id)
    finally:
        if redis is None:
            connection.close()
    carried = parse_carried(values.get(CARRIED_FIELD))
    context = carried.get("context", {})
    left, returned = int(values.get("retries_left", 0)), int(values.get("number_of_retries", 0))
    _, attempt = attempts(left, returned, carried.get("max_attempts"))
    moments = [_moment(values.get(name)) for name in ("ended_at", "started_at", "enqueued_at", "created_at")]
    called = _CALL.match(values.get("description", ""))
    return JobState(
        job_id=job_id,
        state=_STATES.get(values["status"], values["status"]),
        live=True,
        function=called[1] if called else None,
        queue=values.get("origin"),
        worker=values.get("worker_name"),
        user=context.get("user"),
        customer=context.get("customer"),
        attempt=attempt,
        created_at=_moment(values.get("created_at")),
        updated_at=max((moment for moment in moments if moment), default=None),
        percent=progress.percent if progress else None,
        message=progress.message if progress else None,
    )


def _moment(text: str | None) -> datetime | None:
    return parse_timestamp(text) if text else None
