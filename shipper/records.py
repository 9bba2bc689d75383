"""The record format: how a record begins, its id, its index, and its encoding as one line of JSON.

Every line begins with the same bytes, and has time, id and dataset at fixed offsets. So the shipper can slice them out
without parsing the line, and can find the start of the next record within a torn one::

    {"@timestamp":"2026-11-21T03:17:32.123456Z","event":{"id":"<32 hex digits>","dataset":"rq.job",…

Field names are ECS (https://www.elastic.co/docs/reference/ecs); where ECS has none, OpenTelemetry's
`messaging.*` and `code.*`; what only RQ has is under `rq.*`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson

from .setting_values import DAILY, IndexPeriod

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

ECS_VERSION = "9.5.0"

Record = dict[str, Any]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # some systems write it before a file's first line

LINE_START = b'{"@timestamp":"'
TIME_AT = slice(15, 42)  # 2026-11-21T03:17:32.123456Z
ID_MARK_AT, ID_MARK = slice(42, 59), b'","event":{"id":"'
ID_AT = slice(59, 91)
DATASET_MARK_AT, DATASET_MARK = slice(91, 104), b'","dataset":"'
DATASET_START = 104

DAY, MONTH = "%Y.%m.%d", "%Y.%m"  # strftime formats of the suffix of an index
# What indices are called by, and the format of their suffix. The setting `index_period` can make daily ones monthly.
PERIODS = {
    "rq.job": DAY,
    "rq.app": DAY,
    "rq.metric": DAY,
    "rq.shipper": DAY,
    "rq.audit": MONTH,
    "rq.alert": MONTH,
}
# The datasets, and what their indices are called by: several kinds of gauges share the indices of `rq.metric`.
METRICS = ("rq.queue", "rq.worker", "rq.redis", "rq.cron")
DATASETS = {name: name for name in PERIODS if name != "rq.metric"} | dict.fromkeys(METRICS, "rq.metric")
DATASET_OF_OTHERS = "rq.app"  # for lines without a dataset: an application's log lines

# Longer texts are shortened. Elasticsearch accepts many megabytes, but nobody reads them.
TEXT_LIMIT = 32_768  # characters
_LEFT_OUT = 64  # at most so many say what was left out


def begin(at: str | datetime, identifier: str, dataset: str, event: Mapping[str, Any]) -> Record:
    """A new record with its first fields in the order described above. `event` has the other fields of `event`.

    If `at` is a datetime, its microseconds must not be zero, as the encoder would omit them.
    """
    return {"@timestamp": at, "event": {"id": identifier, "dataset": dataset, **event}}


def timestamp(at: datetime) -> str:
    """The time as ISO 8601 in UTC with microseconds: always 27 characters."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    if at.microsecond:
        return at.isoformat()[:26] + "Z"  # six times as fast as strftime, but omits zero microseconds
    return at.isoformat(timespec="microseconds")[:26] + "Z"


def now() -> tuple[str, int]:
    """(the timestamp, the milliseconds since 1970) of now, at half the cost of a datetime's."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{_second(seconds)}{nanoseconds // 1000:06d}Z", seconds * 1000 + nanoseconds // 1_000_000


@lru_cache(maxsize=2)
def _second(since_1970: int) -> str:
    """How the timestamps of this second begin: `2026-11-21T03:17:32.`"""
    return f"{datetime.fromtimestamp(since_1970, UTC):%Y-%m-%dT%H:%M:%S}."


def parse_timestamp(text: str) -> datetime:
    """The aware datetime of an ISO 8601 text; without a zone it is in UTC. ValueError for any other text."""
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def milliseconds(at: datetime) -> int:
    """Since 1970. Exactly: a float of seconds would be off by one now and then."""
    return (at - EPOCH) // _MILLISECOND


def record_id(at: datetime, *parts: str) -> str:
    """32 hex digits: 12 of the time in ms since the epoch, 20 (80 bits) of a hash of `parts`.

    The same time and parts give the same id in every process, so an event that two processes record becomes one
    document. The time comes first because Elasticsearch looks up neighbouring ids fastest.
    """
    return id_start(at) + id_end("\0".join(parts).encode("utf-8", "surrogatepass"))


def id_start(at: datetime) -> str:
    """The time in a record's id."""
    return f"{milliseconds(at):012x}"


def id_end(parts: bytes) -> str:
    """The hash in a record's id, of the parts with NULs between them."""
    return hashlib.blake2b(parts, digest_size=10).hexdigest()


SEALED_ACTION = "chain-sealed"
"""event.action of the seals of the audit chain."""
SEAL_EVERY_S = 300
ALREADY_THERE = "audit-already-there"
"""event.action of the shipper's records about audit records whose id was taken."""


def content_hash(record: Mapping[str, Any]) -> str:
    """The hash that tells whether two audit records are the same: that of the chain, else one of the content.

    "" for a record outside of a chain whose personal fields were erased: nobody can tell any more.
    """
    links = record.get("audit")
    links = links.get("chain") if isinstance(links, Mapping) else None
    if isinstance(links, Mapping) and isinstance(links.get("hash"), str):
        return str(links["hash"])
    tags = record.get("tags")
    if isinstance(tags, list) and "erased" in tags:
        return ""
    return hashlib.sha256(orjson.dumps(record, option=orjson.OPT_SORT_KEYS)).hexdigest()


def alias(dataset: str) -> str:
    """The alias of all indices of a dataset: `rq-job`."""
    return DATASETS.get(dataset, dataset).replace(".", "-")


def period(dataset: str) -> str:
    """The strftime format of the suffix of a dataset's indices. KeyError for an unknown dataset."""
    return PERIODS[DATASETS[dataset]]


def index_name(dataset: str, at: datetime, namespace: str, index_period: IndexPeriod = DAILY) -> str:
    """The index of a record with this time: `rq-job-default-2026.11.21`. KeyError for an unknown dataset."""
    moment = at.astimezone(UTC)
    monthly = period(dataset) == MONTH or index_period.is_monthly(moment.year, moment.month)
    return f"{alias(dataset)}-{namespace}-{moment.strftime(MONTH if monthly else DAY)}"


def indices(dataset: str, namespace: str) -> str:
    """An index expression for all indices of a dataset and namespace, and of no other namespace.

    `rq-job-shop-*` also matches the indices of a namespace `shop-eu`. Those have one more hyphen and are excluded.
    """
    ours = f"{alias(dataset)}-{namespace}-*"
    return f"{ours},-{ours}-*"


def shorten(text: str, limit: int = TEXT_LIMIT) -> str:
    """The text, without its middle if it is too long: a traceback's ends are the most useful.

    What was shortened to a limit before is not shortened to it again.
    """
    if len(text) <= limit + _LEFT_OUT:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit} characters left out …\n{text[-half:]}"


def encode(record: Mapping[str, Any]) -> bytes:
    """The record as one line of JSON with its newline. Never raises: values that JSON lacks are written as text.

    Who keeps many of them keeps copies: orjson makes each in kilobytes of room, and what it returns holds all of it.

    Datetimes are written as ISO 8601 in UTC, which orjson does fastest. Keys with None have to be left out before.
    """
    for option in (_OPTIONS, _ANY_KEYS):
        try:
            return orjson.dumps(record, default=repr, option=option)
        except (orjson.JSONEncodeError, RecursionError):
            continue
    return orjson.dumps(_json_safe(record), option=_OPTIONS)


_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z
_ANY_KEYS = _OPTIONS | orjson.OPT_NON_STR_KEYS  # takes twice as long, and hardly any record has a key that is no text
_DEPTH_LIMIT = 12


def _json_safe(value: Any, depth: int = 0) -> Any:
    """A copy that can be encoded: lone surrogates escaped, deep or cyclic structures cut, other objects as text."""
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
    return text_of(value)


def text_of(value: object, show: Callable[[object], str] = repr) -> str:
    """The text of any value, also of one whose `__str__` or `__repr__` raises. Lone surrogates are escaped."""
    try:
        return show(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # a foreign __repr__ may raise anything
        return f"<{type(value).__name__} that cannot be shown>"
