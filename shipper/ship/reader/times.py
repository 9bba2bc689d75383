"""The times that programs write: ISO 8601 with any offset, and numbers since 1970 in any unit. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ...records import EPOCH, parse_timestamp

KEPT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
"""A time that Elasticsearch reads as we do, and that stays as it was written (`strict_date_optional_time`)."""

_NUMBER = re.compile(r"(\d{1,19})(?:\.(\d+))?", re.ASCII)
_BLANK_BEFORE_ZONE = re.compile(r" (?=[+-]\d\d:?\d\d$)", re.ASCII)  # Ruby's and Go's
_CLF = "%d/%b/%Y:%H:%M:%S %z"  # access logs: [25/Nov/2026:10:00:00 +0000]
# Digits of a whole number since 1970 up to which it is in seconds, milliseconds, microseconds: until the year 5138.
_SECONDS, _MILLISECONDS, _MICROSECONDS = 10**11, 10**14, 10**17


def parse(text: str) -> datetime:
    """The time of a JSON text or number, in UTC. Without a zone it is in UTC. Raises ValueError or OverflowError."""
    if number := _NUMBER.fullmatch(text):
        return EPOCH + timedelta(microseconds=_microseconds(int(number[1]), number[2] or ""))
    if text.startswith("[") and text.endswith("]"):
        return datetime.strptime(text[1:-1], _CLF).astimezone(UTC)
    return parse_timestamp(_BLANK_BEFORE_ZONE.sub("", text)).astimezone(UTC)


def _microseconds(whole: int, fraction: str) -> int:
    """Since 1970, of a number in whatever unit makes it a time of ours. What is less than a microsecond is cut."""
    if whole < _SECONDS:
        return whole * 1_000_000 + int(fraction[:6].ljust(6, "0"))
    if whole < _MILLISECONDS:
        return whole * 1_000 + int(fraction[:3].ljust(3, "0"))
    return whole if whole < _MICROSECONDS else whole // 1_000
