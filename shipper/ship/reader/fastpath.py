"""Our own records, in a tight loop: checked, routed and given their id without being built.

A record of ours has its time, id and dataset at fixed places (records.py). What is left to know of it is whether
it is whole and right: msgspec reads through a line and keeps what it is asked for, a quarter of the time of
building it all. Whatever looks odd in the least is left to document.py, which looks at it closely.

A block goes through framing.c where that could be compiled: one pass in half of the time. What it does not take is
looked at here, and where it is not there all is.

A block in which all is well is taken in a few steps, each of which goes through all of its lines in C. Of 1.3 us
for a record of 1.1 kB, 0.8 are the check, 0.2 what is compared, 0.1 cutting it into lines and 0.1 the copy
that is sent; line by line it is 1.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from operator import itemgetter

import msgspec

from ...records import (
    DATASET_MARK,
    DATASET_MARK_AT,
    DATASET_START,
    ID_AT,
    ID_MARK,
    ID_MARK_AT,
    LINE_START,
    PERIODS,
    TIME_AT,
    index_name,
)
from ...settings import Settings
from ...state import JobRecord, State, state_from_record
from .document import may_be_too_deep

try:
    from .framing import frame
except ImportError:  # no compiler where this was installed
    frame = None  # type: ignore[assignment]

CHECKED_IN = "C" if frame is not None else "Python (framing.c was not compiled at the install: half as fast)"
"""For people: which of the two ways through a block is taken here."""


class TimestampOnly(msgspec.Struct, rename={"timestamp": "@timestamp"}, gc=False):
    """The least to decode of a line: the rest is read through all the same."""

    timestamp: datetime


# What tells where a record goes: its day, and its dataset. With what stands before each, so that one look does both.
_DAY_AT = slice(0, TIME_AT.start + 10)
_KIND_AT = slice(DATASET_MARK_AT.start, DATASET_START + 7)  # enough of the dataset to tell ours apart
_MARK_AT, _MARK = slice(TIME_AT.stop - 1, ID_MARK_AT.stop), b"Z" + ID_MARK
_LAST = ord("}")
_DAY, _KIND, _ID, _BETWEEN = itemgetter(_DAY_AT), itemgetter(_KIND_AT), itemgetter(ID_AT), itemgetter(_MARK_AT)
_END = itemgetter(slice(-2, None))
_AFTER_ID = b'"}}'
_JOB = DATASET_MARK + b'rq.job"'
_PIECE = 1 << 15  # bytes whose records are built at once: most of them are soon dropped, and leave room for the next
# A line that is too short, a day or dataset that is not ours; bytes that are no UTF-8, a time that is none or beyond
# what there is; brackets within brackets without an end.
_ODD = (msgspec.MsgspecError, ValueError, LookupError, OverflowError, RecursionError)


class FastPath:
    """Takes lines as long as they are records of ours. One for each pipeline; not for several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bare, self._job = msgspec.json.Decoder(TimestampOnly), msgspec.json.Decoder(JobRecord)
        self._heads: dict[bytes, bytes] = {}  # by day and dataset: the action line up to the id
        self._day = 0

    def frame_block(self, block: bytes, states: dict[str, State]) -> tuple[bytes, int] | None:
        """Action and source of each line of a block, newlines included, and how many there are.

        None if any line is not as ours are: then nothing was taken, and each of them has to be looked at.
        """
        known = self._heads_now()
        try:
            framed = frame(block, known) if frame is not None else self._frame(block, known)
            if framed is not None and self._settings.states:
                self._add_states(block, framed[1], states)
        except _ODD:
            return None
        return framed

    def _frame(self, block: bytes, known: dict[bytes, bytes]) -> tuple[bytes, int] | None:
        """What framing.c does. Raises what is in _ODD."""
        lines = BytesIO(block).readlines()  # 0.12 us a line; split(b"\n") goes byte by byte: 0.40
        if not _have_our_shape(lines) or any(map(may_be_too_deep, lines)):
            return None
        days, kinds = list(map(_DAY, lines)), list(map(_KIND, lines))
        if _are_equal(days) and _are_equal(kinds):
            heads = [known[days[0] + kinds[0]]] * len(lines)
        else:
            heads = [known[day + kind] for day, kind in zip(days, kinds, strict=True)]
        ids = list(map(_ID, lines))
        if not b"".join(ids).isalnum() or not self._are_values(block, lines):
            return None
        parts = [b"", b"", _AFTER_ID + b"\n", b""] * len(lines)
        parts[0::4], parts[1::4], parts[3::4] = heads, ids, lines
        return b"".join(parts), len(lines)

    def _are_values(self, block: bytes, lines: list[bytes]) -> bool:
        """Whether each line is one JSON object. Raises what is in _ODD.

        As each begins with { and ends with }, and }{ stands inside of no JSON value, no object goes beyond its
        line: when there are as many objects as lines, each line is one.
        """
        if not block.isascii():
            for line in lines:
                if not line.isascii():
                    line.decode()
        return len(self._bare.decode_lines(block)) == len(lines)

    def _add_states(self, block: bytes, count: int, states: dict[str, State]) -> None:
        """Add what a block of `count` lines tells of jobs. Raises what is in _ODD."""
        jobs = block.count(_JOB)
        if not jobs:
            return
        if jobs != count:
            for line in BytesIO(block):
                if line[_KIND_AT] == _JOB:
                    keep_latest(states, state_from_record(self._job.decode(line)))
            return
        start, whole = 0, memoryview(block)
        while start < len(block):
            end = block.find(b"\n", start + _PIECE) + 1 or len(block)
            for job in self._job.decode_lines(whole[start:end]):
                keep_latest(states, state_from_record(job))
            start = end

    def _heads_now(self) -> dict[bytes, bytes]:
        """The action lines' beginnings, by day and dataset."""
        today = datetime.now(UTC)
        if today.toordinal() != self._day:
            self._day, self._heads = today.toordinal(), _heads(self._settings, today)
        return self._heads

    def frame_lines(self, lines: Iterator[bytes], parts: list[bytes], states: dict[str, State]) -> int:
        """Add action and source of each line to `parts`, and of each job the last word to `states`.

        Stops at the first line that is not as ours are, which is out of `lines` then; returns how many were taken.
        """
        heads, with_states, before = self._heads_now(), self._settings.states, len(parts)
        bare, job = self._bare.decode, self._job.decode
        day = kind = head = b""
        is_state = False
        try:
            for line in lines:
                if line[_DAY_AT] != day or line[_KIND_AT] != kind:
                    day, kind = line[_DAY_AT], line[_KIND_AT]
                    head = heads[day + kind]
                    is_state = with_states and kind == _JOB
                if line[_MARK_AT] != _MARK or line[-1] != _LAST or not line[ID_AT].isalnum():
                    break  # a carriage return, perhaps; or an id that ends early, and more before the dataset
                if may_be_too_deep(line):
                    break
                if not line.isascii():
                    line.decode()
                if is_state:
                    keep_latest(states, state_from_record(job(line)))
                else:
                    bare(line)
                parts += (head + line[ID_AT] + _AFTER_ID, line)
        except _ODD:
            pass
        return (len(parts) - before) // 2


def _have_our_shape(lines: list[bytes]) -> bool:
    """Whether each has what stands around the id of ours, and ends with an object's end and a newline."""
    between, ends = list(map(_BETWEEN, lines)), list(map(_END, lines))
    return _are_equal(between) and between[0] == _MARK and _are_equal(ends) and ends[0] == b"}\n"


def _are_equal(parts: list[bytes]) -> bool:
    return parts.count(parts[0]) == len(parts)


def keep_latest(states: dict[str, State], state: State | None) -> None:
    """Keep a state by its job's id, unless the one that is there has the last word. None is no state."""
    if state is None:
        return
    known = states.get(state.job_id)
    if known is None or state.version > known.version:
        states[state.job_id] = state


def _heads(settings: Settings, now: datetime) -> dict[bytes, bytes]:
    """The action lines' beginnings for the days on which any time is plausible. The days at the edges are not."""
    heads = {}
    for back in range(min(settings.past_days, DAYS_KEPT)):
        moment = now - timedelta(days=back)
        for dataset in PERIODS:
            key = LINE_START + moment.strftime("%Y-%m-%d").encode() + DATASET_MARK + f'{dataset}"'.encode()[:7]
            index = index_name(dataset, moment, settings.namespace)
            heads[key] = b'{"create":{"_index":"%b","_id":"' % index.encode()
    return heads


DAYS_KEPT = 90  # older records are as good, and rarer: they are looked at one by one
