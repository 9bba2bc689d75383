"""Computes when a line of a text log was written. RQ's own format has a time of day without a date.

The date follows from the nearest line with a date before it in the file, else after it, else from the file's last
change, plus the midnights in between. If the last change is more than two days after a date in the file's name
(worker-2021-01-13.log), the file was probably copied, and the name's date is used instead. Times without a zone are in
the zone of the setting `timezone`, by default UTC.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from pathlib import Path

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NOON = timedelta(hours=12)
AHEAD = timedelta(minutes=1)  # a line may be this much later than its file's last change: clocks and rounding differ
COPIED = timedelta(days=2)

LEAP_YEARS = 9  # any 9 consecutive years include a leap year
_DAY = timedelta(days=1)
_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})(?!\d)")
_STAMPS = re.compile(
    rb"^(?:Time: |\[|\w{4,8} \[?|[\w.-]+ *\| )?(?:(\d{4})[-/](\d\d)[-/](\d\d)[T ])?(\d\d):(\d\d):(\d\d)", re.MULTILINE
)


def moment(day: date, clock: str, fraction: str | None, zone: str | None, local: tzinfo) -> datetime:
    """The time in UTC. At a change of daylight saving time, an ambiguous time is the earlier one."""
    hour, minute, second = (int(part) for part in clock.split(":"))
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    where = _zone(zone) if zone else local
    return datetime(day.year, day.month, day.day, hour, minute, second, microsecond, where).astimezone(UTC)


def day_of(text: str, reference: datetime) -> date:
    """Parse a line's date. Without a year it is the latest one, up to a day after `reference`. Raises ValueError."""
    if text[:4].isdigit():
        return date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    if "/" in text:
        day, month, in_year = text.split("/")
        return date(int(in_year), MONTHS.index(month) + 1, int(day))
    month, day = text.split()
    latest = (reference + _DAY).date()
    for year in range(latest.year, latest.year - LEAP_YEARS, -1):
        with suppress(ValueError):  # the 29th of February
            if (day_in_year := date(year, MONTHS.index(month) + 1, int(day))) <= latest:
                return day_in_year
    raise ValueError(f"no year has a {text}")


def latest(clock: str, reference: datetime, local: tzinfo) -> date:
    """The last day on which this time of day is not after `reference`."""
    day = reference.astimezone(local).date()
    return day if moment(day, clock, None, None, local) <= reference + AHEAD else day - _DAY


def last_written(path: Path, changed: datetime) -> datetime:
    """The time of a file's last line: its last change, or the end of the day in its name."""
    for match in _DATE_IN_NAME.finditer(path.name):
        try:
            end = datetime(*(int(part) for part in match.groups()), tzinfo=UTC) + _DAY  # type: ignore[arg-type,misc]
        except ValueError:
            continue
        if changed > end + COPIED:
            return end - timedelta(seconds=1)
    return changed


@dataclass(slots=True)
class Dates:
    """The times of the lines of a file, from an offset to the file's current end. Call `learn` before the others."""

    ends_at: datetime
    """The approximate time of the last line."""
    local: tzinfo
    last: datetime | None = None
    """The time of the last line that `moment` was called for and that had one."""
    _midnights: list[int] = field(default_factory=list)  # offsets of lines that are the first of a later day
    _anchors: list[tuple[int, date, int]] = field(default_factory=list)  # (offset, day, number of midnights before)
    _clock: tuple[int, int, int] | None = None
    _day: date | None = None
    read_to: int = 0

    def learn(self, pieces: Iterable[bytes], start: int) -> None:
        """Read the dates and midnights in the bytes from the offset `start` on, given in pieces of any size."""
        rest, self.read_to = b"", start
        for piece in pieces:
            data = rest + piece
            cut = data.rfind(b"\n") + 1
            self._learn(data[:cut])
            rest = data[cut:]
        self._learn(rest)

    def moment(self, head: Mapping[str, str], offset: int) -> datetime:
        """The time of the line at an offset. A line without a time has that of the line before."""
        if "clock" in head:
            with suppress(ValueError, OverflowError):  # the 30th of February
                day = day_of(head["date"], self.ends_at) if "date" in head else self.day(offset, head["clock"])
                self.last = moment(day, head["clock"], head.get("fraction"), head.get("zone"), self.local)
        return self.last or self.ends_at

    def day(self, offset: int, clock: str) -> date:
        """The day of a line that has only a time of day."""
        passed = bisect_right(self._midnights, offset)
        before = bisect_right(self._anchors, offset, key=lambda anchor: anchor[0])
        if before:
            _, day, then = self._anchors[before - 1]
        elif self._anchors:
            _, day, then = self._anchors[0]
        else:
            last = ":".join(f"{part:02}" for part in self._clock) if self._clock else clock
            day, then = latest(last, self.ends_at, self.local), len(self._midnights)
        return day + _DAY * (passed - then)

    def _learn(self, data: bytes) -> None:
        for match in _STAMPS.finditer(data):
            year, month, day, *clock = match.groups()
            now = (int(clock[0]), int(clock[1]), int(clock[2]))
            if now[0] > 23 or now[1] > 59 or now[2] > 59:
                continue
            at = self.read_to + match.start()
            if year:
                self._anchor(at, year, month, day)
            elif self._clock and _span(now) < _span(self._clock) - NOON:
                self._midnights.append(at)
                self._day = self._day + _DAY if self._day else None
            self._clock = now
        self.read_to += len(data)

    def _anchor(self, at: int, year: bytes, month: bytes, day: bytes) -> None:
        try:
            new_day = date(int(year), int(month), int(day))
        except ValueError:
            return
        if new_day != self._day:  # otherwise it follows from the anchor before
            self._anchors.append((at, new_day, len(self._midnights)))
            self._day = new_day


def _span(clock: tuple[int, int, int]) -> timedelta:
    return timedelta(hours=clock[0], minutes=clock[1], seconds=clock[2])


def _zone(text: str) -> tzinfo:
    if text in ("Z", "UTC"):
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
