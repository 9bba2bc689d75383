"""Who holds which section, since when, and who waits for it. For operators; nothing here lets anybody in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ..job_fields import text
from ..live import keys
from . import store


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiter:
    """`who`: a job's id, or the token of a process that runs none. `since`: its first try."""

    who: str
    since: datetime
    tries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSection:
    """A section that is held or waited for.

    `holder`: the id of the job that holds it, None if it is no job, or nobody holds it (`fence` is None, too).
    `lease_s`: seconds until others get in if the holder is dead; it is extended while the holder runs.
    """

    name: str
    holder: str | None
    function: str | None
    since: datetime | None
    fence: int | None
    lease_s: float | None
    waiters: tuple[Waiter, ...]


def held(connection: Any) -> Iterator[HeldSection]:
    """The sections that are held or waited for, by name. Raises redis.RedisError."""
    names = sorted(text(name) for name in connection.zrange(store.index_key(), 0, -1))
    for at in range(0, len(names), keys.CHUNK // 3):
        page = names[at : at + keys.CHUNK // 3]
        commands: list[tuple[Any, ...]] = []
        for name in page:
            key = store.section_key(name)
            commands += [("hgetall", key), ("pttl", key), ("hgetall", store.waiters_key(name))]
        answers = keys.ask(connection, commands)
        for number, name in enumerate(page):
            section = _section(name, *answers[3 * number : 3 * number + 3])
            if section.fence is not None or section.waiters:
                yield section


def counters(connection: Any) -> dict[str, dict[str, int]]:
    """Template → `waits` (tries in vain) and `waited_ms` (until those who waited got in)."""
    found: dict[str, dict[str, int]] = {}
    for field, value in connection.hgetall(store.counters_key()).items():
        template, mark, kind = text(field).rpartition("|")
        if not mark:
            continue  # the last fence
        found.setdefault(template, {})[kind] = int(value)
    return found


def _section(name: str, raw: dict[Any, Any], lease_ms: int, waiting: dict[Any, Any]) -> HeldSection:
    fields = {text(field): text(value) for field, value in raw.items()}
    function = store.parse_who(fields["who"])[0] if fields else None
    waiters = [_waiter(text(who), text(noted)) for who, noted in waiting.items()]
    return HeldSection(
        name=name,
        holder=fields.get("job") or None,
        function=function or None,
        since=_time(fields["since"]) if fields else None,
        fence=int(fields["fence"]) if fields else None,
        lease_s=lease_ms / 1000 if fields else None,
        waiters=tuple(sorted(waiters, key=lambda one: one.since)),
    )


def _waiter(who: str, noted: str) -> Waiter:
    first, tries, _ = noted.split(" ")
    return Waiter(who=who, since=_time(first), tries=int(tries))


def _time(milliseconds: str) -> datetime:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
