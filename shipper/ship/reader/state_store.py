"""The last state of each job, held until it is sent. store.h is the same, without an object for each state."""

from __future__ import annotations

from typing import Protocol

import orjson

from ...state import State, action_start, document_id
from .items import Buffer

try:
    from .framing import Body
    from .framing import StateStore as _StateStore
except ImportError:  # no compiler where this was installed
    _StateStore = None  # type: ignore[assignment, misc]

RECENT_LIMIT = 65_536  # jobs of which it is remembered that a state was just sent


class StateStore(Protocol):
    """Holds states by the ids of their documents, the oldest first."""

    def put(self, id_json: bytes, version: int, body: bytes, /) -> None:
        """Hold a state, unless the one that is held of this id has the last word."""

    def take(self, over: bool, leave: int, /) -> tuple[Buffer, int]:
        """(bodies, how many) of the oldest, until no more than `leave` bytes stay. They are held no more.

        Those of which one was taken since the last call with `over` stay, as long as there are others.
        """

    def size(self) -> int:
        """The bytes of the bodies that are held."""


class PlainStateStore:
    """A StateStore in Python."""

    def __init__(self) -> None:
        self._held: dict[bytes, tuple[int, bytes]] = {}
        self._size = 0
        self._recent: set[bytes] = set()

    def put(self, id_json: bytes, version: int, body: bytes, /) -> None:
        known = self._held.get(id_json)
        if known is None or version > known[0]:
            self._size += len(body) - (len(known[1]) if known else 0)
            self._held[id_json] = (version, body)

    def take(self, over: bool, leave: int, /) -> tuple[bytes, int]:
        if over:
            self._recent.clear()
        chosen = self._choose(leave, self._recent) or self._choose(leave, set())
        body = b"".join([self._held.pop(one)[1] for one in chosen])
        self._size -= len(body)
        self._recent.update(chosen[: RECENT_LIMIT - len(self._recent)])
        return body, len(chosen)

    def size(self) -> int:
        return self._size

    def _choose(self, leave: int, but: set[bytes]) -> list[bytes]:
        chosen, rest = [], self._size
        for one, (_, body) in self._held.items():
            if rest <= leave:
                break
            if one not in but:
                chosen.append(one)
                rest -= len(body)
        return chosen


def make(namespace: str) -> StateStore:
    """An empty store for a namespace's states: the one in C where there is one."""
    return PlainStateStore() if _StateStore is None else _StateStore(len(action_start(namespace)), Body)


def put(store: StateStore, state: State) -> None:
    """Hold a state that document.py made."""
    identifier = b"%b" % orjson.dumps(document_id(state.job_id))  # a copy, as it is kept: see records.encode
    store.put(identifier, state.version, state.body)
