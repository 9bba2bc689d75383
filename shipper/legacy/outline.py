"""Reads a file ahead, for what a line cannot tell: the day of a time without a date, and which jobs are named later.

The day follows from the nearest line with a date before it, else after it, else from the file's last change, plus the
midnights in between. A midnight is a step back of more than twelve hours.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo

from . import dates, heads
from .carriers import Carriers
from .dates import BACK, DAY
from .grok import Captures

JOBS_LIMIT = 300_000
"""Jobs of one file that are remembered. In what follows, ids that are no UUIDs are not recognised."""

_HALF_DAY_H = 12
_UUID = re.compile(rb" \(([0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12})\)")
_OK = re.compile(rb"Job OK \(([^\r\n\"]+?)\)(?=[ \t]*(?:\\n)?(?:[\"\r\n]|\Z))")
# Where one of these stands, the line is searched for the id of the job that it is about. Most are UUIDs.
_NAMING = (
    b": exception raised while executing", b" stopped by user, moving", b" for retry", b" has exceeded maximum retry",
    b" to FailedJobRegistry", b" Moved to FailedJobRegistry", b" failed (Work", b"ompleted job ", b"killed for job ",
    b" result is kept", b" result discarded", b" result will never",
)  # fmt: skip
_NAMED = re.compile(
    rb"(?:[Jj]ob|cleanup:) ([0-9a-fA-F-]{36}(?=[] :])|[^\r\n]{1,200}?)"
    rb"(\]?: exception raised while| stopped by user| to FailedJobRegistry \("
    rb"| Moved to FailedJobRegistry| failed \(Work| has exceeded"
    rb"|: (?:enqueued|scheduled) for retry| in [\d:. days,]+s on"
    rb"|: retpid| result )"
)
_NOT_AN_END = (b": enq", b": sch", b" in ", b": ret", b" res")


@dataclass(slots=True)
class Outline:
    """A file from an offset to its current end. Call `learn` before the others."""

    ends_at: datetime
    """The approximate time of the last line."""
    local: tzinfo
    read_to: int = 0
    newest: datetime | None = None
    """The time of the last line that `moment` was called for and that had one."""
    _midnights: list[int] = field(default_factory=list)  # offsets of lines that are the first of a later day
    _anchors: list[tuple[int, date, int]] = field(default_factory=list)  # (offset, day, number of midnights before)
    _clock: tuple[int, int, int] | None = None
    _day: date | None = None
    _day_first: bool | None = None
    _carriers: Carriers = field(default_factory=Carriers)
    _layout: tuple[bytes, int, bool] | None = None  # of the last line: the bytes before its clock, their number, dated?
    _learned: bytes = b"\n"  # a line that begins so tells nothing new: the last line's beginning, to its clock
    _starts: dict[bytes, list[int]] = field(default_factory=dict)
    _ends: dict[bytes, list[int]] = field(default_factory=dict)
    _named: dict[bytes, int] = field(default_factory=dict)  # ids that are no UUIDs, and where they are named last
    _base: tuple[tuple[str | None, ...], datetime] | None = None  # the last line's time, to the second
    _alone: tuple[str, datetime] | None = None  # the last line's clock and time, if it had nothing but a clock
    _same_day: tuple[int, int, date] | None = None  # the offsets between which lines without a date are of this day
    _hour: tuple[date, int, datetime] | None = None  # the last hour in the local zone, and its time in UTC

    def learn(self, pieces: Iterable[bytes], start: int) -> None:
        """Read the bytes from the offset `start` on, given in pieces of any size."""
        rest, self.read_to = b"", start
        for piece in pieces:
            data = rest + piece
            cut = data.rfind(b"\n") + 1
            self._learn(data[:cut])
            rest = data[cut:]
        self._learn(rest)

    def moment(self, sent: Captures | None, own: Captures, offset: int) -> tuple[datetime, bool]:
        """The time of a line, and whether the line says so. A line without a time has that of the line before."""
        clock = own.get("clock") if len(own) == 2 and not sent else None  # alone, as RQ writes it
        if clock is not None and self._alone is not None and self._alone[0] == clock:
            return self._alone[1], True
        stamp = dates.chosen(sent, own)
        if "clock" in stamp or "epoch" in stamp:
            with suppress(ValueError, OverflowError, KeyError):  # the 30th of February
                self.newest = self._moment(stamp, offset)
                self._alone = (clock, self.newest) if clock is not None else None
                return self.newest, True
        return self.newest or self.ends_at, False

    def names_later(self, offset: int) -> Callable[[str], bool]:
        """A function: whether a line after this one is about the job with this id."""

        def is_named(job_id: str) -> bool:
            key = job_id.encode()
            ends = self._ends.get(key)
            return self._named.get(key, -1) > offset or (ends is not None and ends[-1] > offset)

        return is_named

    def names_jobs(self) -> bool:
        """Whether there are ids that are no UUIDs."""
        return bool(self._named)

    def ends_by_name(self, job_id: str, offset: int) -> bool:
        """Whether a later line, before the job's next start, says with its id that it ended."""
        key = job_id.encode()
        if (end := _after(self._ends.get(key, ()), offset)) is None:
            return False
        start = _after(self._starts.get(key, ()), offset)
        return start is None or end < start

    def day(self, offset: int, clock: tuple[int, int, int]) -> date:
        """The day of a line that has only a time of day."""
        if self._same_day is not None and self._same_day[0] <= offset < self._same_day[1]:
            return self._same_day[2]
        passed = bisect_right(self._midnights, offset)
        before = bisect_right(self._anchors, offset, key=lambda anchor: anchor[0])
        if before:
            _, day, then = self._anchors[before - 1]
        elif self._anchors:
            _, day, then = self._anchors[0]
        else:
            day = dates.latest_day(self._clock or clock, self.ends_at, self.local)
            then = len(self._midnights)
        day += DAY * (passed - then)
        later = [self._midnights[passed] if passed < len(self._midnights) else self.read_to]
        later += [anchor[0] for anchor in self._anchors[before : before + 1]]
        self._same_day = offset, min(later), day
        return day

    def _moment(self, stamp: Mapping[str, str], offset: int) -> datetime:
        if "epoch" in stamp:
            return dates.epoch_of(stamp["epoch"])
        get = stamp.get
        key = (stamp["clock"], get("date"), get("ampm"), get("zone"), get("year"))
        if self._base is None or self._base[0] != key:
            self._base = key, self._whole_second(stamp, offset)
        base = self._base[1]
        return base.replace(microsecond=dates.microseconds(stamp)) if "fraction" in stamp else base

    def _whole_second(self, stamp: Mapping[str, str], offset: int) -> datetime:
        clock = dates.clock_of(stamp)
        if "date" in stamp:
            day = dates.day_of(stamp, self.ends_at, day_first=self._day_first)
        else:
            day = self.day(offset, clock)
        if "zone" in stamp:
            return dates.moment(day, clock, dates.zone_of(stamp["zone"]))
        hour, minute, second = clock
        if self._hour is None or self._hour[1] != hour or self._hour[0] != day:
            self._hour = day, hour, dates.moment(day, (hour, 0, 0), self.local)
        at = self._hour[2] + timedelta(minutes=minute, seconds=second)
        if self.newest is not None and at < self.newest - BACK:
            at = max(
                at, dates.moment(day, clock, self.local, fold=1)
            )  # the hour that comes twice, when clocks are set back
        return at

    def _learn(self, data: bytes) -> None:
        self._learn_jobs(data)
        if b"\0" in data:  # a file that was emptied while it was written to begins with them
            data = data.replace(b"\0", b"\n")
        at = self.read_to
        for line in data.split(b"\n"):
            if line and line[0] > 32 and not line.startswith(self._learned):
                self._learn_line(line, at)
            at += len(line) + 1
        self.read_to += len(data)

    def _learn_line(self, line: bytes, at: int) -> None:
        if self._layout is not None:
            prefix, size, dated = self._layout
            clock = line[size : size + 9]
            if line.startswith(prefix) and clock[2:3] == clock[5:6] == b":" and not clock[8:9].isalnum():
                digits = clock[:2] + clock[3:5] + clock[6:8]
                if len(digits) == 6 and digits.isdigit():
                    self._learned = line[: size + 9] if len(clock) == 9 else b"\n"
                    self._pass(at, (int(clock[:2]), int(clock[3:5]), int(clock[6:8])), dated=dated)
                    return
        self._learned = b"\n"
        found = self._carriers.line(line.decode("utf-8", "replace"))
        stamp = dates.chosen(found.sent, heads.parse(found.text))
        if "clock" not in stamp:
            return
        self._layout = _layout(line, stamp)
        with suppress(ValueError, KeyError):
            if "date" in stamp:
                self._anchor(at, stamp)
            self._pass(at, dates.clock_of(stamp), dated="date" in stamp)

    def _pass(self, at: int, clock: tuple[int, int, int], *, dated: bool) -> None:
        """Note the time of day of a line, and a midnight before it if it has no date."""
        before = self._clock
        if (
            not dated
            and before
            and clock[0] <= before[0] - _HALF_DAY_H
            and clock < (before[0] - _HALF_DAY_H, *before[1:])
        ):
            self._midnights.append(at)
            self._day = self._day + DAY if self._day else None
        self._clock = clock

    def _anchor(self, at: int, stamp: Mapping[str, str]) -> None:
        numbers = stamp["date"].split("/")
        if len(numbers) == 3 and len(numbers[2]) == 4 and (int(numbers[0]) > 12) != (int(numbers[1]) > 12):
            self._day_first = int(numbers[0]) > 12
        day = dates.day_of(stamp, self.ends_at, day_first=self._day_first)
        if "zone" in stamp:
            zone = dates.zone_of(stamp["zone"])
            day = dates.moment(day, dates.clock_of(stamp), zone).astimezone(self.local).date()
        if day != self._day:  # otherwise it follows from the anchor before
            self._anchors.append((at, day, len(self._midnights)))
            self._day = day

    def _learn_jobs(self, data: bytes) -> None:
        for match in _UUID.finditer(data):
            at = match.start()
            is_end = data[at - 6 : at] == b"Job OK"
            self._note(self._ends if is_end else self._starts, match[1], self.read_to + at)
        for match in _OK.finditer(data):
            if not _UUID.fullmatch(b" (%b)" % match[1]):
                self._note(self._ends, match[1], self.read_to + match.start())
                self._named[match[1]] = self.read_to + match.start()
        for line, at in _lines_with(data, _NAMING):
            naming = _NAMED.search(line)
            if naming and len(self._named) < JOBS_LIMIT:
                self._named[naming[1]] = self.read_to + at
                if not naming[2].startswith(_NOT_AN_END):
                    self._note(self._ends, naming[1], self.read_to + at)

    def _note(self, known: dict[bytes, list[int]], job_id: bytes, at: int) -> None:
        if job_id in known:
            known[job_id].append(at)
        elif len(known) < JOBS_LIMIT:
            known[job_id] = [at]


def _layout(line: bytes, stamp: Mapping[str, str]) -> tuple[bytes, int, bool] | None:
    """The bytes of a line before its clock, if lines that begin with them can be read by their place alone."""
    clock, dated = stamp["clock"].encode(), "date" in stamp
    size = line.find(clock)
    if len(clock) != 8 or "ampm" in stamp or "zone" in stamp or size < 0:
        return None
    if dated and not 0 <= line.find(stamp["date"].encode()) < size:
        return None
    return line[:size], size, dated


def _after(offsets: Sequence[int], offset: int) -> int | None:
    """The first of the sorted offsets that is after this one."""
    at = bisect_right(offsets, offset)
    return offsets[at] if at < len(offsets) else None


def _lines_with(data: bytes, words: tuple[bytes, ...]) -> Iterator[tuple[bytes, int]]:
    """(line, offset) of the lines that contain one of the words."""
    for word in words:
        at = data.find(word)
        while at >= 0:
            start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
            yield data[start : end if end >= 0 else len(data)], start
            at = data.find(word, end) if end >= 0 else -1
