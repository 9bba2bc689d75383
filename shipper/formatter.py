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
from functools import cache
from typing import Any

from pythonjsonlogger.json import JsonFormatter as _JsonFormatter

from . import context, settings
from .records import begin, encode, record_id, shorten, text_of, timestamp
from .redact import Redactor
from .service import ServiceInfo
from .settings import Settings

DATASET = "rq.app"

# The attributes that logging sets on a record. Everything else is the application's `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _config() -> Settings:
    return settings.load(complain=logging.getLogger("shipper").error)


@cache
def _redactor() -> Redactor:
    """For structlog_context, which is a function and called for each line."""
    return Redactor(_config().redact)


class JsonFormatter(_JsonFormatter):
    """A `python-json-logger` formatter whose lines are ECS records of the dataset `rq.app`.

    Within a job each line has the job's id, function and attempt. Every line has the log context.
    `extra` goes under `labels`, so that no field of the application can cause a mapping conflict. Secrets are redacted
    in all of them, and in the message and the stack trace.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        config = _config()
        self._service = ServiceInfo.here(config)
        self._redactor = Redactor(config.redact)

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, without its newline."""
        at = datetime.fromtimestamp(record.created, UTC)
        try:
            message = record.getMessage()
        except Exception:  # wrong arguments to a log call must not cost the line
            message = f"{text_of(record.msg, str)} {text_of(record.args, str)}"
        message = self._redactor.text(message)
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
                "message": shorten(self._redactor.text(text_of(value, str), "error.message")),
                "stack_trace": shorten(self._redactor.text(self._stack_trace(record), "error.stack_trace")),
            }
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if extra or "labels" in line:
            line["labels"], _ = self._redactor.named({**line.get("labels", {}), **extra})
        return encode(line)[:-1].decode()

    def _stack_trace(self, record: logging.LogRecord) -> str:
        try:
            return logging.Formatter.formatException(self, record.exc_info)  # type: ignore[arg-type]
        except Exception:  # of an exception that breaks whoever shows it, its message is kept
            return ""


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
    """A structlog processor that adds the running job and the log context, under ECS names.

    The event's text becomes `message`. A key of the application's own that is an ECS field's name, such as `user` or
    `service`, moves under `labels`: what stands there would not have to fit the field. Secrets are redacted; in a
    stack trace only if this processor comes after the one that formats it.
    """
    redactor = _redactor()
    own = {name: event.pop(name) for name in _RESERVED if name in event}
    text = own.pop("event", "")
    for name, value in event.items():
        event[name] = redactor.value(name, value)
    event["@timestamp"] = timestamp(datetime.now(UTC))
    event["event"] = {"dataset": DATASET, "kind": "event"}
    event["message"] = redactor.text(text if isinstance(text, str) else text_of(text, str))
    event.update(current_fields())
    if own:
        event.setdefault("labels", {}).update(own)
    if "labels" in event:
        event["labels"], _ = redactor.named(event["labels"])
    return event


# The names of the objects that rq-app's indices have fields in, and of what is written here.
_RESERVED = (
    "@timestamp", "app", "code", "ecs", "error", "event", "host", "labels", "log", "message", "messaging",
    "organization", "process", "rq", "service", "span", "tags", "trace", "user",
)  # fmt: skip
