"""The sections in Redis: typed calls of the Lua scripts beside this file. Each is one round trip.

A section is a hash that expires. Beside it there are its waiters (a hash: who → first try, tries, latest try), an index
of all sections by the end of their leases, the names that one execution holds, and a hash of counters, with one for all
fences.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import orjson

from .. import lua
from ..job_fields import own_key, text
from .caller import Caller, place, process


class Acquired(NamedTuple):
    """The caller has the section. `waited_s` and `tries` are those before, over all executions of its job."""

    fence: int
    waited_s: float
    tries: int


class Holder(NamedTuple):
    """Somebody else has it. `since_ms`: Unix time. `waited_s` and `tries` are the caller's, with this one."""

    token: str
    job_id: str
    function: str
    since_ms: int
    place: str
    process: str
    waited_s: float
    tries: int


def section_key(name: str) -> str:
    return f"{_prefix()}section:{name}"


def waiters_key(name: str) -> str:
    return f"{_prefix()}section-waiters:{name}"


def index_key() -> str:
    return f"{_prefix()}sections"


def counters_key() -> str:
    """The last fence, and the counters of each template."""
    return f"{_prefix()}section-counters"


def held_key(token: str) -> str:
    return f"{_prefix()}sections-of:{token}"


@cache
def _prefix() -> str:
    return own_key("")


def acquire(
    caller: Caller,
    name: str,
    *,
    template: str,
    ttl_ms: int,
    beat_ms: int,
    waits: bool,
    counts: bool,
    gone: str = "",
) -> Acquired | Holder:
    """Take the section, or learn who has it. `waits`: note the caller as a waiter; `counts`: this is a new try.

    `gone`: the token of a holder whose process has ended, as this caller has seen.
    """
    keys = [section_key(name), waiters_key(name), index_key(), held_key(caller.token), counters_key()]
    mode = 0 if not waits else 2 if counts else 1
    who = orjson.dumps([caller.function, place(), process()])
    answer = _run(
        caller.connection,
        "acquire",
        keys,
        name,
        caller.token,
        caller.job_id,
        who,
        ttl_ms,
        beat_ms,
        gone,
        template,
        mode,
    )
    if answer[0] == 1:
        return Acquired(int(answer[1]), answer[2] / 1000, answer[3])
    token, job_id, since_ms, who, waited_ms, tries = answer[1:]
    function, there, identity = parse_who(who)
    return Holder(text(token), text(job_id), function, since_ms, there, identity, waited_ms / 1000, tries)


def parse_who(stored: bytes | str) -> tuple[str, str, str]:
    """(function, place, process) of a holder."""
    function, there, identity = orjson.loads(stored)
    return function, there, identity


def renew(connection: Any, token: str, name: str, ttl_ms: int) -> bool:
    """Extend the lease. False if the section is no longer this holder's."""
    keys = [section_key(name), index_key(), held_key(token)]
    return bool(_run(connection, "renew", keys, name, token, ttl_ms))


def release(connection: Any, token: str, *names: str) -> list[str]:
    """Release those that are still this holder's, and return their names."""
    keys = [held_key(token), index_key(), *map(section_key, names)]
    return [text(name) for name in _run(connection, "release", keys, token, *names)]


def release_all(connection: Any, token: str) -> list[str]:
    """Release all that an execution holds, and return their names. For whoever has seen its end."""
    names = sorted(text(name) for name in connection.smembers(held_key(token)))
    return release(connection, token, *names) if names else []


def forget_waiter(connection: Any, name: str, waiter: str) -> None:
    """The waiter has given up."""
    connection.hdel(waiters_key(name), waiter)


def evict(connection: Any, name: str) -> dict[str, str]:
    """Release a section whoever holds it, and return its fields. {} if nobody does."""
    fields = [text(value) for value in _pairs(_run(connection, "evict", [section_key(name), index_key()], name))]
    return dict(zip(fields[::2], fields[1::2], strict=True))


def claim(
    connection: Any, name: str, job_id: str, *, hold_ms: int, keep_ms: int, job_prefix: str, statuses: list[str]
) -> str:
    """Claim a unique name for a job, and return the id of the job that has it."""
    keys = [f"{_prefix()}unique:{name}"]
    return text(_run(connection, "claim", keys, job_id, job_prefix, hold_ms, keep_ms, *statuses))


def _pairs(answer: Any) -> list[Any]:
    """HGETALL's answer from a script: a list with RESP 2, a mapping with RESP 3."""
    return [part for pair in answer.items() for part in pair] if isinstance(answer, dict) else list(answer)


def _run(connection: Any, name: str, keys: list[str], *arguments: object) -> Any:
    return lua.run(connection, __package__, name, keys, *arguments)
