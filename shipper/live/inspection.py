"""What RQ keeps in Redis, key by key: kinds, numbers, sizes, ages, and what a key holds where that is safe to decode.

Reads bounded amounts and changes nothing. Pickles are not loaded, arguments and meta are redacted, descriptions (which
hold arguments) are not shown, and neither is the content of keys that are not RQ's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import orjson
from redis.exceptions import ResponseError

from ..fields import moment
from ..job_fields import called_function, text
from ..redact import Redactor
from . import functions, keys
from .connection import nodes
from .server import kind_of

KINDS = (
    "job", "dependents", "queue", "registry", "result", "worker", "execution", "rate_limit", "cron", "scheduler",
    "group", "shipper", "other_rq", "other",
)  # fmt: skip
"""The kinds of keys, as server.kind_of names them."""

ELEMENTS = 10  # of a list, set or stream that are shown
FIELDS = 200  # of a hash
VALUE_LIMIT = 2000  # bytes of a value that is read


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFacts:
    """A key without its content. What this Redis does not tell is None.

    `length`: elements, fields or bytes. `expires_in_s`: None if it does not expire. `idle_s`: since it was last used.
    `created_at`: only of a job.
    """

    key: str
    kind: str
    type: str
    size_bytes: int | None = None
    length: int | None = None
    expires_in_s: float | None = None
    idle_s: int | None = None
    created_at: datetime | None = None
    function: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KindSummary:
    """All keys of a kind. Estimated if `Overview.is_estimate`, but for the largest and oldest, which were seen."""

    kind: str
    keys: int
    size_bytes: int
    expiring: int
    largest: KeyFacts
    oldest: datetime | None
    longest_idle_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The keys of the database: `looked_at` of `total`."""

    total: int
    looked_at: int
    kinds: list[KindSummary]

    @property
    def is_estimate(self) -> bool:
        return self.looked_at < self.total


def overview(connection: Any, limit: int) -> Overview:
    """The keys by kind. All keys if there are at most `limit`, else so many random ones. Raises redis.RedisError."""
    total, facts = _drawn(connection, limit)
    by_kind: dict[str, list[KeyFacts]] = {}
    for one in facts:
        by_kind.setdefault(one.kind, []).append(one)
    scale = max(1.0, total / len(facts)) if facts else 1.0
    summaries = [_summary(kind, those, scale) for kind, those in by_kind.items()]
    return Overview(
        total=max(total, len(facts)), looked_at=len(facts), kinds=sorted(summaries, key=lambda one: -one.size_bytes)
    )


def of_kind(connection: Any, kind: str, limit: int) -> list[KeyFacts]:
    """The keys of a kind among all, or among `limit` random ones, the largest first. Raises redis.RedisError."""
    _, facts = _drawn(connection, limit, kind)
    named = functions.of(connection, [_job_id(one.key) for one in facts]) if kind == "job" else {}
    return sorted((_with_function(one, named) for one in facts), key=lambda one: (-(one.size_bytes or 0), one.key))


def find(connection: Any, name: str) -> str | None:
    """The key that is called so, or of the job or queue that is. None if there is none. Raises redis.RedisError."""
    candidates = (name, keys.job(name), keys.queue(name), f"{keys.WORKER_PREFIX}{name}")
    return next((one for one in candidates if connection.exists(one)), None)


def facts_of(connection: Any, names: Sequence[str]) -> list[KeyFacts]:
    """The facts of keys, without those that are gone. Three round trips. Raises redis.RedisError."""
    asked = _try(
        connection,
        (
            command
            for name in names
            for command in (
                ("type", name),
                ("memory_usage", name),
                ("pttl", name),
                ("object", "idletime", name),
            )
        ),
    )
    found = []
    for number, name in enumerate(names):
        kind, size, ttl_ms, idle_s = asked[4 * number : 4 * number + 4]
        if kind and text(kind) != "none":
            expires_in_s = ttl_ms / 1000 if ttl_ms is not None and ttl_ms >= 0 else None
            found.append((name, text(kind), size, expires_in_s, idle_s))
    lengths = _try(connection, ((_LENGTHS.get(kind, "exists"), name) for name, kind, *_ in found))
    jobs = [name for name, *_ in found if kind_of(name) == "job"]
    created = dict(zip(jobs, keys.ask(connection, (("hget", name, "created_at") for name in jobs)), strict=True))
    return [
        KeyFacts(
            key=name, kind=kind_of(name), type=kind, size_bytes=size, length=length, expires_in_s=expires_in_s,
            idle_s=idle_s, created_at=moment(text(raw)) if (raw := created.get(name)) else None,
        )
        for (name, kind, size, expires_in_s, idle_s), length in zip(found, lengths, strict=True)
    ]  # fmt: skip


_LENGTHS = {"list": "llen", "set": "scard", "zset": "zcard", "hash": "hlen", "stream": "xlen", "string": "strlen"}


def _drawn(connection: Any, limit: int, kind: str | None = None) -> tuple[int, list[KeyFacts]]:
    """(keys of the database, facts of all of them, or of `limit` random ones)."""
    total, names = 0, []
    for node in nodes(connection):
        population = int(node.dbsize())
        total += population
        if population <= limit:
            names += [text(raw) for raw in islice(node.scan_iter(count=keys.CHUNK), 2 * limit)]
        else:
            names += [text(raw) for raw in keys.ask(node, [("randomkey",)] * limit) if raw]
    names = list(dict.fromkeys(names))
    if kind is not None:
        names = [name for name in names if kind_of(name) == kind]
    facts: list[KeyFacts] = []
    for start in range(0, len(names), keys.CHUNK):
        facts += facts_of(connection, names[start : start + keys.CHUNK])
    return total, facts


def _summary(kind: str, facts: list[KeyFacts], scale: float) -> KindSummary:
    return KindSummary(
        kind=kind,
        keys=round(len(facts) * scale),
        size_bytes=round(sum(one.size_bytes or 0 for one in facts) * scale),
        expiring=round(sum(one.expires_in_s is not None for one in facts) * scale),
        largest=max(facts, key=lambda one: one.size_bytes or 0),
        oldest=min((one.created_at for one in facts if one.created_at), default=None),
        longest_idle_s=max((one.idle_s for one in facts if one.idle_s is not None), default=None),
    )


def _job_id(key: str) -> str:
    return key.removeprefix(keys.JOB_PREFIX)


def _with_function(facts: KeyFacts, named: Mapping[str, str]) -> KeyFacts:
    from dataclasses import replace

    return replace(facts, function=named.get(_job_id(facts.key)))


def _try(connection: Any, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
    """The answers as of keys.ask, None for a command that Redis refuses: not all versions and accounts have each."""
    with connection.pipeline(transaction=False) as pipeline:
        for name, *arguments in commands:
            getattr(pipeline, name)(*arguments)
        answers = pipeline.execute(raise_on_error=False)
    for one in answers:
        if isinstance(one, Exception) and not isinstance(one, ResponseError):
            raise one
    return [None if isinstance(one, ResponseError) else one for one in answers]


# --- the content of a key ---------------------------------------------------------------------------------


def content(connection: Any, facts: KeyFacts, redactor: Redactor) -> list[tuple[str, str]]:
    """(name, text) of what a key holds: fields of a hash, the first elements of anything else.

    Raises redis.RedisError.
    """
    if facts.kind == "other":
        return [("content", "not RQ's, so it is not shown")]
    readers: dict[str, Callable[[Any, str], Iterable[tuple[str, str]]]] = {
        "list": _list, "set": _set, "zset": _sorted_set, "stream": _stream, "string": _string,
    }  # fmt: skip
    if facts.type == "hash":
        return list(_hash(connection, facts, redactor))
    reader = readers.get(facts.type)
    return list(reader(connection, facts.key)) if reader else []


def _hash(connection: Any, facts: KeyFacts, redactor: Redactor) -> Iterator[tuple[str, str]]:
    if (facts.length or 0) > FIELDS:
        yield "content", f"{facts.length} fields, which are too many to be shown"
        return
    names = sorted(text(raw) for raw in connection.hkeys(facts.key))
    sizes = keys.ask(connection, (("hstrlen", facts.key, name) for name in names))
    payload = {"data", "meta"} if facts.kind == "job" else set()
    wanted = [
        name
        for name, size in zip(names, sizes, strict=True)
        if size <= (functions.PAYLOAD_LIMIT if name in payload | {"exc_info"} else VALUE_LIMIT)
        and not (name in payload | {"exc_info", "result"} and connection.get_encoder().decode_responses)
    ]
    read = dict(zip(wanted, keys.ask(connection, (("hget", facts.key, name) for name in wanted)), strict=True))
    function = functions.name_in({name: read.get(name) for name in ("shipper", "data", "description")})
    if facts.kind == "job":
        yield "function", function or "unknown"
    for name, size in zip(names, sizes, strict=True):
        value = read.get(name)
        decode = _JOB_FIELDS.get(name) if facts.kind == "job" else None
        if decode is not None:
            yield name, decode(value, size, redactor, function)
        elif value is None:
            yield name, f"{size} bytes"
        else:
            yield name, "[redacted]" if redactor.is_secret(name) else _plain(value, redactor)


def _plain(value: bytes | str, redactor: Redactor) -> str:
    """A value that is text; JSON redacted."""
    shown = text(value)
    if shown[:1] in "[{":
        decoded = _json(shown.encode())
        if decoded is not None:
            return _redacted(decoded, redactor)
    return shown


def _redacted(decoded: Any, redactor: Redactor) -> str:
    named, _ = redactor.named(decoded if isinstance(decoded, dict) else {"value": decoded})
    return orjson.dumps(named if isinstance(decoded, dict) else named["value"], default=repr).decode()


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _payload(value: bytes | str | None, size: int, redactor: Redactor, function: str | None) -> str:
    """`data`: function, instance, args and kwargs. JSON is decoded, anything else is not."""
    raw = _decompressed(value)
    if raw is None:
        return f"{size} bytes"
    decoded = _json(raw) if raw[:1] == b"[" else None
    if not isinstance(decoded, list) or len(decoded) != 4:
        return f"{size} bytes, {len(raw)} decompressed, not unpickled"
    _, _, args, kwargs = decoded
    shown_args, _ = redactor.positional(args if isinstance(args, list) else [], function)
    shown_kwargs, _ = redactor.named(kwargs if isinstance(kwargs, dict) else {})
    return f"{size} bytes, JSON: {orjson.dumps({'args': shown_args, 'kwargs': shown_kwargs}, default=repr).decode()}"


def _meta(value: bytes | str | None, size: int, redactor: Redactor, _function: str | None) -> str:
    decoded = _json(value) if isinstance(value, bytes) and value[:1] == b"{" else None
    if not isinstance(decoded, dict):
        return f"{size} bytes, not unpickled"
    return _redacted(decoded, redactor)


def _description(value: bytes | str | None, size: int, _redactor: Redactor, _function: str | None) -> str:
    called = called_function(text(value)) if value else None
    return f"{called}(…)" if called else f"{size} bytes, not shown: it may hold arguments"


def _traceback(value: bytes | str | None, size: int, _redactor: Redactor, _function: str | None) -> str:
    raw = _decompressed(value)
    lines = raw.decode("utf-8", "replace").strip().splitlines() if raw else []
    return f"{lines[-1]} ({size} bytes)" if lines else f"{size} bytes"


def _result(_value: bytes | str | None, size: int, _redactor: Redactor, _function: str | None) -> str:
    return f"{size} bytes, not unpickled"


_JOB_FIELDS: dict[str, Callable[[bytes | str | None, int, Redactor, str | None], str]] = {
    "data": _payload,
    "meta": _meta,
    "description": _description,
    "exc_info": _traceback,
    "result": _result,
}


def _decompressed(value: bytes | str | None) -> bytes | None:
    """At most PAYLOAD_LIMIT bytes of what RQ compressed; the value itself if it is not compressed."""
    if not isinstance(value, bytes):
        return None
    try:
        return zlib.decompressobj().decompress(value, functions.PAYLOAD_LIMIT)
    except zlib.error:
        return value


def _list(connection: Any, key: str) -> Iterator[tuple[str, str]]:
    for position, raw in enumerate(connection.lrange(key, 0, ELEMENTS - 1)):
        yield str(position), text(raw)


def _set(connection: Any, key: str) -> Iterator[tuple[str, str]]:
    for raw in islice(connection.sscan_iter(key, count=ELEMENTS), ELEMENTS):
        yield "", text(raw)


def _sorted_set(connection: Any, key: str) -> Iterator[tuple[str, str]]:
    for raw, score in connection.zrange(key, 0, ELEMENTS - 1, withscores=True):
        yield _score(score), text(raw)


def _score(score: float) -> str:
    """RQ's scores are times, but for an entry that never expires."""
    if not 1e9 < score < 1e11:
        return f"{score:g}"
    return datetime.fromtimestamp(score, UTC).isoformat(timespec="seconds")


def _stream(connection: Any, key: str) -> Iterator[tuple[str, str]]:
    """RQ's results: when, and which fields; neither the returned value nor a traceback."""
    for identifier, fields in connection.xrevrange(key, count=ELEMENTS):
        at = datetime.fromtimestamp(int(text(identifier).partition("-")[0]) / 1000, UTC)
        yield at.isoformat(timespec="seconds"), ", ".join(_entry(text(name), value) for name, value in fields.items())


def _entry(name: str, value: bytes | str) -> str:
    return f"{name}={text(value)}" if name in ("type", "created_at") else f"{name}: {len(value)} bytes"


def _string(connection: Any, key: str) -> Iterator[tuple[str, str]]:
    yield "value", text(connection.getrange(key, 0, VALUE_LIMIT - 1))
