"""Our own records, in a tight loop: checked, routed and given their id without being built.

A record of ours has its time, id and dataset at fixed places (records.py). What is left to know of it is whether
it is whole and right: msgspec reads through a line and keeps what it is asked for, a quarter of the time of
building it all. Whatever looks odd in the least is left to document.py, which looks at it closely.

Of some 2 us for a record of 1.1 kB, 0.8 are the check and 0.3 the slices (make bench).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import msgspec

from ..records import (
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
from ..settings import Settings
from ..state import JobRecord, State, told_by


class Bare(msgspec.Struct, rename={"timestamp": "@timestamp"}):
    """The least to decode of a line: the rest is read through all the same."""

    timestamp: datetime


# What tells where a record goes: its day, and its dataset. With what stands before each, so that one look does both.
_DAY_AT = slice(0, TIME_AT.start + 10)
_KIND_AT = slice(DATASET_MARK_AT.start, DATASET_START + 7)  # enough of the dataset to tell ours apart
_MARK_AT, _MARK = slice(TIME_AT.stop - 1, ID_MARK_AT.stop), b"Z" + ID_MARK
_LAST = ord("}")
_JOB = DATASET_MARK + b'rq.job"'
_ODD = (msgspec.MsgspecError, ValueError, IndexError)  # ValueError: bytes that are no UTF-8, a time that is none


class Quick:
    """Takes lines as long as they are records of ours. One for each pipeline; not for several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._bare = msgspec.json.Decoder(Bare).decode
        self._job = msgspec.json.Decoder(JobRecord).decode
        self._heads: dict[bytes, bytes] = {}  # by day and dataset: the action line up to the id
        self._day = 0

    def take(self, lines: Iterator[bytes], parts: list[bytes], states: dict[str, State]) -> int:
        """Add action and source of each line to `parts`, and of each job the last word to `states`.

        Stops at the first line that is not as ours are, which is out of `lines` then; returns how many were taken.
        """
        today = datetime.now(UTC)
        if today.toordinal() != self._day:
            self._day = today.toordinal()
            self._heads = _heads(self._settings, today)
        heads, bare, job, with_states, before = self._heads, self._bare, self._job, self._settings.states, len(parts)
        day = kind = head = b""
        is_state = False
        try:
            for line in lines:
                if line[_DAY_AT] != day or line[_KIND_AT] != kind:
                    day, kind = line[_DAY_AT], line[_KIND_AT]
                    head = heads[day + kind]
                    is_state = with_states and kind == _JOB
                if line[_MARK_AT] != _MARK or line[-1] != _LAST:  # a carriage return, perhaps
                    break
                if not line.isascii():
                    line.decode()
                if is_state:
                    keep_last(states, told_by(job(line)))
                else:
                    bare(line)
                parts += (head + line[ID_AT] + b'"}}', line)
        except (KeyError, *_ODD):
            pass
        return (len(parts) - before) // 2


def keep_last(states: dict[str, State], state: State | None) -> None:
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
