"""Formats the application's log lines as `rq.app` records: ECS, with the running job and the log context.

    handler.setFormatter(shipper.JsonFormatter())          # logging
    structlog.configure(processors=[…, shipper.structlog_context, structlog.processors.JSONRenderer()])

If the file is one that the shipper tails, `shipper job ID` shows the job's log lines.
"""

from __future__ import annotations

import logging
import os
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter as _JsonFormatter

from . import context, settings
from .records import begin, encode, record_id, shorten, timestamp
from .redact import Redactor
from .service import ServiceInfo

DATASET = "rq.app"

# The attributes that logging sets on a record. Everything else is the application's `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(_JsonFormatter):
    """A `python-json-logger` formatter whose lines are ECS records of the dataset `rq.app`.

    Within a job each line has the job's id, function and attempt. Every line has the log context.
    `extra` goes under `labels`, redacted, so that no field of the application can cause a mapping conflict.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = settings.load(complain=logging.getLogger("shipper").error)
        self._service = ServiceInfo.here(config)
        self._redactor = Redactor(config.redact)

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, without its newline."""
        at = datetime.fromtimestamp(record.created, UTC)
        try:
            message = record.getMessage()
        except Exception:  # wrong arguments to a log call must not cost the line
            message = f"{record.msg} {record.args}"
        host, job = self._service.host, context.running.get()
        identity = (host["name"], str(os.getpid()), str(record.thread), repr(record.created), message)
        line = begin(timestamp(at), record_id(at, *identity), DATASET, {"kind": "event"})
        line |= {
            "ecs": self._service.ecs,
            "message": shorten(message),
            "log": {"level": record.levelname.lower(), "logger": record.name},
            "service": self._service.service_of(job.queue if job else None),
            "host": host,
            "process": {"pid": record.process},
            **current_fields(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            kind, value, _ = record.exc_info
            line["error"] = {
                "type": kind.__qualname__,
                "message": shorten(str(value)),
                "stack_trace": shorten(logging.Formatter.formatException(self, record.exc_info)),
            }
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if extra or "labels" in line:
            line["labels"], _ = self._redactor.named({**line.get("labels", {}), **extra})
        return encode(line)[:-1].decode()


def current_fields() -> dict[str, Any]:
    """The running job and the log context as fields of a record; {} outside of both.

    For the application's own handlers, such as an exception notifier.
    """
    fields = context.fields_of(context.current())
    job = context.running.get()
    if job is not None:
        fields |= context.job_fields(job)
    return fields


def structlog_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that adds the running job and the log context, under ECS names."""
    fields = current_fields()
    event["@timestamp"] = timestamp(datetime.now(UTC))
    event["event"] = {"dataset": DATASET, "kind": "event"} | ({"original": event["event"]} if "event" in event else {})
    event["message"] = event["event"].pop("original", "")
    for name, value in fields.items():
        event.setdefault(name, value)
    return event
