"""Combines the lines of a job's start and end in a text log: the end's record gets the start time and the function.

A worker runs one job at a time, so a line without a job id is about the only open job of its file. Logstash does the
same (legacy.rb and its aggregate filter); the ingest pipeline cannot, as it sees single lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ..records import Record, timestamp
from .dates import day_of, moment
from .grammar import BAD_DURATION, NS_PER_S, Facts, begin, took

FORGET_AFTER = timedelta(days=1)  # for jobs without an end: the worker was killed, or the log is incomplete
MAX_OPEN = 100_000  # open jobs, above which old ones are forgotten


@dataclass(slots=True)
class _Open:
    """A job whose start was read, and not its end."""

    at: datetime
    path: str
    messaging: dict[str, Any]
    code: dict[str, Any] | None
    took: timedelta | None = None
    retry: Facts | None = None


class Pairs:
    """The open jobs of all files. Lines have to be passed in the order in which they were written."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._by_path: dict[str, dict[str, None]] = {}

    def join(self, record: Record, facts: Facts, when: datetime, path: str) -> None:
        """Remember a start; complete the record of an end from its start. Changes the record."""
        action = record["event"].get("action")
        job_id = facts.get("job_id") or (self._only(path) if _is_about_a_job(facts) else None)
        if job_id is None:
            return
        record.setdefault("messaging", {"system": "rq"}).setdefault("message", {"id": job_id})
        if action == "job-started":
            self._begin(job_id, _Open(when, path, record["messaging"], record.get("code")))
            return
        opened = self._open.get(job_id)
        if opened is None:
            return
        if action is None:
            opened.took = took(facts) or opened.took
            opened.retry = facts if "retries_left" in facts else opened.retry
        elif record["event"]["type"] == ["end"]:
            self._end(job_id, opened)
            _complete(record, opened, when)

    def _only(self, path: str) -> str | None:
        jobs = self._by_path.get(path, {})
        return next(iter(jobs)) if len(jobs) == 1 else None

    def _begin(self, job_id: str, opened: _Open) -> None:
        if earlier := self._open.get(job_id):
            self._end(job_id, earlier)
        self._open[job_id] = opened
        self._by_path.setdefault(opened.path, {})[job_id] = None
        if len(self._open) > MAX_OPEN:
            for old_id, old in list(self._open.items()):
                if opened.at - old.at > FORGET_AFTER:
                    self._end(old_id, old)

    def _end(self, job_id: str, opened: _Open) -> None:
        del self._open[job_id]
        del self._by_path[opened.path][job_id]


def _is_about_a_job(facts: Facts) -> bool:
    """Whether a line without a job id is about the worker's job: an ending, or its duration."""
    return facts.get("phrase", "AbandonedJobError") != "AbandonedJobError" and "task" not in facts


def _complete(record: Record, opened: _Open, when: datetime) -> None:
    event, rq = record["event"], record["rq"]
    for name, value in opened.messaging.items():
        record["messaging"].setdefault(name, value)
    if opened.code:
        record.setdefault("code", opened.code)
    if when >= opened.at:
        duration = opened.took if opened.took is not None else when - opened.at
        event["start"] = timestamp(opened.at)
        event["duration"] = (duration.days * 86_400 + duration.seconds) * NS_PER_S + duration.microseconds * 1000
    else:
        record["tags"].append(BAD_DURATION)  # the clock was set back
    if opened.retry and event["outcome"] == "failure":
        event["action"], event["type"] = "job-retried", ["change"]
        rq["retry_verdict"], rq["retries_left"] = "will_retry", int(opened.retry["retries_left"])
        del rq["final"]
        if at := retry_at(opened.retry, when):
            rq["retry_at"] = timestamp(at)


def retry_at(facts: Facts, now: datetime) -> datetime | None:
    """The time of RQ's next attempt, which it writes in UTC. None if the line has none."""
    parsed = begin(facts["retry_at"]) if "retry_at" in facts else {}
    if "date" not in parsed:
        return None
    try:
        return moment(day_of(parsed["date"], now), parsed["clock"], parsed.get("fraction"), parsed.get("zone"), UTC)
    except ValueError:
        return None
