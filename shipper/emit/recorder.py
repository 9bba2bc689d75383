"""The observer that writes the records: reads the facts, has the record made, appends its line."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .. import records
from ..origin import Origin
from ..redact import Redactor
from ..settings import Settings
from . import contents, lifecycle
from .audit import Event, Trail
from .callbacks import Callbacks
from .facts import JobFacts
from .hooks import Failure, Hooks, Operation, Progress, Success
from .sink import Sink

if TYPE_CHECKING:
    from rq.worker import BaseWorker


class Recorder(Hooks):
    """Writes one record for each moment that has one, to `settings.log`."""

    def __init__(self, settings: Settings) -> None:
        self.sink = Sink(settings.log, settings.log_mode)
        self._settings = settings
        self._redactor = Redactor(settings.redact)
        self._callbacks = Callbacks(settings)
        self._made_for = Origin.here(settings)
        self._trail = Trail(settings, self.sink)

    def worker_started(self, worker: BaseWorker) -> None:
        worker.log.info("Job records go to %s (SHIPPER_LOG)", self.sink.path)

    def enqueued(self, job: JobFacts, cause: str) -> None:
        self._write(job, lifecycle.enqueued(job, cause, _now(), self._origin()))

    def deferred(self, job: JobFacts) -> None:
        self._write(job, lifecycle.deferred(job, _now(), self._origin()))

    def scheduled(self, job: JobFacts, cause: str) -> None:
        self._write(job, lifecycle.scheduled(job, cause, _now(), self._origin()))

    def removed(self, job: JobFacts, how: str, *, concluded: bool = False) -> None:
        self._write(job, lifecycle.removed(job, how, _now(), self._origin(), concluded=concluded))

    def started(self, job: JobFacts, execution_id: str | None, worker: str) -> None:
        self._write(job, lifecycle.started(job, execution_id, worker, _now(), self._origin()))

    def progressed(self, job: JobFacts, progress: Progress, execution_id: str | None) -> None:
        self._write(job, lifecycle.progressed(job, progress, execution_id, _now(), self._origin()))

    def succeeded(self, job: JobFacts, success: Success) -> None:
        self._write(job, lifecycle.finished(job, success, _now(), self._origin()))

    def failed(self, job: JobFacts, failure: Failure) -> None:
        self._callbacks.tell(self._write(job, lifecycle.failed(job, failure, _now(), self._origin())))

    def operated(self, operation: Operation) -> None:
        job = operation.job
        self._trail.write(Event(
            action=operation.action, type=operation.type, resource=operation.resource, category="process",
            outcome="failure" if operation.error else "success", error=operation.error, reason=operation.detail,
            target=job.context.get("user") if job else None, more=lifecycle.about(job) if job else None, operator=True,
        ))  # fmt: skip

    def _write(self, job: JobFacts, record: records.Record) -> bytes:
        line = records.encode(contents.add(record, job, self._redactor))
        self.sink.append(line)
        return line

    def _origin(self) -> Origin:
        # The recorder is made before the work-horse forks: the process that it was made in may not be this one.
        if self._made_for.pid != os.getpid():
            self._made_for = Origin.here(self._settings)
        return self._made_for


def _now() -> datetime:
    return datetime.now(UTC)
