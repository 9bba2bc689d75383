"""Parses a line of a text log and builds its record, as rq-legacy (Elasticsearch) and legacy.rb (Logstash) do. Pure.

Facts are the captures of patterns/rq without their prefix: `clock`, `queue`, `job_id`, `phrase`, … grammar.json maps
phrases to the fields of a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from ..records import ECS_VERSION, Record, shorten, timestamp
from ..records import begin as begin_record
from . import grok
from .dates import day_of

LEGACY, UNPARSED, UNDATED, BAD_DURATION = "legacy", "unparsed", "undated", "bad_duration"  # tags

LONGEST_S = 366 * 86_400  # longer durations are errors in the log
NS_PER_S = 1_000_000_000
NUMBER_LIMIT = 40  # characters

_SIGNAL_BITS = 0x7F  # of a waitpid(2) status
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECIMAL = re.compile(r"\d{1,18}(?:[.,]\d+)?")
_UNITS = ("seconds", "second", "secs", "sec", "s")
_TOOK = re.compile(r"(?:(\d{1,6}) days?, )?(\d{1,2}):(\d{2}):(\d{2})(?:\.(\d{1,6}))?")
_RAISED = re.compile(r"([A-Za-z_][\w.]*)(?:: (.*)|\Z)")
Facts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Whence:
    """Where a line comes from: the host it was read on, its file, and the `service` object of its records."""

    host: str
    path: str
    service: Mapping[str, str]


@cache
def meanings() -> Mapping[str, Any]:
    """The content of grammar.json: `phrases`, `signals` and `levels`."""
    content: Mapping[str, Any] = json.loads(files(__package__).joinpath("grammar.json").read_text(encoding="utf-8"))
    return content


def begin(text: str) -> Facts:
    """Parse the beginning of a line: `date`, `clock`, `fraction`, `zone`, `host`, `pid`, `decoration`, `level`, `body`.

    The captures that are absent in the line are absent here; `body` is always present.
    """
    return {"body": "", **_first(_heads(), text)}


def facts_of(text: str) -> Facts:
    """Parse a whole line."""
    return read_on(begin(text))


def read_on(head: Facts) -> Facts:
    """Parse the body of a line, and add its captures to those of `begin`."""
    return {**head, **_first(_lines(), head["body"])}


def meaning(facts: Facts) -> Mapping[str, Any] | None:
    """The `action`, `type`, `outcome`, `status`, … of a line about a job's start or end; None for any other line."""
    if "phrase" in facts:
        of_phrase: Mapping[str, Any] | None = meanings()["phrases"].get(facts["phrase"].lower())
        return of_phrase
    return meanings()["phrases"]["started"] if "job_id" in facts and "queue" in facts else None


def record(facts: Facts, moment: datetime, whence: Whence, identifier: str) -> Record:
    """The record of a single line: `rq.job` if it is about a job's start or end, else `rq.app`."""
    job_event = meaning(facts)
    tags = _tags(facts, moment, is_job=job_event is not None)
    first, _, rest = facts["body"].partition("\n")
    made = begin_record(timestamp(moment), identifier, "rq.job" if job_event else "rq.app", {"kind": "event"})
    event = made["event"]
    made |= {
        "ecs": {"version": ECS_VERSION},
        "message": shorten(first if job_event else facts["body"]),
        "service": dict(whence.service),
        "host": {"name": facts.get("host", whence.host)},
        "log": _log(facts, whence),
        "tags": tags,
    }
    if "pid" in facts:
        made["process"] = {"pid": int(facts["pid"])}
    if messaging := _messaging(facts, is_job=job_event is not None):
        made["messaging"] = messaging
    if function := function_of(facts):
        made["code"] = {"function": {"name": function}}
    rq: Record = {}
    if "retries_left" in facts:
        rq["retries_left"] = int(facts["retries_left"])
    if job_event:
        _put_event(event, rq, job_event, timestamp(moment))
        _put_duration(event, tags, facts, moment)
        if job_event["outcome"] == "failure":
            _put_failure(made, event, rq, facts, first, rest)
    elif rest and "Traceback (most recent call last)" in rest:
        made["error"] = raised(rest)
    if rq:
        made["rq"] = rq
    return made


def function_of(facts: Facts) -> str | None:
    """The dotted name of the job's function, if it is in the line."""
    if "function" in facts:
        return facts["function"]
    if "task" in facts:
        return facts["task"].strip() or None
    name, found, _ = facts.get("description", "").partition("(")
    return name if found and re.fullmatch(r"[A-Za-z_<][\w.<>]*", name) else None


def seconds(text: str) -> Decimal | None:
    """Parse a task's duration: `1`, `0.25`, `1,234.5` (thousands), `0,5` (decimal comma), with or without "s".

    None if it is not such a number, negative, or more than a year.
    """
    number = text.strip()
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


def took(facts: Facts) -> timedelta | None:
    """The duration of a job according to RQ (`Successfully completed … in 0:00:01.204512s`)."""
    match = _TOOK.fullmatch(facts.get("took", ""))
    if not match:
        return None
    days, hours, minutes, whole, fraction = match.groups()
    return timedelta(
        days=int(days or 0),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(whole),
        microseconds=int((fraction or "").ljust(6, "0")),
    )


def raised(stack: str) -> Record:
    """The `error` object of a traceback. Without type and message if the traceback is incomplete."""
    error: Record = {"stack_trace": shorten(stack)}
    for line in reversed(stack.split("\n")):
        if line.startswith((" ", "Traceback ")):
            break
        if match := _RAISED.fullmatch(line):
            error["type"] = match[1]
            if match[2]:
                error["message"] = shorten(match[2])
            break
    return error


def _tags(facts: Facts, moment: datetime, *, is_job: bool) -> list[str]:
    tags = [LEGACY]
    if not is_job and "notice" not in facts and "phrase" not in facts:
        tags.append(UNPARSED)
    if "clock" not in facts or not _is_valid_date(facts.get("date"), moment):
        tags.append(UNDATED)
    return tags


def _is_valid_date(text: str | None, moment: datetime) -> bool:
    """Whether a date is valid, unlike the 30th of February. True for None."""
    try:
        return text is None or bool(day_of(text, moment))
    except ValueError:
        return False


def _put_event(event: Record, rq: Record, job_event: Mapping[str, Any], when: str) -> None:
    event |= {
        "category": ["process"],
        "type": [job_event["type"]],
        "action": job_event["action"],
        "outcome": job_event["outcome"],
    }
    if "reason" in job_event:
        event["reason"] = job_event["reason"]
    if job_event["type"] == "end":
        event["end"] = when
    rq["status"] = job_event["status"]
    for name in ("final", "inferred", "cause"):
        if name in job_event:
            rq[name] = job_event[name]


def _put_duration(event: Record, tags: list[str], facts: Facts, moment: datetime) -> None:
    """Set the duration that a task logger has written."""
    if "seconds" not in facts:
        return
    duration = seconds(facts["seconds"])
    if duration is None:
        tags.append(BAD_DURATION)
        return
    nanoseconds = int(duration * NS_PER_S)
    event["duration"] = nanoseconds
    event["start"] = timestamp(moment - timedelta(microseconds=nanoseconds // 1000))


def _put_failure(made: Record, event: Record, rq: Record, facts: Facts, first: str, rest: str) -> None:
    if "waitpid" in facts:
        status = int(facts["waitpid"]) if facts["waitpid"].isdigit() else 0
        if number := status & _SIGNAL_BITS:
            rq["signal"] = meanings()["signals"].get(str(number), f"SIG{number}")
        else:
            event["reason"] = "exited"
            made.setdefault("process", {})["exit_code"] = status >> 8
        made["error"] = {"message": first}
        return
    if "Traceback (most recent call last)" not in rest:
        made["error"] = {"message": first} | ({"stack_trace": shorten(rest)} if rest else {})
        return
    made["error"] = raised(rest)
    if made["error"].get("type", "").endswith("JobTimeoutException"):
        event["reason"] = "timeout"


def _log(facts: Facts, whence: Whence) -> Record:
    log: Record = {"file": {"path": whence.path}}
    levels = meanings()["levels"]
    words = re.split(r"[^\w.]+", facts.get("decoration", "")) if "decoration" in facts else []
    level = facts.get("level") or next((word for word in words if word in levels), None)
    if level:
        log["level"] = levels[level]
    if logger := next((word for word in words if word not in levels and re.match(r"[A-Za-z]\w*[._]", word)), None):
        log["logger"] = logger
    return log


def _messaging(facts: Facts, *, is_job: bool) -> Record:
    messaging: Record = {}
    if "queue" in facts:
        messaging["destination"] = {"name": facts["queue"]}
    if "job_id" in facts:
        messaging["message"] = {"id": facts["job_id"]}
    if "worker" in facts:
        messaging["client"] = {"id": facts["worker"].removeprefix("rq:worker:")}
    return {"system": "rq", **messaging} if messaging or is_job else messaging


def _first(patterns: list[re.Pattern[str]], text: str) -> dict[str, str]:
    for pattern in patterns:
        if match := pattern.match(text):
            return {name[3:]: value for name, value in match.groupdict().items() if value}
    return {}


@cache
def _heads() -> list[re.Pattern[str]]:
    return [grok.compiled(name) for name in grok.heads()]


@cache
def _lines() -> list[re.Pattern[str]]:
    return [grok.compiled(name) for name in grok.lines()]
