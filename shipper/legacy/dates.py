"""Computes when a line of a text log was written, from the captures of its time.

A time without a zone is in the zone of the setting `timezone`. A time without a date, as RQ writes it, is of the day
that outline.py finds. A date without a year is in the latest year that is possible. 02/10/2026 is the 10th of
February, unless another date of the file, or the file's last change, says that days come first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .tables import tables

AHEAD = timedelta(minutes=1)  # a line may be this much later than its file's last change: clocks and rounding differ
BACK = timedelta(minutes=1)  # a line may be this much earlier than the one before: several processes write to one file
COPIED = timedelta(days=2)

LEAP_YEARS = 9  # any 9 consecutive years include a leap year
DAY = timedelta(days=1)
_DATE_IN_NAME = re.compile(r"(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})(?!\d)")
_NUMBERS = re.compile(r"\d+")
_WORD = re.compile(r"[^\W\d]+")


def chosen(sent: Mapping[str, str] | None, own: Mapping[str, str]) -> Mapping[str, str]:
    """Of the carrier's time and the line's own: the carrier's, unless only the line's has a date with a year."""
    if not sent:
        return own
    if "date" in sent or "epoch" in sent:
        return own if not has_year(sent) and "date" in own and has_year(own) else sent
    return own if "clock" in own or "epoch" in own else sent


def has_year(stamp: Mapping[str, str]) -> bool:
    """Whether the date has a year, or the time is an epoch."""
    return "epoch" in stamp or "year" in stamp or sum(map(len, _NUMBERS.findall(stamp["date"]))) > 4


def day_of(stamp: Mapping[str, str], reference: datetime, *, day_first: bool | None = None) -> date:
    """Parse the date of a stamp. Without a year it is the latest one, up to a day after `reference`. Raises ValueError.

    `day_first`: the order of 02/10/2026. If None, it is the order that is not after `reference`.
    """
    text = stamp["date"]
    numbers = [int(number) for number in _NUMBERS.findall(text)]
    if name := _WORD.search(text):
        month = tables()["months"][name[0]]
        if len(numbers) == 1 and "year" in stamp:
            numbers.append(int(stamp["year"]))
        if len(numbers) == 2:
            return date(numbers[1], month, numbers[0])
        return _latest_year(month, numbers[0], reference)
    if len(numbers) == 1:
        if len(text) == 4:  # glog's
            return _latest_year(int(text[:2]), int(text[2:]), reference)
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    if len(text) - text.rfind(text[-5]) == 5 and not text[-5].isdigit():  # the year is last
        return _with_year_last(text, numbers, reference, day_first)
    return date(numbers[0], numbers[1], numbers[2])


def _with_year_last(text: str, numbers: list[int], reference: datetime, day_first: bool | None) -> date:
    first, second, year = numbers
    if "." in text or first > 12:
        return date(year, second, first)
    if day_first is None:
        try:
            day_first = date(year, first, second) > (reference + DAY).date() >= date(year, second, first)
        except ValueError:
            day_first = False
    return date(year, second, first) if day_first and second <= 12 else date(year, first, second)


def _latest_year(month: int, day: int, reference: datetime) -> date:
    latest = (reference + DAY).date()
    for year in range(latest.year, latest.year - LEAP_YEARS, -1):
        with suppress(ValueError):  # the 29th of February
            if (found := date(year, month, day)) <= latest:
                return found
    raise ValueError(f"no year has a day {day} in month {month}")


def clock_of(stamp: Mapping[str, str]) -> tuple[int, int, int]:
    """Hours, minutes and seconds of a stamp's clock: `10:00:01`, `100001`, `1:05:09` with `PM`."""
    text = stamp["clock"]
    if ":" in text:
        parts = text.split(":")
        hour, minute, second = int(parts[0]), int(parts[1]), int(parts[2])
    else:
        hour, minute, second = int(text[:2]), int(text[2:4]), int(text[4:6])
    if "ampm" in stamp and hour <= 12:
        hour = hour % 12 + (12 if stamp["ampm"][0] in "Pp" else 0)
    return hour, minute, second


def microseconds(stamp: Mapping[str, str]) -> int:
    """The fraction of a second, cut to microseconds."""
    return int(stamp["fraction"].ljust(6, "0")[:6]) if "fraction" in stamp else 0


def epoch_of(text: str) -> datetime:
    """The time of `1770714000`, `1770714000.010` or, in milliseconds, `1770714000010`."""
    whole, _, fraction = text.replace(",", ".").partition(".")
    if len(whole) == 13:
        whole, fraction = whole[:10], whole[10:]
    return datetime.fromtimestamp(int(whole), UTC).replace(microsecond=int(fraction.ljust(6, "0")[:6]))


@lru_cache(maxsize=64)
def zone_of(text: str) -> tzinfo:
    """The zone of `Z`, `+01:00`, `+0100`, `CET`, `Europe/Berlin`. Raises ValueError."""
    text = tables()["zones"].get(text, text)
    if text[0] in "+-":
        offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
        return timezone(-offset if text[0] == "-" else offset) if offset else UTC
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, OSError) as unknown:
        raise ValueError(f"there is no zone {text}") from unknown


def moment(day: date, clock: tuple[int, int, int], zone: tzinfo, fold: int = 0) -> datetime:
    """The time in UTC. Where the clock was set back, `fold` 1 is the second of two hours."""
    return datetime(day.year, day.month, day.day, *clock, 0, zone, fold=fold).astimezone(UTC)


def latest_day(clock: tuple[int, int, int], reference: datetime, local: tzinfo) -> date:
    """The last day on which this time of day is not after `reference`."""
    day = reference.astimezone(local).date()
    return day if moment(day, clock, local) <= reference + AHEAD else day - DAY


def last_written(path: Path, changed: datetime) -> datetime:
    """The time of a file's last line: its last change, or the end of the day in its name.

    If the last change is more than two days after a date in the name, the file was probably copied.
    """
    for match in _DATE_IN_NAME.finditer(path.name):
        try:
            end = datetime(*(int(part) for part in match.groups()), tzinfo=UTC) + DAY  # type: ignore[arg-type,misc]
        except ValueError:
            continue
        if changed > end + COPIED:
            return end - timedelta(seconds=1)
    return changed
