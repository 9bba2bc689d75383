"""Lines of text between records, as on the output of a worker that also prints its records there. Pure but for ids.

Each line that is no JSON object becomes a record of the dataset `rq.app` with the time at which it was read, redacted
as the lines of text logs are.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from ...records import DATASET_OF_OTHERS, LINE_START, begin, encode, record_id, shorten, timestamp
from ...redact import Redactor
from ...service import ServiceInfo
from ...settings import Settings

_STEP = timedelta(microseconds=1)  # between two lines that were read at once, so that they stay in order


class TextLines:
    """Makes records of the lines that are none. Each has an id of its own, even if the same text is printed again."""

    def __init__(self, settings: Settings) -> None:
        self._redactor = Redactor(settings.redact)
        self._service = ServiceInfo.here(settings)
        self._run = os.urandom(8).hex()
        self._latest = datetime.min.replace(tzinfo=UTC)

    def records(self, data: bytes, now: datetime) -> bytes:
        """Whole lines, with a record for each line of text. Blank lines are left out."""
        return b"".join(self._line(line + b"\n", now) for line in data.removesuffix(b"\n").split(b"\n"))

    def _line(self, line: bytes, now: datetime) -> bytes:
        if line.lstrip().startswith(b"{"):
            return line
        at = line.find(LINE_START)  # a record after half a line of text, whose writer was interrupted
        text, rest = (line, b"") if at < 0 else (line[:at], line[at:])
        return (self._record(text.rstrip(), now) if text.strip() else b"") + rest

    def _record(self, text: bytes, now: datetime) -> bytes:
        self._latest = at = max(now, self._latest + _STEP)
        message = shorten(self._redactor.text(text.decode("utf-8", "replace")))
        # The id's own time has milliseconds, and the same text may be printed twice in one.
        identifier = record_id(at, self._service.host["name"], self._run, timestamp(at), message)
        return encode(
            begin(timestamp(at), identifier, DATASET_OF_OTHERS, {"kind": "event"})
            | {
                "ecs": self._service.ecs,
                "message": message,
                "service": self._service.service,
                "host": self._service.host,
            }
        )
