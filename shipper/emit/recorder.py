"""The observer that writes job records: builds the record of each event and appends it to the log."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .. import records
from ..audit.writer import Event, Trail
from ..job_fields import Progress
from ..redact import Redactor
from ..service import ServiceInfo
from ..settings import Settings
from ..sink import Sink
from . import job_arguments, job_records
from .callbacks import Callbacks
from .events import Busy, Failure, Hooks, Operation, Success
from .snapshot import JobSnapshot

if TYPE_CHECKING:
    from rq.worker import BaseWorker


class Recorder(Hooks):
    """Writes one record for each event to `settings.log`, and calls the failure callbacks."""

    def __init__(self, settings: Settings) -> None:
        self.sink = Sink(settings.log, settings.log_mode)
        self._settings = settings
        self._redactor = Redactor(settings.redact)
        self._callbacks = Callbacks(settings)
        self._cached_service = ServiceInfo.here(settings)
        self._trail = Trail(settings, self.sink)

    def worker_started(self, worker: BaseWorker) -> None:
        self._redactor.compile()  # once, and not in each work-horse that needs it
        self._warm_up()
        worker.log.info("Job records go to %s (SHIPPER_LOG)", self.sink.path)

    def _warm_up(self) -> None:
        """Build records and discard them, as the first ones take longer, and each work-horse builds but two.

        That is orjson's own preparation, and Python's, which rewrites a function for speed after some calls (PEP 659).
        """
        service, now = self._service(), datetime.now(UTC)
        job = JobSnapshot("", "", enqueued_at=now, started_at=now, ended_at=now)
        success = Success(execution_id="", worker="", result_type="")
        for _ in range(_WARM_UP):
            records.encode(job_records.started(job, "", "", now, service))
            records.encode(job_records.finished(job, success, now, service))

    def enqueued(self, job: JobSnapshot, cause: str) -> None:
        self._write(job, job_records.enqueued(job, cause, datetime.now(UTC), self._service()))

    def deferred(self, job: JobSnapshot) -> None:
        self._write(job, job_records.deferred(job, datetime.now(UTC), self._service()))

    def scheduled(self, job: JobSnapshot, cause: str) -> None:
        self._write(job, job_records.scheduled(job, cause, datetime.now(UTC), self._service()))

    def rate_limited(self, job: JobSnapshot) -> None:
        self._write(job, job_records.rate_limited(job, datetime.now(UTC), self._service()))

    def refused(self, job: JobSnapshot, reason: str) -> None:
        self._write(job, job_records.refused(job, reason, datetime.now(UTC), self._service()))

    def webhook_failed(self, job: JobSnapshot, url: str, error: Exception) -> None:
        text = self._redactor.text(str(error), "error.message")
        kind = type(error).__qualname__
        self._write(job, job_records.webhook_failed(job, url, kind, text, datetime.now(UTC), self._service()))

    def removed(self, job: JobSnapshot, how: str, *, concluded: bool = False) -> None:
        self._write(job, job_records.removed(job, how, datetime.now(UTC), self._service(), concluded=concluded))

    def started(self, job: JobSnapshot, execution_id: str | None, worker: str) -> None:
        self._write(job, job_records.started(job, execution_id, worker, datetime.now(UTC), self._service()))

    def progressed(self, job: JobSnapshot, progress: Progress, execution_id: str | None) -> None:
        if progress.message:
            progress = replace(progress, message=self._redactor.text(progress.message, "rq.progress.message"))
        self._write(job, job_records.progressed(job, progress, execution_id, datetime.now(UTC), self._service()))

    def busy(self, job: JobSnapshot, busy: Busy) -> None:
        self._write(job, job_records.busy(job, busy, datetime.now(UTC), self._service()))

    def succeeded(self, job: JobSnapshot, success: Success) -> None:
        self._write(job, job_records.finished(job, success, datetime.now(UTC), self._service()))

    def failed(self, job: JobSnapshot, failure: Failure) -> None:
        failure = self._redacted(failure)
        self._callbacks.notify(self._write(job, job_records.failed(job, failure, datetime.now(UTC), self._service())))

    def operated(self, operation: Operation) -> None:
        job = operation.job
        self._trail.write(
            Event(
                action=operation.action,
                type=operation.type,
                resource=operation.resource,
                category="process",
                outcome="failure" if operation.error else "success",
                error=operation.error,
                reason=operation.detail,
                target=job.context.get("user") if job else None,
                operator=True,
                more=job_records.job_identity(job) if job else None,
            )
        )

    def _redacted(self, failure: Failure) -> Failure:
        """The failure with texts without secrets. Before they are cut, as a secret's second half looks like nothing."""
        redacted, raised = self._redactor.text, failure.raised
        if raised is None:
            text = redacted(failure.text, "error.stack_trace")
            return failure if text == failure.text else replace(failure, text=text)
        message = redacted(raised.message, "error.message")
        stack = redacted(raised.stack_trace, "error.stack_trace")
        if message == raised.message and stack == raised.stack_trace:
            return failure
        return replace(failure, raised=replace(raised, message=message, stack_trace=stack))

    def _write(self, job: JobSnapshot, record: records.Record) -> bytes:
        line = records.encode(job_arguments.add(record, job, self._redactor))
        self.sink.append(line)
        return line

    def _service(self) -> ServiceInfo:
        # The recorder is created before the work-horse forks, and the pid differs after it.
        if self._cached_service.pid != os.getpid():
            self._cached_service = ServiceInfo.here(self._settings)
        return self._cached_service


_WARM_UP = 20  # a function is rewritten after eight calls, and what it does most after some more
