"""Of a job's states only the last within a moment is sent: nobody could see the ones before it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ..reader.document import Document
from ..reader.items import LINE, Buffer, DeadLetter, Item
from ..reader.state_store import StateStore
from ..source.tail import Mark, Source
from .batch import BODY_LIMIT

INTERVAL_S = 1.0
"""Elasticsearch shows nothing sooner than this: the `refresh_interval` of templates/rq-state.json."""

BEHIND_S = 5.0
"""The interval while there is more to be read: the states of a backlog are old already, and many jobs' next records
come within it. Not longer, as positions do not move while states are held."""

HELD_LIMIT = 12_000_000  # bytes of states: some 16,000 jobs. In a backlog a job's records stand far from each other


@dataclass(slots=True)
class StateBatch:
    """States of jobs, sent at once. `is_last`: no older state is held back for later."""

    bodies: Buffer
    count: int
    is_last: bool
    dead_letters: list[DeadLetter] = field(default_factory=list)
    marks: dict[Source, Mark] = field(default_factory=dict)

    @property
    def records(self) -> int:
        return 0

    def body(self) -> Buffer:
        return self.bodies

    def items(self) -> Iterator[Item]:
        """What they were made of is in the records' dead letters, should there be any."""
        lines = (found[0] for found in LINE.finditer(self.bodies))
        for action, source in zip(lines, lines, strict=True):
            yield Item(Document(action, source, is_record=False), b"", "<state>", 0)


class StateWindow:
    """Says when the states that a reader holds are sent: at most one of each job in an interval.

    In a backlog the interval is longer, and there is room for no more before it is over. Then a request's worth of the
    oldest are sent, but for those of jobs of which one was sent within the interval.
    """

    def __init__(self, store: StateStore | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._begun = clock()

    def __bool__(self) -> bool:
        """Whether any state is held."""
        return self._store is not None and self._store.size() > 0

    def take(self, *, everything: bool = False, behind: bool = False) -> Iterator[StateBatch]:
        """Those to be sent now, in batches of a request's size. `behind`: there is more to be read."""
        if self._store is None or not (size := self._store.size()):
            return
        now = self._clock()
        if over := everything or now - self._begun >= (BEHIND_S if behind else INTERVAL_S):
            self._begun = now
        limit = 0 if over else HELD_LIMIT
        while size > limit:
            states, count = self._store.take(over, max(0, size - BODY_LIMIT))
            size, over = self._store.size(), False
            yield StateBatch(states, count, is_last=not size)
