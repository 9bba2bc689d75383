"""What flows: the shape of a record, its id, its index, and its one line of JSON.

Every line begins with the same bytes, and with the three things a shipper needs at fixed places, so that it
can cut them out instead of decoding the line, and can find the start of the next record inside a torn one::

    {"@timestamp":"2026-11-21T03:17:32.123456Z","event":{"id":"<32 hex digits>","dataset":"rq.job",…

Field names are ECS (https://www.elastic.co/docs/reference/ecs); where ECS has none, OpenTelemetry's
`messaging.*` and `code.*`; what only RQ has is under `rq.*`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ECS_VERSION = "9.5.0"

Record = dict[str, Any]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # which some systems put before a file's first line

LINE_START = b'{"@timestamp":"'
TIME_AT = slice(15, 42)  # 2026-11-21T03:17:32.123456Z
ID_MARK_AT, ID_MARK = slice(42, 59), b'","event":{"id":"'
ID_AT = slice(59, 91)
DATASET_MARK_AT, DATASET_MARK = slice(91, 104), b'","dataset":"'
DATASET_START = 104

# Where the records of each dataset go, and how much time one index holds (strftime of its suffix).
PERIODS = {
    "rq.job": "%Y.%m.%d",
    "rq.app": "%Y.%m.%d",
    "rq.metric": "%Y.%m.%d",
    "rq.shipper": "%Y.%m.%d",
    "rq.audit": "%Y.%m",
}
DATASET_OF_OTHERS = "rq.app"  # a line that names no dataset is an application's log line

# A field longer than this is cut: Elasticsearch takes documents of many megabytes, people who read them don't.
TEXT_LIMIT = 32_768  # characters


def begin(moment: str | datetime, identifier: str, dataset: str, event: Mapping[str, Any]) -> Record:
    """How every record begins, in this order: see above. `event` is what else there is to say of the event.

    A `moment` that is a datetime must have microseconds: the encoder would leave out a zero.
    """
    return {"@timestamp": moment, "event": {"id": identifier, "dataset": dataset, **event}}


def timestamp(moment: datetime) -> str:
    """The moment as ECS writes it: UTC, microseconds, always 27 characters."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    if moment.microsecond:
        return moment.isoformat()[:26] + "Z"  # six times as fast as strftime, and it leaves out a zero
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def parse_timestamp(text: str) -> datetime:
    """The moment that an ISO 8601 text states; without a zone it is in UTC. ValueError for any other text."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def milliseconds(moment: datetime) -> int:
    """Since 1970. Exactly: a float of seconds would be off by one now and then."""
    since = moment - EPOCH
    return since.days * 86_400_000 + since.seconds * 1000 + since.microseconds // 1000


def record_id(moment: datetime, *parts: str) -> str:
    """32 hex digits: 12 of the moment in ms since the epoch, 20 (80 bits) of a hash of `parts`.

    The same moment and parts give the same id in whichever process, so two witnesses of one event make one
    document. The time comes first because Elasticsearch looks up neighbouring ids fastest.
    """
    digest = hashlib.blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=10)
    return f"{milliseconds(moment):012x}{digest.hexdigest()}"


def alias(dataset: str) -> str:
    """The name under which every index of a dataset can be read: `rq-job`."""
    return dataset.replace(".", "-")


def index_name(dataset: str, moment: datetime, namespace: str) -> str:
    """The one index a record can ever land in: `rq-job-default-2026.11.21`. KeyError for an unknown dataset."""
    return f"{alias(dataset)}-{namespace}-{moment.astimezone(UTC).strftime(PERIODS[dataset])}"


def indices(dataset: str, namespace: str) -> str:
    """What names all indices of a dataset and namespace where Elasticsearch takes wildcards, and no other namespace's.

    `rq-job-shop-*` is also how those of a namespace `shop-eu` begin; only they have one more hyphen.
    """
    ours = f"{alias(dataset)}-{namespace}-*"
    return f"{ours},-{ours}-*"


def shorten(text: str, limit: int = TEXT_LIMIT) -> str:
    """The text, its middle left out if it is too long: a traceback tells most at its two ends."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit} characters left out …\n{text[-half:]}"


def encode(record: Mapping[str, Any]) -> bytes:
    """The record as one line, newline included. What JSON cannot say is written as its text, never refused.

    Times that are still datetimes are written as ISO 8601 in UTC: orjson does it faster than we could before.
    Keys whose value is None are left out by whoever builds the record, not here.
    """
    try:
        return orjson.dumps(record, default=repr, option=_OPTIONS)
    except (orjson.JSONEncodeError, RecursionError):
        return orjson.dumps(_json_safe(record), option=_OPTIONS)


_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_DEPTH_LIMIT = 12


def _json_safe(value: Any, depth: int = 0) -> Any:
    """A copy that JSON can say: lone surrogates escaped, cycles and depths cut, unknown things as their text."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, datetime):
        return timestamp(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else str(value)
    if depth >= _DEPTH_LIMIT:
        return "…"
    if isinstance(value, Mapping):
        return {_json_safe(str(key)): _json_safe(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_safe(item, depth + 1) for item in value]
    return _text_of(value)


def _text_of(value: object) -> str:
    try:
        return repr(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # somebody else's __repr__ may do anything
        return f"<{type(value).__name__} that cannot be shown>"
