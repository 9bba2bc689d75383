"""Looks up the state of jobs: one by its id, or many by filters.

state = shipper.jobs.get(job_id)                                  # from Redis if it is there, else Elasticsearch
for state in shipper.jobs.find(user="bob", state="dead"): …       # from Elasticsearch
if any(shipper.jobs.find(family="financial", user="bob", state="started")): …  # from Redis: what is true now

The answer is advice: it may have changed when it is read. What must not run together belongs in a critical section.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import fields
from . import settings as settings_module
from .forking import no_fork
from .live.jobs import Criteria, JobState
from .redact import Redactor
from .settings import Settings
from .state import document_id, index_name, job_id_of

if TYPE_CHECKING:
    from redis import Redis

__all__ = ["LIVE", "JobState", "find", "from_elasticsearch", "get", "redacted"]

LIVE = frozenset({"queued", "started", "scheduled", "deferred", "rate_limited"})
"""The states that Redis is asked for: those of jobs that have not ended."""


def get(job_id: str, *, settings: Settings | None = None, redis: Redis | None = None) -> JobState | None:
    """The job's state, from Redis if the job is there, else from Elasticsearch. None if neither has it.

    `error` is redacted. Unpickles nothing. Raises redis.RedisError, or DestinationError if Elasticsearch was needed and
    failed.
    """
    with no_fork:
        from .live import jobs as live

    config = settings or settings_module.load()
    connection = redis if redis is not None else _connect(config)
    try:
        state = live.get(connection, job_id)
    finally:
        if redis is None:
            connection.close()
    if state is None:
        return from_elasticsearch(job_id, config)
    return redacted(state, config)


def redacted(state: JobState, config: Settings) -> JobState:
    """The state without secrets in its error, which RQ stores as it was raised."""
    return replace(state, error=Redactor(config.redact).text(state.error)) if state.error else state


def find(
    *,
    user: object = None,
    customer: object = None,
    function: str | None = None,
    family: str | None = None,
    queue: str | None = None,
    state: str | Collection[str] | None = None,
    service: str | None = None,
    settings: Settings | None = None,
    redis: Redis | None = None,
) -> Iterator[JobState]:
    """The jobs that match all given filters, without the job that asks.

    If `state` is one of LIVE, or several of them, the jobs are read from Redis, in no order. Else they come from
    Elasticsearch, latest change first. `family` is that of the jobs' critical section, or the module of their function.
    In Redis, `service` is not known.

    Raises redis.RedisError or DestinationError.
    """
    config = settings or settings_module.load()
    states = (state,) if isinstance(state, str) else tuple(state or ())
    own_id = _own_id()
    user_id, customer_id = (None if value is None else str(value) for value in (user, customer))
    if states and LIVE.issuperset(states):
        criteria = Criteria(
            states=states,
            function=function,
            family=family,
            queue=queue,
            user=user_id,
            customer=customer_id,
            without=own_id,
        )
        yield from _in_redis(criteria, config, redis)
        return
    asked = {
        "user.id": user_id,
        "organization.id": customer_id,
        "service.name": service,
        "job_type": function,
        "family": family,
        "queue": queue,
    }
    for found in _in_elasticsearch(asked, states, config):
        if found.job_id != own_id:
            yield found


def _in_redis(criteria: Criteria, config: Settings, redis: Redis | None) -> Iterator[JobState]:
    with no_fork:
        from .live import jobs as live

    connection = redis if redis is not None else _connect(config)
    try:
        yield from live.find(connection, criteria)
    finally:
        if redis is None:
            connection.close()


def _in_elasticsearch(asked: dict[str, str | None], states: tuple[str, ...], config: Settings) -> Iterator[JobState]:
    with no_fork:
        from .client import connect_reader
        from .read.states import matching

    filters: list[dict[str, Any]] = [{"term": {name: value}} for name, value in asked.items() if value is not None]
    if states:
        filters.append({"terms": {"state": list(states)}})
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
    attempt = fields.number(source, "attempt")
    error = (fields.text(source, "error", "type"), fields.text(source, "error", "message"))
    return JobState(
        job_id=job_id,
        state=fields.text(source, "state") or "unknown",
        live=False,
        function=fields.text(source, "job_type"),
        queue=fields.text(source, "queue"),
        worker=fields.text(source, "worker"),
        user=fields.text(source, "user", "id"),
        customer=fields.text(source, "organization", "id"),
        attempt=None if attempt is None else int(attempt),
        created_at=fields.moment(source.get("created_at")),
        updated_at=fields.moment(source.get("updated_at")),
        error=": ".join(filter(None, error)) or None,
        percent=fields.number(source, "progress", "percent"),
        message=fields.text(source, "progress", "message"),
        family=fields.text(source, "family"),
    )


def _connect(config: Settings) -> Redis:
    with no_fork:
        from .live.connection import connect

    return connect(config)


def _own_id() -> str | None:
    """The id of the job that this code runs in."""
    rq = sys.modules.get("rq")
    job = rq.get_current_job() if rq is not None else None
    return None if job is None else str(job.id)
