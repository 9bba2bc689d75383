"""What framing.c has. It is there only where it could be compiled."""

from typing import Any

_Field = tuple[bytes, int, int, tuple[Any, ...]]
"""(name, Kind or 0, slot or -1, fields within)"""

class Framer:
    def __init__(
        self,
        jobs: _Field,
        applications: _Field,
        datasets: list[tuple[bytes, bytes, bool]],
        states: list[tuple[bytes, bytes, int]],
        ranks: tuple[int, ...],
        host: bytes,
        state_action: bytes,
        store_type: type[StateStore],
        body_type: type[Body],
        /,
    ) -> None:
        """`datasets`: (name, action line up to the day, whether an index is of a day). `states`: (action, state, rank).

        `state_action` is the action line of a state up to its id.
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
        /,
    ) -> tuple[Body, bytes, bytes, int, int]:
        """(body, where lines taken begin, where odd ones do, time of the last or -1, whether all are verbatim).

        Places are 32-bit numbers, from the block's start; times are microseconds since 1970. States go to `states`.
        `days`: a bit for each day that an application's line may be of (since 1970, modulo 4096); None: any.
        """

class Body:
    """Bytes whose memory is used again when nobody needs them any more."""

    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __len__(self) -> int: ...

class StateStore:
    """state_store.StateStore. `id_at` is where the id stands in each body."""

    def __init__(self, id_at: int, /) -> None: ...
    def put(self, id_json: bytes, version: int, body: bytes, /) -> None: ...
    def take(self, over: bool, leave: int, /) -> tuple[bytes, int]: ...
    def size(self) -> int: ...
