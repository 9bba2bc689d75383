"""What framing.c has. It is there only where it could be compiled."""

from typing import Any

_Field = tuple[bytes, int, int, tuple[Any, ...]]
"""(name, Kind or 0, slot or -1, fields within)"""

class Framer:
    def __init__(
        self,
        jobs: _Field,
        applications: _Field,
        datasets: list[tuple[bytes, bytes, bool, bool, int]],
        states: list[tuple[bytes, bytes, int]],
        ranks: tuple[int, ...],
        host: bytes,
        state_action: bytes,
        counting: tuple[int, int, list[tuple[bytes, int, int, bool]], list[int]],
        store_type: type[StateStore],
        body_type: type[Body],
        tally_type: type[Tally],
        /,
    ) -> None:
        """`datasets`: (name, action line up to the day, whether an index is of a day before a month, since then, that
        month as year * 12 + month). `states`: (action, state, rank).

        `state_action` is the action line of a state up to its id. `counting`: tally.for_native().
        """

    def frame(
        self,
        block: bytes | bytearray,
        start: int,
        file_id: bytes,
        trusted: bool,
        states: Any,
        earliest_us: int,
        latest_us: int,
        now_us: int,
        days: bytes | None,
        counts: bool,
        fresh_us: int,
        /,
    ) -> tuple[Body, bytes, bytes, int, int, Tally | None]:
        """(body, where lines taken begin, where odd ones do, time of the last or -1, whether all are verbatim, tally).

        Places are 32-bit numbers, from the block's start; times are microseconds since 1970. States go to `states`.
        `days`: a bit for each day that an application's line may be of (since 1970, modulo 4096); None: any.
        `counts`: make a tally; only records since `fresh_us` say in it how long jobs wait.
        """

class Body:
    """Bytes whose memory is used again when nobody needs them any more."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...

class StateStore:
    """state_store.StateStore. `id_at` is where the id stands in each state's body."""

    def __init__(self, id_at: int, body_type: type[Body], /) -> None: ...
    def put(self, id_json: bytes, version: int, body: bytes, /) -> None: ...
    def take(self, over: bool, leave: int, /) -> tuple[Body, int]: ...
    def size(self) -> int: ...

class Tally:
    """What a block's lines that were taken add to the counters."""

    def read(self) -> list[tuple[bytes, bytes, bytes, bytes, bytes]]:
        """(labels as JSON, numbers as int64, samples of each measure as int64) of each set of labels."""
