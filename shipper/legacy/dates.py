"""When a line was written. RQ's own format has a time of day and no date: it follows from the lines around it.

The rule: a time without a date is of the day that follows from the nearest dated line before it in the file, else after
it, else from when the file was last written to; a day is counted at each midnight that was passed in between. A date in
the file's name (worker-2021-01-13.log) counts instead of the time of the last change where that is more than two days
later: the file was copied. A time without a zone is of the time zone that is set, UTC if none is.
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
AHEAD = timedelta(minutes=1)  # by which a line may be ahead of its file's last change: clocks, and seconds cut off
COPIED = timedelta(days=2)

LEAP_YEARS = 9  # in one of so many years there is every day
_DAY = timedelta(days=1)
_NAMED_DATE = re.compile(r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})(?!\d)")
_STAMPS = re.compile(
    rb"^(?:Time: |\[|\w{4,8} \[?|[\w.-]+ *\| )?(?:(\d{4})[-/](\d\d)[-/](\d\d)[T ])?(\d\d):(\d\d):(\d\d)", re.MULTILINE
)


def moment(day: date, clock: str, fraction: str | None, zone: str | None, local: tzinfo) -> datetime:
    """The moment in UTC. An hour that a summer time has twice is the earlier, one that it leaves out comes later."""
    hour, minute, second = (int(part) for part in clock.split(":"))
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    where = _zone(zone) if zone else local
    return datetime(day.year, day.month, day.day, hour, minute, second, microsecond, where).astimezone(UTC)


def day_of(text: str, reference: datetime) -> date:
    """The day that a line's date says; the year, where it says none, is the latest. ValueError if there is no such."""
    if text[:4].isdigit():
        return date(int(text[:4]), int(text[5:7]), int(text[8:10]))
    if "/" in text:
        day, month, in_year = text.split("/")
        return date(int(in_year), MONTHS.index(month) + 1, int(day))
    month, day = text.split()
    latest = (reference + _DAY).date()
    for year in range(latest.year, latest.year - LEAP_YEARS, -1):
        with suppress(ValueError):  # the 29th of February
            if (found := date(year, MONTHS.index(month) + 1, int(day))) <= latest:
                return found
    raise ValueError(f"no year has a {text}")


def latest(clock: str, reference: datetime, local: tzinfo) -> date:
    """The last day on which this time of day is not after the reference."""
    day = reference.astimezone(local).date()
    return day if moment(day, clock, None, None, local) <= reference + AHEAD else day - _DAY


def last_written(path: Path, changed: datetime) -> datetime:
    """When a file's last line is from: its last change, or the end of the day that its name tells."""
    for found in _NAMED_DATE.finditer(path.name):
        try:
            named = datetime(*(int(part) for part in found.groups()), tzinfo=UTC) + _DAY  # type: ignore[arg-type,misc]
        except ValueError:
            continue
        if changed > named + COPIED:
            return named - timedelta(seconds=1)
    return changed


@dataclass(slots=True)
class Dates:
    """When the lines of a piece of a file were written that reaches to the file's end, as it was then."""

    ends_at: datetime
    """When the last line was written, about."""
    local: tzinfo
    last: datetime | None = None
    """The time of the line that was asked for last, if it told one."""
    _midnights: list[int] = field(default_factory=list)  # offsets of lines that are of a later day than the one before
    _anchors: list[tuple[int, date, int]] = field(default_factory=list)  # offset, day, midnights before it
    _clock: tuple[int, int, int] | None = None
    _day: date | None = None
    read_to: int = 0

    def learn(self, pieces: Iterable[bytes], start: int) -> None:
        """Read through what stands from `start` on, in pieces of any size."""
        rest, self.read_to = b"", start
        for piece in pieces:
            data = rest + piece
            cut = data.rfind(b"\n") + 1
            self._learn(data[:cut])
            rest = data[cut:]
        self._learn(rest)

    def moment(self, head: Mapping[str, str], offset: int) -> datetime:
        """When the line at an offset was written. One that does not tell is of the time of the line before it."""
        if "clock" in head:
            with suppress(ValueError, OverflowError):  # the 30th of February
                day = day_of(head["date"], self.ends_at) if "date" in head else self.day(offset, head["clock"])
                self.last = moment(day, head["clock"], head.get("fraction"), head.get("zone"), self.local)
        return self.last or self.ends_at

    def day(self, offset: int, clock: str) -> date:
        """The day of a line that tells only a time of day."""
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
        for found in _STAMPS.finditer(data):
            year, month, day, *clock = found.groups()
            now = (int(clock[0]), int(clock[1]), int(clock[2]))
            if now[0] > 23 or now[1] > 59 or now[2] > 59:
                continue
            at = self.read_to + found.start()
            if year:
                self._anchor(at, year, month, day)
            elif self._clock and _span(now) < _span(self._clock) - NOON:
                self._midnights.append(at)
                self._day = self._day + _DAY if self._day else None
            self._clock = now
        self.read_to += len(data)

    def _anchor(self, at: int, year: bytes, month: bytes, day: bytes) -> None:
        try:
            said = date(int(year), int(month), int(day))
        except ValueError:
            return
        if said != self._day:  # only where it tells something new
            self._anchors.append((at, said, len(self._midnights)))
            self._day = said


def _span(clock: tuple[int, int, int]) -> timedelta:
    return timedelta(hours=clock[0], minutes=clock[1], seconds=clock[2])


def _zone(text: str) -> tzinfo:
    if text in ("Z", "UTC"):
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)
