"""Whole blocks of lines → the body that is sent, by framing.c: document.py's decision, twenty times as fast.

Where framing.c could not be compiled each line is document.py's; the result is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ...index.mapping import Field, Kind, mapped
from ...records import DATASETS, DAY, EPOCH, alias, period
from ...setting_values import IndexPeriod
from ...settings import Settings
from ...state import RANKS, STATES, action_start
from ..counting.tally import NativeTally, for_native
from ..source.tail import Block
from .state_store import StateStore

try:
    from .framing import Body
    from .framing import Framer as _Framer
    from .framing import StateStore as _StateStore
    from .framing import Tally as _Tally
except ImportError:  # no compiler where this was installed
    _Framer = None  # type: ignore[assignment, misc]

CHECKED_IN = "C" if _Framer is not None else "Python (framing.c was not compiled at the install: a tenth as fast)"
"""For people: which of the two ways a block takes here."""

# framing.c's `enum slot`: the fields whose values it looks at, in its order.
_OF_APPLICATIONS = (
    "@timestamp", "timestamp", "time", "ts", "asctime", "record/time/repr",
    "msg", "event", "text",
    "level", "severity", "levelname", "record/level/name",
    "message", "log", "log.level", "tags", "app",
    "event/id", "event/dataset",
)  # fmt: skip
_OF_JOBS = (
    "event/action", "event/reason", "event/sequence",
    "messaging/destination", "messaging/destination/name", "messaging/message/id", "messaging/client",
    "messaging/client/id", "code", "code/function", "code/function/name", "service", "service/name", "user",
    "organization", "error", "error/type", "error/message",
    "rq", "rq/enqueued_at", "rq/created_at", "rq/expires_at", "rq/attempt", "rq/inferred", "rq/progress",
    "event/duration", "rq/lag_ms", "rq/total_ms",
)  # fmt: skip
_OF_BOTH = ("@timestamp", "event", "event/id", "event/dataset")
_SLOTS = {path: number for number, path in enumerate(_OF_APPLICATIONS + _OF_JOBS)}


@dataclass(frozen=True, slots=True)
class Framed:
    """What of a block is ready to be sent.

    `body` has action and source of each line that was taken; `taken` says where those lines begin, `odd` where those
    do that have to be looked at one by one. `newest` is the time of the last one. `verbatim`: each source is its line.
    `tally`: what the lines that were taken add to the counters, if anybody counts.
    """

    body: Body
    taken: memoryview
    odd: memoryview
    newest: datetime | None
    verbatim: bool
    tally: NativeTally | None


class Framer:
    """Takes blocks. One for each pipeline; not for several threads."""

    def __init__(self, settings: Settings, host: str) -> None:
        self._settings = settings
        self._past_us, self._future_us = settings.past_days * _DAY_US, settings.future_days * _DAY_US
        self._fresh_us = settings.fresh_s * 1_000_000
        self._native = None if _Framer is None else _Framer(
            _tree((*_OF_BOTH, *_OF_JOBS), None),
            _tree(_OF_APPLICATIONS, mapped("rq.app")),
            [
                (
                    name.encode(),
                    f'{{"create":{{"_index":"{alias(name)}-{settings.namespace}-'.encode(),
                    *_days(name, settings.index_period),
                )
                for name in DATASETS
            ],
            [(action.encode(), state.encode(), RANKS[state]) for action, state in STATES.items()],
            tuple(RANKS[name] for name in ("rescheduled", "lost", "expired", "retrying", "inferred")),
            host.encode("utf-8", "surrogatepass"), action_start(settings.namespace), for_native(),
            _StateStore, Body, _Tally,
        )  # fmt: skip

    def frame(
        self,
        block: Block,
        file_id: str,
        now: datetime,
        states: StateStore | None,
        *,
        trusted: bool,
        days: bytes | None = None,
        counts: bool = False,
    ) -> Framed | None:
        """What of the block is ready; None where there is nothing that could say. States of jobs go to `states`."""
        if self._native is None:
            return None
        now_us = _microseconds(now)
        body, taken, odd, newest, verbatim, tally = self._native.frame(
            block.data, block.start, file_id.encode("utf-8", "surrogatepass"), trusted, states,
            now_us - self._past_us, now_us + self._future_us, now_us, days, counts, now_us - self._fresh_us,
        )  # fmt: skip
        return Framed(
            body, memoryview(taken).cast("I"), memoryview(odd).cast("I"),
            EPOCH + timedelta(microseconds=newest) if newest >= 0 else None, bool(verbatim),
            NativeTally(tally) if tally is not None else None,
        )  # fmt: skip


_DAY_US = 86_400_000_000


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def _tree(paths: tuple[str, ...], mapping: Field | None) -> tuple[bytes, int, int, tuple[Any, ...]]:
    """The fields as framing.c takes them: (name, kind, slot, fields within)."""
    root: dict[str, Any] = {}
    for path in paths:
        inside = root
        for name in path.split("/"):
            inside = inside.setdefault(name, {})
        inside[_SLOT] = _SLOTS[path]
    return _node("", root, mapping)


_SLOT = "/"  # no name of a field


def _node(name: str, paths: Mapping[str, Any], mapping: Field | None) -> tuple[bytes, int, int, tuple[Any, ...]]:
    fields = mapping.fields if mapping else {}
    if mapping is None and name == "log.level":
        mapping = Field(Kind.LEAF)
    names = [inner for inner in {**paths, **fields} if inner != _SLOT]
    inner = tuple(_node(one, paths.get(one, {}), fields.get(one)) for one in names)
    return name.encode(), int(mapping.kind) if mapping else 0, paths.get(_SLOT, -1), inner


def _days(dataset: str, index_period: IndexPeriod) -> tuple[bool, bool, int]:
    """(whether an index is of a day before a month, since that month, the month as year * 12 + month)."""
    daily = period(dataset) == DAY
    year, month = index_period.since or (0, 0)
    return daily and index_period.monthly, daily and not index_period.monthly, year * 12 + month
