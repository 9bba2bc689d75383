"""Builds the record of a line, as rq-legacy (Elasticsearch) and logstash/ do. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from ..records import ECS_VERSION, Record, shorten, timestamp
from . import grok, heads, messages
from .grok import Captures
from .tables import tables

LEGACY, UNPARSED, UNDATED, BAD_DURATION = "legacy", "unparsed", "undated", "bad_duration"  # tags

LONGEST_S = 366 * 86_400  # longer durations are errors in the log
NS_PER_S = 1_000_000_000
NUMBER_LIMIT = 40  # characters

_SIGNAL_BITS = 0x7F  # of a waitpid(2) status
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_DECIMAL = re.compile(r"[0-9]{1,18}(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")
_UNITS = ("seconds", "second", "secs", "sec", "s")
_SPAN = re.compile(r"(?:(\d{1,6}) days?, )?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?")
_ECS = {"version": ECS_VERSION}
_TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True, slots=True)
class LogSource:
    """Where lines come from: the host that they were read on, their file, the `service` object of their records."""

    host: str
    path: str
    service: Mapping[str, str]


@dataclass(slots=True)
class ParsedLine:
    """A line with the lines that belong to it. `text` is without its head, whose captures are in `captures`, too."""

    text: str
    captures: Captures
    moment: datetime
    is_dated: bool = True
    host: str | None = None
    pid: int | None = None
    job_event: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        self.job_event = messages.meaning(self.captures)


written = lru_cache(maxsize=16)(timestamp)  # lines of the same second follow each other


def build(line: ParsedLine, source: LogSource, identifier: str) -> Record:  # noqa: C901, PLR0912 - field by field
    """The record of a line: `rq.job` if it is about a job's start or end, else `rq.app`."""
    captures, job_event = line.captures, line.job_event
    when = written(line.moment)
    tags = [LEGACY]
    if job_event is None and "notice" not in captures and "phrase" not in captures:
        tags.append(UNPARSED)
    if not line.is_dated:
        tags.append(UNDATED)
    first, _, rest = line.text.partition("\n") if "\n" in line.text else (line.text, "", "")
    failed = job_event is not None and job_event["event"]["outcome"] == "failure"
    log: Record = {"file": {"path": source.path}}
    if "level" in captures and (level := heads.log_level(captures["level"])):
        log["level"] = level
    if "logger" in captures:
        log["logger"] = captures["logger"]
    made: Record = {
        "@timestamp": when,
        "event": {"id": identifier, "dataset": "rq.job" if job_event else "rq.app", "kind": "event"},
        "ecs": _ECS,
        "message": shorten(first if failed else line.text),
        "service": source.service,
        "host": {"name": line.host or source.host},
        "log": log,
        "tags": tags,
    }
    if line.pid is not None:
        made["process"] = {"pid": line.pid}
    if messaging := _messaging(captures, is_job=job_event is not None):
        made["messaging"] = messaging
    if function := messages.function_of(captures):
        made["code"] = {"function": {"name": function}}
    rq: Record = {}
    if "retries_left" in captures:
        rq["retries_left"] = int(captures["retries_left"])
    if job_event:
        made["event"] |= job_event["event"]
        rq |= job_event["rq"]
        if job_event["event"]["type"] == ["end"]:
            made["event"]["end"] = when
        if "seconds" in captures:
            _put_duration(made["event"], tags, captures["seconds"], line.moment)
        if failed:
            _put_failure(made, rq, captures, first, rest)
    elif _TRACEBACK in line.text:
        made["error"] = raised(line.text if line.text.startswith("Traceback") else rest)
    if rq:
        made["rq"] = rq
    return made


def seconds(text: str) -> Decimal | None:
    """Parse a task's duration: `1`, `0.25`, `1,234.5` (thousands), `0,5` (decimal comma), `1.5e3`, `0:00:06.25`.

    `s`, `sec` and `seconds` may follow. None if it is not such a number, negative, or more than a year.
    """
    number = text.strip()
    if span := parse_span(number):
        return Decimal(span // timedelta(microseconds=1)) / 1_000_000
    unit = next((unit for unit in _UNITS if number.endswith(unit)), "")
    number = number.removesuffix(unit).rstrip()
    if len(number) > NUMBER_LIMIT:
        return None
    if _THOUSANDS.fullmatch(number):
        number = number.replace(",", "")
    elif not _DECIMAL.fullmatch(number):
        return None
    duration = Decimal(number.replace(",", "."))
    return duration if duration <= LONGEST_S else None


def parse_span(text: str) -> timedelta | None:
    """The duration of a `str(timedelta)`, as RQ writes it: `0:00:01.204512`, `1 day, 0:00:01`."""
    match = _SPAN.fullmatch(text)
    if not match:
        return None
    days, hours, minutes, whole, fraction = match.groups()
    return timedelta(
        int(days or 0), 3600 * int(hours) + 60 * int(minutes) + int(whole), int((fraction or "").ljust(6, "0"))
    )


def raised(stack: str) -> Record:
    """The `error` object of a traceback. Without type and message if the traceback is incomplete."""
    error: Record = {"stack_trace": shorten(stack)}
    for pattern in _errors():
        if found := pattern.match(stack):
            error["type"] = found["error_type"]
            if message := found.get("error_message", "").strip():
                error["message"] = shorten(message)
            break
    return error


def _put_duration(event: Record, tags: list[str], text: str, moment: datetime) -> None:
    """Set the duration that a task logger has written."""
    duration = seconds(text)
    if duration is None:
        tags.append(BAD_DURATION)
        return
    nanoseconds = int(duration * NS_PER_S)
    event["duration"] = nanoseconds
    event["start"] = timestamp(moment - timedelta(microseconds=nanoseconds // 1000))


def _put_failure(made: Record, rq: Record, captures: Captures, first: str, rest: str) -> None:
    event = made["event"]
    if "waitpid" in captures:
        status = int(captures["waitpid"]) if captures["waitpid"].isdigit() else 0
        if number := status & _SIGNAL_BITS:
            rq["signal"] = tables()["signals"].get(str(number), f"SIG{number}")
        else:
            event["reason"] = "exited"
            made.setdefault("process", {})["exit_code"] = status >> 8
    stack = f"{first}\n{rest}" if first.lstrip(" +").startswith(("Traceback", "Exception Group")) else rest
    if _TRACEBACK not in stack:
        made["error"] = {"message": first} | ({"stack_trace": shorten(rest)} if rest else {})
        return
    made["error"] = raised(stack)
    if made["error"].get("type", "").endswith("JobTimeoutException"):
        event["reason"] = "timeout"


def _messaging(captures: Captures, *, is_job: bool) -> Record:
    messaging: Record = {"system": "rq"}
    if "queue" in captures:
        messaging["destination"] = {"name": captures["queue"]}
    if "job_id" in captures:
        messaging["message"] = {"id": captures["job_id"]}
    if "worker" in captures:
        messaging["client"] = {"id": captures["worker"].removeprefix("rq:worker:")}
    return messaging if is_job or len(messaging) > 1 else {}


@cache
def _errors() -> list[grok.Expression]:
    return list(grok.compiled("RQ_ERROR_").values())
