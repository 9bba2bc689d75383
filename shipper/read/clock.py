"""Times for people: in the zone of this machine or in UTC, and always with the zone's name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo


@dataclass(frozen=True, slots=True)
class Clock:
    """A zone. None is that of this machine (TZ), with its changes to and from summer time."""

    zone: tzinfo | None = None

    @classmethod
    def utc(cls) -> Clock:
        return cls(UTC)

    @classmethod
    def of(cls, utc: bool) -> Clock:
        """The clock of a command: that of this machine, unless it has --utc."""
        return cls(UTC if utc else None)

    def at(self, moment: datetime) -> datetime:
        """The moment in this zone; in UTC at the ends of the calendar, where it is in no other."""
        try:
            return moment.astimezone(self.zone)
        except (OverflowError, ValueError, OSError):
            return moment.astimezone(UTC)

    def name(self, moment: datetime) -> str:
        """`CET (UTC+01:00)`, or `UTC`."""
        here = self.at(moment)
        offset, name = _offset(here), here.tzname() or ""
        if offset == "Z":
            return "UTC"
        return f"{name} (UTC{offset})" if name.isalpha() else f"UTC{offset}"

    def full(self, moment: datetime) -> str:
        """`2026-11-21 04:17:31.545+01:00`, or with Z for UTC."""
        here = self.at(moment)
        return f"{here.date().isoformat()} {time_of_day(here)}{_offset(here)}"

    def day(self, moment: datetime) -> str:
        """`Sat 2026-11-21, CET (UTC+01:00)`."""
        here = self.at(moment)
        return f"{here:%a} {here.date().isoformat()}, {self.name(moment)}"


def time_of_day(here: datetime) -> str:
    """`04:17:31.545`."""
    return f"{here:%H:%M:%S}.{here.microsecond // 1000:03}"


def _offset(here: datetime) -> str:
    offset = here.utcoffset() or timedelta()
    if not offset:
        return "Z"
    sign, minutes = ("-" if offset < timedelta() else "+"), abs(offset) // timedelta(minutes=1)
    return f"{sign}{minutes // 60:02}:{minutes % 60:02}"
