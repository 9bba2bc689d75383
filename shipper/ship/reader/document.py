"""One line → one document: where it goes, what its id is, and which bytes are sent. Pure.

A record of ours is sent as it stands: its time, id and dataset are cut out of fixed places. Any other JSON
object is taken too: what it lacks is given to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ...records import (
    BYTE_ORDER_MARK,
    DATASET_MARK,
    DATASET_MARK_AT,
    DATASET_OF_OTHERS,
    DATASET_START,
    ID_AT,
    ID_MARK,
    ID_MARK_AT,
    LINE_START,
    PERIODS,
    index_name,
    parse_timestamp,
    record_id,
    timestamp,
)
from ...settings import Settings
from ...state import ID_LIMIT, State, document_id, state_from_mapping
from ...state import index_name as state_index_name

NESTING_LIMIT = 900
"""Objects and arrays within each other. Elasticsearch reads 1000 of them, and orjson as many as that."""


@dataclass(frozen=True, slots=True)
class Document:
    """What is sent: `action` is the `_bulk` action line, `source` the body; both without newline.

    `is_record`: a line of a file, as against the state that is derived from one. `moment` is the record's time.
    """

    action: bytes
    source: bytes
    moment: datetime | None = None
    is_record: bool = True


class NotShippable(ValueError):
    """This line can be no document; the text says why. It goes to the dead letters."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a line stands: makes an id for a line that has none. `file_id` tells files of a host apart."""

    host: str
    file_id: str
    offset: int


def document(line: bytes, place: Place, settings: Settings, now: datetime) -> tuple[Document, State | None]:
    """The document that a line becomes, and the job's state if it tells one. Raises NotShippable."""
    line = line.removeprefix(BYTE_ORDER_MARK)
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError as wrong:
        raise NotShippable(f"not JSON: {wrong}") from None
    if not isinstance(content, dict):
        raise NotShippable("JSON, but not an object")
    if may_be_too_deep(line) and _depth(content) > NESTING_LIMIT:
        raise NotShippable(f"nested more than {NESTING_LIMIT} deep")
    moment = _plausible(_moment(content.get("@timestamp"), now), settings, now)
    identifier, dataset, source = _cut(line) or _complete(line, content, place, moment)
    index = index_name(dataset, moment, settings.namespace)
    action = b'{"create":{"_index":"%b","_id":%b}}' % (index.encode(), orjson.dumps(identifier))
    told = state_from_mapping(content) if settings.states and dataset == "rq.job" else None
    return Document(action, source, moment), told


def state_document(state: State, settings: Settings) -> Document:
    """The document of a job's state: the highest version stays, whatever comes in which order."""
    index, job = state_index_name(settings.namespace).encode(), orjson.dumps(document_id(state.job_id))
    target = b'{"index":{"_index":"%b","_id":%b,"version":%d,"version_type":"external"}}' % (index, job, state.version)
    return Document(target, state.source, is_record=False)


def may_be_too_deep(line: bytes) -> bool:
    """Whether a line has so many brackets that NESTING_LIMIT of them could stand within each other."""
    return line.count(b"{") + line.count(b"[") > NESTING_LIMIT


def _depth(content: object) -> int:
    """How many objects and arrays stand within each other."""
    depth, inside = 0, [content]
    while inside := [one for one in inside if isinstance(one, dict | list)]:
        depth += 1
        inside = [part for one in inside for part in (one.values() if isinstance(one, dict) else one)]
    return depth


def _cut(line: bytes) -> tuple[str, str, bytes] | None:
    """(id, dataset, line) of one of our own records; None if the line is not one."""
    if not (line.startswith(LINE_START) and line[ID_MARK_AT] == ID_MARK and line[DATASET_MARK_AT] == DATASET_MARK):
        return None
    if not line[ID_AT].isalnum():  # it ends early, and something else stands before the dataset
        return None
    dataset = line[DATASET_START : line.find(b'"', DATASET_START)].decode()
    if dataset not in PERIODS:
        return None
    return line[ID_AT].decode(), dataset, line.rstrip()


def _complete(line: bytes, content: dict[str, Any], place: Place, moment: datetime) -> tuple[str, str, bytes]:
    """The same of any other JSON object, which gets what it lacks: a time, a dataset."""
    event = content.get("event", {})
    if not isinstance(event, dict):
        raise NotShippable('"event" is not an object')
    dataset = event.get("dataset")
    if not isinstance(dataset, str) or dataset not in PERIODS:
        dataset = DATASET_OF_OTHERS
    identifier = event.get("id")
    if not isinstance(identifier, str) or not 0 < len(identifier.encode("utf-8", "replace")) <= ID_LIMIT:
        identifier = line_id(line, place, moment)
    if "@timestamp" in content and event.get("dataset") == dataset:
        return identifier, dataset, line.rstrip()
    completed = {**content, "@timestamp": timestamp(moment), "event": {**event, "dataset": dataset}}
    return identifier, dataset, orjson.dumps(completed)


def line_id(line: bytes, place: Place, moment: datetime) -> str:
    """The id of a line that has none: the same whenever it is read from there."""
    return record_id(moment, place.host, place.file_id, str(place.offset), line.rstrip().hex())


def _moment(value: object, now: datetime) -> datetime:
    """The time that a record states, in UTC. A time without a zone is UTC, a record without a time is of now."""
    if value is None:
        return now
    if not isinstance(value, str):
        raise NotShippable("@timestamp is not text")
    try:
        return parse_timestamp(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise NotShippable(f"@timestamp is not an ISO 8601 time: {value[:40]!r}") from None


def _plausible(moment: datetime, settings: Settings, now: datetime) -> datetime:
    if not now - timedelta(days=settings.past_days) <= moment <= now + timedelta(days=settings.future_days):
        raise NotShippable(
            f"its time {moment.isoformat()} is more than {settings.past_days} days back or {settings.future_days} ahead"
        )
    return moment
