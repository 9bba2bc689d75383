"""Looks up the state of jobs: one by its id, or many by filters.

state = shipper.jobs.get(job_id)                                  # from Redis if it is there, else Elasticsearch
for state in shipper.jobs.find(user="bob", state="dead"): …       # from Elasticsearch
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import settings as settings_module
from .forking import no_fork
from .job_fields import CARRIED_FIELD, attempts, called_function, parse_carried, read_progress, text
from .records import parse_timestamp
from .settings import Settings
from .state import document_id, index_name, job_id_of

if TYPE_CHECKING:
    from redis import Redis

# RQ's statuses that have another name here.
_STATES = {"failed": "dead"}

# Neither `data` nor `result`: both are pickles.
_FIELDS = (
    "status", "description", "origin", "worker_name", "created_at", "enqueued_at", "started_at", "ended_at",
    "retries_left", "number_of_retries", "shipper",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job's state.

    `state` is queued, deferred, scheduled, started, retrying, finished, dead, stopped, canceled, deleted, expired or
    lost. `live`: it was read from Redis. `percent` and `message` are the job's progress; `percent` is 0 to 100.
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
    """The job's state, from Redis if the job is there, else from Elasticsearch. None if neither has it.

    Unpickles nothing. Raises redis.RedisError, or DestinationError if Elasticsearch was needed and failed.
    """
    config = settings or settings_module.load()
    return _from_redis(job_id, config, redis) or from_elasticsearch(job_id, config)


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
    """The jobs that match all given filters, from Elasticsearch, latest change first. Raises DestinationError."""
    with no_fork:
        from .client import connect_reader
        from .read.states import matching

    config = settings or settings_module.load()
    terms = {
        "user.id": user,
        "organization.id": customer,
        "service.name": service,
        "job_type": function,
        "queue": queue,
        "state": state,
    }
    filters = [{"term": {field: value}} for field, value in terms.items() if value is not None]
    with connect_reader(config) as client, closing(matching(client, config, filters, "desc")) as hits:
        for hit in hits:
            yield _state(job_id_of(hit), hit["_source"])


def from_elasticsearch(job_id: str, config: Settings) -> JobState | None:
    """The job's state document from Elasticsearch, None if there is none. Raises DestinationError."""
    with no_fork:
        from elasticsearch import NotFoundError

        from .client import connect_reader, translated_errors

    with connect_reader(config) as client, translated_errors(config):
        try:
            return _state(job_id, client.get(index=index_name(config.namespace), id=document_id(job_id))["_source"])
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
        created_at=_datetime(source.get("created_at")),
        updated_at=_datetime(source.get("updated_at")),
        error=": ".join(part for part in (error.get("type"), error.get("message")) if part) or None,
        percent=progress.get("percent"),
        message=progress.get("message"),
    )


def _from_redis(job_id: str, config: Settings, redis: Redis | None) -> JobState | None:
    with no_fork:
        from rq.job import Job

        from .live.connection import connect

    connection = redis if redis is not None else connect(config)
    try:
        raw: Any = connection.hmget(Job.key_for(job_id), list(_FIELDS))
        values = {name: text(value) for name, value in zip(_FIELDS, raw, strict=True) if value}
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
    times = [_datetime(values.get(name)) for name in ("ended_at", "started_at", "enqueued_at", "created_at")]
    return JobState(
        job_id=job_id,
        state=_STATES.get(values["status"], values["status"]),
        live=True,
        function=carried.get("function") or called_function(values.get("description")),
        queue=values.get("origin"),
        worker=values.get("worker_name"),
        user=context.get("user"),
        customer=context.get("customer"),
        attempt=attempt,
        created_at=_datetime(values.get("created_at")),
        updated_at=max((time for time in times if time), default=None),
        percent=progress.percent if progress else None,
        message=progress.message if progress else None,
    )


def _datetime(text: str | None) -> datetime | None:
    return parse_timestamp(text) if text else None
