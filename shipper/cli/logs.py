"""The shipper's own log: text on a terminal, else JSON lines in ECS."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from ..printable import printable_lines
from ..records import ECS_VERSION, timestamp
from ..settings import Settings


def begin(settings: Settings) -> None:
    """Send the log messages of this package to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(_Terminal("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    else:
        handler.setFormatter(_Ecs(settings))
    log = logging.getLogger("shipper")
    log.addHandler(handler)
    log.setLevel(logging.INFO)


class _Terminal(logging.Formatter):
    """Lines that cannot change the terminal: a message may quote a record or a file's name."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class _Ecs(JsonFormatter):
    """python-json-logger's formatter with ECS's names."""

    def __init__(self, settings: Settings) -> None:
        super().__init__("%(message)s")
        self._common = {"ecs.version": ECS_VERSION, "event.dataset": "rq.app", "service.name": "shipper"}
        if settings.environment:
            self._common["service.environment"] = settings.environment

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data["@timestamp"] = timestamp(datetime.fromtimestamp(record.created, UTC))
        log_data["log.level"] = record.levelname.lower()
        log_data["log.logger"] = record.name
        super().add_fields(log_data, record, message_dict)
        log_data.update(self._common)
        if trace := log_data.pop("exc_info", None):
            log_data["error.stack_trace"] = trace
