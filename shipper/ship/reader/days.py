"""How many days back other programs' lines may reach: each new day is an index, and a cluster has only so many.

Whoever can write to a file that is tailed could otherwise make an index for each day of years. Imports may.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from ...records import EPOCH

PAST_DAYS_LIMIT = 31
"""Different days before yesterday that lines of other programs may be of, until the shipper starts again."""

BITS = 4096  # more than the days that any setting lets a line be old


class ForeignDays:
    """The days that lines of files which are not trusted may be of. `bits` is framing.c's form of them."""

    def __init__(self) -> None:
        self._past: set[int] = set()

    def allows(self, moment: datetime, now: datetime) -> bool:
        """Whether a line may be of this time. Counts its day if so."""
        day, today = _day(moment), _day(now)
        if day < today - 1 and day not in self._past:
            if len(self._past) >= PAST_DAYS_LIMIT:
                return False
            self._past.add(day)
        return True

    def bits(self, now: datetime) -> bytes:
        """The days that need not be asked for."""
        bits = bytearray(BITS // 8)
        today = _day(now)
        for day in (*range(today - 1, today + 3), *self._past):
            bits[day % BITS // 8] |= 1 << (day % 8)
        return bytes(bits)


def _day(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(days=1)
