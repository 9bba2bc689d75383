"""Combines the lines of a job's start and end in a text log: the end's record gets the start time and the function.

A worker runs one job at a time. So an end without a job id is that of the job that was started last, by that worker
if the line names one. Without names, several workers may write to one file: then jobs overlap, and an end without an
id belongs to a job only if no other can have ended. The ingest pipeline sees single lines and combines none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..records import Record, timestamp
from . import dates, heads
from .grok import Captures
from .outline import Outline
from .record import BAD_DURATION, NS_PER_S, ParsedLine, parse_span, written

FORGET_AFTER = timedelta(days=1)  # for jobs without an end: the worker was killed, or the log is incomplete
MAX_OPEN = 100_000  # open jobs, above which old ones are forgotten
LATER_STARTS = 10  # of a file that several workers write to: after so many, a job has ended without being named


@dataclass(slots=True)
class _OpenJob:
    """A job whose start was read, and not its end."""

    job_id: str
    at: datetime
    messaging: dict[str, Any]
    code: dict[str, Any] | None
    description: str | None
    worker: _Worker
    number: int
    took: timedelta | None = None
    retry: Captures | None = None


@dataclass(slots=True)
class _Worker:
    """The open jobs of a worker, oldest first; of all workers of a file, where lines do not name them.

    `parallel`: how many jobs were open at once, as far as their ends have shown.
    """

    is_named: bool
    jobs: dict[str, _OpenJob] = field(default_factory=dict)
    parallel: int = 1
    starts: int = 0


class OpenJobs:
    """The open jobs of all files. Lines have to be passed in the order in which they were written."""

    def __init__(self) -> None:
        self._open: dict[str, _OpenJob] = {}
        self._workers: dict[tuple[str, ...], _Worker] = {}

    def join(self, record: Record, line: ParsedLine, place: tuple[str, str], offset: int, outline: Outline) -> None:
        """Remember a start; complete the record of an end from its start. Changes the record.

        `place` names the file and, where several containers write to it, the container.
        """
        captures, event = line.captures, record["event"]
        worker = self._worker(place, captures)
        job_id = captures.get("job_id")
        opened = self._open.get(job_id) if job_id else self._unnamed(worker, line, offset, outline)
        if opened is not None:
            job_id = opened.job_id
        if job_id is None:
            return
        if "job_id" not in captures:  # else it is there
            record.setdefault("messaging", {"system": "rq"}).setdefault("message", {"id": job_id})
        if event.get("action") == "job-started":
            self._begin(job_id, record, line, worker, offset, outline)
        elif opened is not None and line.job_event is None:
            opened.took = parse_span(captures.get("took", "")) or opened.took
            opened.retry = captures if "retries_left" in captures else opened.retry
        elif opened is not None and event["type"] == ["end"]:
            self._end(opened)
            _complete(record, opened, line.moment)

    def _worker(self, place: tuple[str, str], captures: Captures) -> _Worker:
        key = (*place, captures["worker"]) if "worker" in captures else place
        found = self._workers.get(key)
        if found is None:
            found = self._workers[key] = _Worker("worker" in captures)
            if "worker" in captures and place in self._workers and not self._workers[place].is_named:
                found.jobs = self._workers[place].jobs  # only some of the lines name it
        return found

    def _unnamed(self, worker: _Worker, line: ParsedLine, offset: int, outline: Outline) -> _OpenJob | None:
        """The job that a line without an id is about. None if it is about none, or if it cannot be told."""
        captures = line.captures
        if line.job_event is None and "took" not in captures:
            return None
        if line.job_event is not None and (
            line.job_event["event"]["type"] != ["end"] or "task" in captures or "inferred" in line.job_event["rq"]
        ):
            return None
        if "description" in captures:
            return next(
                (job for job in reversed(worker.jobs.values()) if job.description == captures["description"]), None
            )
        possible = [job for job in worker.jobs.values() if not outline.ends_by_name(job.job_id, offset)]
        if not possible or (len(possible) > 1 and not worker.is_named):
            return None
        return possible[-1]

    def _begin(
        self, job_id: str, record: Record, line: ParsedLine, worker: _Worker, offset: int, outline: Outline
    ) -> None:
        if earlier := self._open.get(job_id):
            self._end(earlier)
        going_on = (
            [one for one in worker.jobs.values() if outline.ends_by_name(one.job_id, offset)] if worker.jobs else []
        )
        if not worker.is_named:
            worker.parallel = max(worker.parallel, len(going_on) + 1)
        worker.starts += 1
        earliest = worker.starts - (0 if worker.parallel == 1 else LATER_STARTS)
        for one in list(worker.jobs.values()):
            if one.number < earliest and one not in going_on:
                del worker.jobs[one.job_id]  # its end is not in the log, or has no id
        self._open[job_id] = worker.jobs[job_id] = _OpenJob(
            job_id,
            line.moment,
            record["messaging"],
            record.get("code"),
            line.captures.get("description"),
            worker,
            worker.starts,
        )
        if len(self._open) > MAX_OPEN:
            for old in list(self._open.values()):
                if line.moment - old.at > FORGET_AFTER:
                    self._end(old)

    def _end(self, opened: _OpenJob) -> None:
        self._open.pop(opened.job_id, None)
        opened.worker.jobs.pop(opened.job_id, None)


def _complete(record: Record, opened: _OpenJob, when: datetime) -> None:
    event, rq = record["event"], record["rq"]
    for name, value in opened.messaging.items():
        record["messaging"].setdefault(name, value)
    if opened.code:
        record.setdefault("code", opened.code)
    if when >= opened.at:
        duration = opened.took if opened.took is not None else when - opened.at
        event["start"] = written(opened.at)
        event["duration"] = (duration.days * 86_400 + duration.seconds) * NS_PER_S + duration.microseconds * 1000
    else:
        record["tags"].append(BAD_DURATION)  # the clock was set back
    if opened.retry and event["outcome"] == "failure":
        event["action"], event["type"] = "job-retried", ["change"]
        rq["retry_verdict"], rq["retries_left"] = "will_retry", int(opened.retry["retries_left"])
        del rq["final"]
        if at := retry_at(opened.retry, when):
            rq["retry_at"] = timestamp(at)


def retry_at(captures: Captures, now: datetime) -> datetime | None:
    """The time of RQ's next attempt, which it writes in UTC. None if the line has none."""
    if "retry_at" not in captures:
        return None
    stamp = heads.parse(captures["retry_at"])
    if "date" not in stamp:
        return None
    try:
        zone = dates.zone_of(stamp["zone"]) if "zone" in stamp else UTC
        at = dates.moment(dates.day_of(stamp, now), dates.clock_of(stamp), zone)
        return at.replace(microsecond=dates.microseconds(stamp))
    except ValueError:
        return None
