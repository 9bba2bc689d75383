"""Wraps RQ's enqueueing for `shipper.unique`: an enqueue of a name that another job has returns that job."""

from __future__ import annotations

import contextlib
import time
from typing import Any

from rq.exceptions import NoSuchJobError

from ...guard import never_raise
from ...sections import unique
from ...sections.unique import Unique
from .. import snapshot
from ..descriptors import Wrapper
from ..events import observers
from .enqueue import when_executed
from .sections import function_of

# The process that enqueued the first job may not have saved it yet.
_WAIT_S = 1.0
_POLL_S = 0.02


def enqueue(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
    """`Queue.enqueue` and `enqueue_at` with `unique="a template"`, which no RQ knows, and `unique_until`."""
    if not isinstance(kwargs.get("unique"), str):
        return original(queue, *args, **kwargs)
    before = unique.asked.set(unique.make(kwargs.pop("unique"), kwargs.pop("unique_until", "finished")))
    try:
        return original(queue, *args, **kwargs)
    finally:
        unique.asked.reset(before)


def marked(wrapped: Wrapper) -> Wrapper:
    """A wrapper of Queue.create_job that notes on the job which name it has to claim before it is pushed."""

    def wrapper(original: Wrapper, queue: Any, *args: Any, **kwargs: Any) -> Any:
        asked = unique.asked.get()
        job = wrapped(original, queue, *args, **kwargs)
        function = function_of(job)
        wanted: Unique | None = asked or getattr(function, unique.DECLARED, None)
        if wanted is not None:
            name = wanted.template.fill(function, job.func_name, job.args, job.kwargs)
            snapshot.marks_of(job).unique = (wanted, name)
        return job

    return wrapper


def once(wrapped: Wrapper) -> Wrapper:
    """A wrapper of the methods that push or schedule a new job: they return the first job if there is one."""

    def wrapper(original: Wrapper, queue: Any, job: Any, *args: Any, **kwargs: Any) -> Any:
        marks = snapshot.marks_of(job)
        if marks.unique is None:
            return wrapped(original, queue, job, *args, **kwargs)
        (wanted, name), marks.unique = marks.unique, None
        first_id = wanted.claim(queue.connection, name, job.id)
        if first_id != job.id:
            with never_raise("refused"):
                observers.refused(snapshot.from_job(job)._replace(job_id=first_id), "duplicate")
            return _fetch(queue, first_id)
        answer = wrapped(original, queue, job, *args, **kwargs)
        with never_raise("unique"):
            # `schedule_job` has the time before the pipeline.
            after = tuple(one for one in args if hasattr(one, "execute"))
            when_executed(after, kwargs, lambda _: wanted.confirm(queue.connection, name, job.id))
        return answer

    return wrapper


def plain(original: Wrapper, *args: Any, **kwargs: Any) -> Any:
    """For `once`, where nothing else is wrapped."""
    return original(*args, **kwargs)


def _fetch(queue: Any, job_id: str) -> Any:
    """The first job. Without its fields if it is not in Redis yet, as its enqueuer's pipeline is not executed."""
    job = queue.job_class(job_id, connection=queue.connection, serializer=queue.serializer)
    deadline = time.monotonic() + _WAIT_S
    while True:
        with contextlib.suppress(NoSuchJobError):
            job.refresh()
            return job
        if time.monotonic() >= deadline:
            return job
        time.sleep(_POLL_S)
