"""Records of jobs → OpenTelemetry spans: one for each push (`enqueue low`), one for each execution (`run low`).

The span of an execution is a child of its push's, and linked to it, as the semantic conventions for messaging have it.
The push's is a child of the span in which the job was enqueued, if the job carries one. Otherwise the trace's id
follows from the root job's. All ids follow from the record, so a record makes the same span whenever it is read.

Spans are encoded here as protobuf (opentelemetry/proto/trace/v1/trace.proto): with generated classes one costs 35 us.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple

import msgspec

from ...records import EPOCH, parse_timestamp, shorten
from ...state import Code, Identified, Named

_RUNS = frozenset({"job-finished", "job-retried", "job-dead", "job-stopped"})
_STACK_LIMIT = 4096  # characters of a stack trace: all of it is on the record


class ResourceKey(NamedTuple):
    """What the spans of one resource have in common. "" where a record does not say."""

    service: str
    version: str
    environment: str
    host: str


class _Event(msgspec.Struct, gc=False):
    action: str
    id: str
    outcome: str | None = None
    start: str | None = None
    end: str | None = None
    reason: str | None = None


class _Body(msgspec.Struct, gc=False):
    size: int | None = None


class _Message(msgspec.Struct, gc=False):
    id: str
    body: _Body | None = None


class _Messaging(msgspec.Struct, gc=False):
    destination: Named
    message: _Message
    client: Identified | None = None


class _Rq(msgspec.Struct, gc=False):
    enqueued_at: str | None = None
    started_at: str | None = None
    retry_at: str | None = None
    attempt: int | None = None
    lag_ms: int | None = None
    total_ms: int | None = None
    execution_id: str | None = None
    root_job_id: str | None = None
    inferred: bool | None = None
    cause: str | None = None
    cron_name: str | None = None
    retry_verdict: str | None = None
    signal: str | None = None


class _Service(msgspec.Struct, gc=False):
    name: str | None = None
    version: str | None = None
    environment: str | None = None


class _Error(msgspec.Struct, gc=False):
    type: str | None = None
    message: str | None = None
    stack_trace: str | None = None


class _JobRecord(msgspec.Struct, rename={"timestamp": "@timestamp"}, gc=False):
    """What a span needs of a job record. Everything else in it is passed over."""

    timestamp: str
    event: _Event
    messaging: _Messaging
    rq: _Rq
    code: Code | None = None
    service: _Service | None = None
    host: Named | None = None
    error: _Error | None = None
    trace: Identified | None = None
    span: Identified | None = None


_decode = msgspec.json.Decoder(_JobRecord).decode


def span(line: bytes) -> tuple[ResourceKey, bytes] | None:
    """The span that a record of a job makes, as an element of ScopeSpans; None if it makes none."""
    try:
        record = _decode(line)
        action = record.event.action
        if action == "job-enqueued":
            encoded = _push(record)
        elif _is_ending(record):
            encoded = _run(record)
        else:
            return None
    except (msgspec.MsgspecError, ValueError, OverflowError):  # it is not as ours are
        return None
    return _resource(record), b"\x12" + varint(len(encoded)) + encoded


def _is_ending(record: _JobRecord) -> bool:
    """Whether it closes an execution: of one that found a critical section taken, if its job was put back."""
    event, rq = record.event, record.rq
    if event.action == "job-busy":
        return rq.retry_at is not None
    return event.action in _RUNS and (event.start is not None or rq.execution_id is not None)


def _resource(record: _JobRecord) -> ResourceKey:
    service, host = record.service or _Service(), record.host or Named()
    return ResourceKey(service.name or "", service.version or "", service.environment or "", host.name or "")


def _push(record: _JobRecord) -> bytes:
    trace, parent = _trace(record)
    at, rq = _nanoseconds(record.timestamp), record.rq
    return b"".join(
        (
            b"\x0a\x10",
            trace,
            b"\x12\x08",
            _push_id(record),
            parent,
            b"\x39",
            at,
            b"\x41",
            at,
            *_common(record, "enqueue"),
            _cached("rq.cause", rq.cause) if rq.cause else b"",
            _cached("rq.cron_name", rq.cron_name) if rq.cron_name else b"",
        )
    )


def _run(record: _JobRecord) -> bytes:
    trace, _ = _trace(record)
    event, rq, push = record.event, record.rq, _push_id(record)
    end = _nanoseconds(event.end or record.timestamp)
    started = event.start or rq.started_at
    start = _nanoseconds(started) if started else end
    return b"".join(
        (
            b"\x0a\x10",
            trace,
            b"\x12\x08",
            _digest(event.id, 8),
            b"\x22\x08",
            push,
            b"\x39",
            start,
            b"\x41",
            end,
            *_common(record, "run"),
            _cached("rq.action", event.action),
            _LAG(rq.lag_ms) if rq.lag_ms is not None else b"",
            _TOTAL(rq.total_ms) if rq.total_ms is not None else b"",
            _EXECUTION(rq.execution_id) if rq.execution_id else b"",
            b"\x6a\x1c\x0a\x10",
            trace,
            b"\x12\x08",
            push,  # the link
            _failure(record, end) if event.action != "job-finished" or rq.inferred else b"",
        )
    )


def _failure(record: _JobRecord, end: bytes) -> bytes:
    """What an execution's span has if it did not simply finish."""
    event, rq, error = record.event, record.rq, record.error or _Error()
    named = (("rq.retry_verdict", rq.retry_verdict), ("rq.signal", rq.signal), ("rq.reason", event.reason))
    parts = [_cached(key, value) for key, value in named if value]
    parts.append(_INFERRED if rq.inferred else b"")
    if event.outcome == "failure":
        parts.append(_cached("error.type", error.type or event.reason or "failure"))
        parts.append(_exception(error, end) if error.type else b"")
        parts.append(field(b"\x7a", field(b"\x12", shorten(error.message or "", 1000).encode()) + _ERROR))
    return b"".join(parts)


def _trace(record: _JobRecord) -> tuple[bytes, bytes]:
    """(the trace's id, the field of the push's parent)."""
    if record.trace is not None and (identifier := _hex(record.trace.id, 32)):
        parent = _hex(record.span.id, 16) if record.span is not None else b""
        return identifier, b"\x22\x08" + parent if parent else b""
    return _digest(record.rq.root_job_id or record.messaging.message.id, 16), b""


def _push_id(record: _JobRecord) -> bytes:
    """The id of a push's span, from any record of the push."""
    return _digest(f"{record.messaging.message.id}\0{record.rq.enqueued_at}", 8)


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def _hex(text: object, digits: int) -> bytes:
    """The bytes of an id; b"" of what is none. All zeros are none (W3C Trace Context)."""
    if not isinstance(text, str) or len(text) != digits or not text.strip("0"):
        return b""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return b""
    return found if 2 * len(found) == digits else b""  # it passes over blanks


def _common(record: _JobRecord, operation: str) -> tuple[bytes, ...]:
    messaging, code = record.messaging, record.code
    message, client = messaging.message, messaging.client
    return (
        _place(
            operation,
            messaging.destination.name or "",
            code.function.name if code is not None and code.function is not None else None,
            client.id if client is not None else None,
            message.body.size if message.body is not None else None,
            record.rq.attempt,
        ),
        _JOB(message.id),
        _EVENT(record.event.id),
    )


@lru_cache(4096)
def _place(
    operation: str, queue: str, function: str | None, worker: str | None, size: int | None, attempt: int | None
) -> bytes:
    """What many spans have in common: name, kind and attributes."""
    return b"".join(
        (
            field(b"\x2a", f"{operation} {queue}".encode()),
            _OPERATIONS[operation],
            _text("messaging.destination.name")(queue),
            _text("code.function.name")(function) if function is not None else b"",
            _text("messaging.client.id")(worker) if worker is not None else b"",
            _number("messaging.message.body.size")(size) if size is not None else b"",
            _number("rq.attempt")(attempt) if attempt is not None else b"",
        )
    )


def _exception(error: _Error, at: bytes) -> bytes:
    """The event of an exception: name and attributes as the semantic conventions have them."""
    parts = [
        encode(shorten(value, _STACK_LIMIT))
        for encode, value in zip(_EXCEPTION, (error.type, error.message, error.stack_trace), strict=True)
        if value
    ]
    return field(b"\x5a", b"".join((b"\x09", at, b"\x12\x09exception", *parts)))


def _nanoseconds(time: str) -> bytes:
    """A time as fixed64 of nanoseconds since 1970."""
    return ((parse_timestamp(time) - EPOCH) // _MICROSECOND * 1000).to_bytes(8, "little")


_MICROSECOND = timedelta(microseconds=1)


# --- protobuf: a field is its number and type, then its length and content ---


def varint(number: int) -> bytes:
    """A number as protobuf has it: of 64 bits, a negative one as its two's complement."""
    if 0 <= number < 128:
        return _BYTES[number]
    number &= 0xFFFF_FFFF_FFFF_FFFF
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)


_BYTES = [bytes((number,)) for number in range(128)]


def field(tag: bytes, content: bytes) -> bytes:
    """A field of protobuf with a length before its content."""
    return tag + varint(len(content)) + content


@lru_cache
def _text(key: str, tag: bytes = b"\x4a") -> Callable[[str], bytes]:
    """Makes attributes of a key whose values are texts."""
    head = field(b"\x0a", key.encode())

    def encode(value: str) -> bytes:
        text = value.encode()
        length = varint(len(text))
        inner = 1 + len(length) + len(text)
        inner_length = varint(inner)
        outer_length = varint(len(head) + 1 + len(inner_length) + inner)
        return b"".join((tag, outer_length, head, b"\x12", inner_length, b"\x0a", length, text))

    return encode


@lru_cache
def _number(key: str) -> Callable[[int], bytes]:
    """Makes attributes of a key whose values are numbers."""
    head = field(b"\x0a", key.encode())

    def encode(value: int) -> bytes:
        content = b"\x18" + varint(value)
        return b"".join((b"\x4a", _BYTES[len(head) + len(content) + 2], head, b"\x12", _BYTES[len(content)], content))

    return encode


@lru_cache(4096)
def _cached(key: str, value: str) -> bytes:
    return _text(key)(value)


def _beginning(kind: int, operation: str, of_type: str) -> bytes:
    """The kind (SpanKind: 4 is PRODUCER, 5 CONSUMER), and the attributes of an operation."""
    pairs = (("system", "rq"), ("operation.name", operation), ("operation.type", of_type))
    return bytes((0x30, kind)) + b"".join(_text(f"messaging.{key}")(value) for key, value in pairs)


_OPERATIONS = {
    "enqueue": _beginning(4, "enqueue", "send"),
    "run": _beginning(5, "run", "process"),
}  # PRODUCER, CONSUMER
_INFERRED = field(b"\x4a", field(b"\x0a", b"rq.inferred") + b"\x12\x02\x10\x01")
_ERROR = b"\x18\x02"
_JOB, _EVENT, _EXECUTION = _text("messaging.message.id"), _text("rq.event.id"), _text("rq.execution_id")
_EXCEPTION = [_text(f"exception.{name}", b"\x1a") for name in ("type", "message", "stacktrace")]
_LAG, _TOTAL = _number("rq.lag_ms"), _number("rq.total_ms")
