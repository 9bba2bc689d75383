"""One line → one document: where it goes, what its id is, and which bytes are sent. Pure.

This is the decision, written to be read. framing.c makes the same one for whole blocks, twenty times as fast, and
leaves to this whatever it does not know; tests/unit/test_framing.py holds the two equal.

A line that Elasticsearch takes as it stands is sent as it stands: every record of ours is. Any other JSON object gets
what it lacks, and only that:

- `@timestamp`, from the first of TIMES that holds a time
- `event.dataset`: rq.app, unless the line is from a file that may speak for others (`Place.trusted`)
- `message` and `log.level`, from what other loggers call so
- what fits no field is moved aside (fitting.py)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import orjson

from ...index.mapping import mapped
from ...records import DATASET_OF_OTHERS, DATASETS, EPOCH, index_name, record_id, timestamp
from ...settings import Settings
from ...state import ID_LIMIT, State, state_from_mapping
from . import fitting, times
from .fitting import Members
from .repair import clean, loads, repaired

NESTING_LIMIT = 900
"""Objects and arrays within each other. Elasticsearch reads 1000 of them, and orjson as many as that."""

TIMES = ("@timestamp", "timestamp", "time", "ts", "asctime")
MESSAGES = ("msg", "event", "text")
LEVELS = ("level", "severity", "levelname")
# The numbers of pino and bunyan.
LEVEL_NAMES = {10: "trace", 20: "debug", 30: "info", 40: "warn", 50: "error", 60: "fatal"}
FOREIGN_TAG = "foreign"


@dataclass(slots=True)  # frozen, it would take three times as long to make one
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
    """Where a line stands: makes an id for a line that has none. `file_id` tells files of a host apart.

    `trusted`: the file may hold records of jobs, of the audit trail and of the shipper. What another program's file
    calls so is an application's line (rq.app), and tagged `foreign`. `at` is when the line was written, where something
    else than the line tells that (envelopes.py).
    """

    host: str
    file_id: str
    offset: int
    trusted: bool = True
    at: datetime | None = None


def document(line: bytes, place: Place, settings: Settings, now: datetime) -> tuple[Document, State | None]:
    """The document that a line becomes, and the job's state if it changes one. Raises NotShippable."""
    line, content = _loads(line)
    event = content.get("event")
    claimed = event.get("dataset") if isinstance(event, dict) else None
    dataset = claimed if isinstance(claimed, str) and claimed in DATASETS and place.trusted else DATASET_OF_OTHERS
    stated = _stated_time(line, content, settings, now) or place.at
    moment = stated or now
    identifier = event.get("id") if isinstance(event, dict) else None
    if not isinstance(identifier, str) or not 0 < len(identifier.encode("utf-8", "replace")) <= ID_LIMIT:
        identifier = line_id(line.decode(), place, stated)
    action = b'{"create":{"_index":"%b","_id":%b}}' % (
        index_name(dataset, moment, settings.namespace, settings.index_period).encode(),
        orjson.dumps(identifier),
    )
    state = state_from_mapping(content, settings.namespace) if settings.states and dataset == "rq.job" else None
    return Document(action, _source(line, content, dataset, moment), moment), state


def text_line(text: bytes) -> bytes:
    """A line of text that a program wrote into its container's output, as the object that it becomes."""
    return b'{"message":%b}' % orjson.dumps(text.decode("utf-8", "replace"))


def rescue(document: Document) -> Document | None:
    """A form of an application's document that Elasticsearch cannot refuse, after it refused the document.

    Of several members of one name the last one stays. Where that was not it, all of it goes into `app.line` as text,
    but for its time, its event and its message. None of a document that cannot be helped.
    """
    if _APPLICATION not in document.action:
        return None
    try:
        once = fitting.once(document.source)
        if once == document.source:
            parts = fitting.members(document.source)
            if parts.get(fitting.ASIDE, b"").startswith(b'{"line":'):
                return None
            kept = {name: raw for name, raw in parts.items() if name in ("@timestamp", "event")}
            if parts.get("message", b"n").startswith(b'"'):
                kept["message"] = parts["message"]
            text = orjson.dumps(document.source.decode()[:_RESCUED_LIMIT])
            once = fitting.joined({**kept, fitting.ASIDE: b'{"line":%b}' % text})
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return replace(document, source=once)


_APPLICATION = b'"_index":"rq-app-'
_RESCUED_LIMIT = 1_000_000  # characters


def line_id(line: str, place: Place, moment: datetime | None) -> str:
    """The id of a line that has none: the same whenever it is read from there. `moment` is the time that it states."""
    return record_id(moment or EPOCH, place.host, place.file_id, str(place.offset), line)


def _loads(line: bytes) -> tuple[bytes, dict[str, Any]]:
    """The line as JSON, put right where it must be, and what it holds. Raises NotShippable."""
    line = clean(line)
    try:
        content = loads(line)
    except ValueError as wrong:
        line = repaired(line)
        try:
            content = loads(line)
        except ValueError:
            raise NotShippable(f"not JSON: {wrong}") from None
    if not isinstance(content, dict):
        raise NotShippable("JSON, but not an object")
    if _may_be_too_deep(line) and _depth(content) > NESTING_LIMIT:
        raise NotShippable(f"nested more than {NESTING_LIMIT} deep")
    return line, content


def _may_be_too_deep(line: bytes) -> bool:
    """Whether a line has so many brackets that NESTING_LIMIT of them could stand within each other."""
    return line.count(b"{") + line.count(b"[") > NESTING_LIMIT


def _depth(content: object) -> int:
    """How many objects and arrays stand within each other."""
    depth, inside = 0, [content]
    while inside := [one for one in inside if isinstance(one, dict | list)]:
        depth += 1
        inside = [part for one in inside for part in (one.values() if isinstance(one, dict) else one)]
    return depth


def _stated_time(line: bytes, content: Mapping[str, Any], settings: Settings, now: datetime) -> datetime | None:
    """The time that a line states, in UTC. None if it states none.

    Raises NotShippable for an `@timestamp` that is no time. The other names are those of times as a rule, and of other
    things as well: there only a plausible time is one.
    """
    if (value := content.get("@timestamp")) is not None:
        moment = _parsed(line, "@timestamp", value)
        if moment is None:
            raise NotShippable(f"@timestamp is not an ISO 8601 time: {value!r:.40}")
        check_time(moment, settings, now)
        return moment
    for name in TIMES[1:]:
        if (moment := _parsed(line, name, content.get(name))) is not None and _is_plausible(moment, settings, now):
            return moment
    loguru = _within(content, "record", "time", "repr")
    moment = _parsed(line, "", loguru) if isinstance(loguru, str) else None
    return moment if moment is not None and _is_plausible(moment, settings, now) else None


def check_time(moment: datetime, settings: Settings, now: datetime) -> None:
    """Raise NotShippable if a record with this time is too old, or too far in the future."""
    if not _is_plausible(moment, settings, now):
        raise NotShippable(
            f"its time {moment.isoformat()} is more than {settings.past_days} days back or {settings.future_days} ahead"
        )


def _is_plausible(moment: datetime, settings: Settings, now: datetime) -> bool:
    return -timedelta(days=settings.past_days) <= moment - now <= timedelta(days=settings.future_days)


def _parsed(line: bytes, name: str, value: object) -> datetime | None:
    """A member's value as a time, if it is one. Of a number as it is written: a float has lost digits."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = fitting.members(line)[name].decode()
    try:
        return times.parse(value) if isinstance(value, str) else None
    except (ValueError, OverflowError):
        return None


def _within(content: Mapping[str, Any], *path: str) -> Any:
    found: Any = content
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _source(line: bytes, content: dict[str, Any], dataset: str, moment: datetime) -> bytes:
    """The document's body: the line itself, or the least that has to be otherwise."""
    stamped, event = content.get("@timestamp"), content.get("event")
    keeps_time = isinstance(stamped, str) and times.KEPT.fullmatch(stamped) is not None
    keeps_event = isinstance(event, dict) and event.get("dataset") == dataset
    if keeps_time and keeps_event and dataset != DATASET_OF_OTHERS:
        return line
    kept: Members = fitting.members(line)
    aside: Members = {}
    if dataset == DATASET_OF_OTHERS:
        parts = kept
        kept, aside = fitting.fit(parts, mapped(dataset))
        lacking = _lacking(content, parts, kept)
        if keeps_time and keeps_event and not aside and not lacking:
            return line
        kept |= lacking
    if not keeps_time:
        kept = {"@timestamp": orjson.dumps(timestamp(moment)), **{n: v for n, v in kept.items() if n != "@timestamp"}}
    if not keeps_event:
        kept = _with_dataset(kept, dataset, aside)
    return fitting.joined(fitting.with_aside(kept, aside))


def _lacking(content: dict[str, Any], parts: Members, kept: Members) -> Members:
    """`message` and `log.level` of a line that has neither, from what other loggers call so."""
    found: Members = {}
    if kept.get("message", b"null") == b"null":
        name = next((name for name in MESSAGES if isinstance(content.get(name), str)), None)
        if name is not None:
            found["message"] = parts[name]
    if "log" not in kept and "log.level" not in kept and (level := _level(content)) is not None:
        found["log"] = b'{"level":%b}' % orjson.dumps(level)
    return found


def _level(content: Mapping[str, Any]) -> str | None:
    for value in (*map(content.get, LEVELS), _within(content, "record", "level", "name")):  # the last one is loguru's
        if isinstance(value, str):
            return value
        if type(value) is int and value in LEVEL_NAMES:
            return LEVEL_NAMES[value]
    return None


def _with_dataset(kept: Members, dataset: str, aside: Members) -> Members:
    """The members with `event.dataset`. What it said moves aside, and what only our own files may say is tagged."""
    event = fitting.members(kept["event"]) if kept.get("event", b"n").startswith(b"{") else {}
    claimed = event.get("dataset", b"null")
    if claimed != b"null":
        aside["event.dataset"] = claimed
    kept = {**kept, "event": fitting.joined({**event, "dataset": orjson.dumps(dataset)})}
    if claimed.startswith(b'"') and loads(claimed) in DATASETS:
        tags = loads(kept.get("tags", b"null"))
        tags = tags if isinstance(tags, list) else [] if tags is None else [tags]
        kept["tags"] = orjson.dumps([*tags, FOREIGN_TAG])
    return kept
