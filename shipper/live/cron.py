"""RQ's cron jobs as they are now: schedule, last and next run, and what became of the last ones (RQ 2.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from ..fields import moment
from ..job_fields import text
from . import keys

HISTORY = 10  # last jobs whose outcome is looked up


@dataclass(frozen=True, slots=True, kw_only=True)
class CronSample:
    """A cron job. RQ keeps it only in the hash of its scheduler, which expires two minutes after the scheduler ended.

    `cron` or `interval_s`: its schedule. A cron string is in the scheduler's local time (RQ 3).
    `last`: when a job was last enqueued; `next`: when the next one is due. None if RQ does not say.
    `scheduler`, `host`: who enqueues it. `beat_at`: when the scheduler last said that it lives.
    `outcomes`: RQ's status → number of the last HISTORY jobs that still exist (RQ 2.12).
    """

    name: str
    function: str
    queue: str
    cron: str | None = None
    interval_s: int | None = None
    last: datetime | None = None
    next: datetime | None = None
    scheduler: str
    host: str | None = None
    beat_at: datetime | None = None
    outcomes: tuple[tuple[str, int], ...] = ()

    @property
    def schedule(self) -> str:
        """`*/5 * * * *`, or `every 300 s`."""
        return self.cron or f"every {self.interval_s} s"

    @property
    def key(self) -> str:
        """Identifies the cron job among others, as several may have one name."""
        return "\0".join((self.name, self.queue, self.schedule))

    def following(self, after: datetime) -> datetime | None:
        """When the run after this one is due; None if the schedule cannot be read.

        A cron string is taken in this process's local time, as RQ takes it in its scheduler's.
        """
        if self.interval_s:
            return after + timedelta(seconds=self.interval_s)
        if not self.cron:
            return None
        from croniter import croniter

        try:
            local = croniter(self.cron, after.astimezone().replace(tzinfo=None)).get_next(datetime)
        except ValueError:  # croniter's errors are some, too
            return None
        found = local.astimezone(UTC)
        return found if found > after else None


def schedulers(connection: Any) -> list[str]:
    """The names of the cron schedulers that have not said that they ended. Raises redis.RedisError."""
    return [text(raw) for raw in connection.zrange(keys.CRON_SCHEDULERS, 0, -1)]


def read(connection: Any) -> list[CronSample]:
    """All cron jobs of all schedulers, in four round trips. Raises redis.RedisError."""
    beats = {text(raw): score for raw, score in connection.zrange(keys.CRON_SCHEDULERS, 0, -1, withscores=True)}
    names = list(beats)
    stored = keys.ask(connection, (("hmget", keys.cron_scheduler(name), "cron_jobs", "hostname") for name in names))
    samples = [
        one for name, (jobs, host) in zip(names, stored, strict=True) for one in _samples(name, jobs, host, beats[name])
    ]
    histories = keys.ask(connection, (("zrange", keys.cron_history(one.name), -HISTORY, -1) for one in samples))
    return _with_outcomes(connection, samples, histories)


def _samples(scheduler: str, jobs: bytes | str | None, host: bytes | str | None, beat: float) -> list[CronSample]:
    try:
        found = orjson.loads(jobs or b"[]")
    except orjson.JSONDecodeError:
        return []
    return [
        CronSample(
            name=str(job.get("name") or job["func_name"]),
            function=str(job["func_name"]),
            queue=str(job.get("queue_name", "")),
            cron=job.get("cron"),
            interval_s=job.get("interval"),
            last=_time(job.get("latest_enqueue_time")),
            next=_time(job.get("next_enqueue_time")),
            scheduler=scheduler,
            host=text(host) if host else None,
            beat_at=datetime.fromtimestamp(beat, UTC),
        )
        for job in found
        if isinstance(job, dict) and job.get("func_name")
    ]


_NEVER = 9999  # the year of datetime.max, which RQ has for a run that will not come


def _time(stored: object) -> datetime | None:
    found = moment(stored) if isinstance(stored, str) else None
    return found if found is None or found.year < _NEVER else None


def _with_outcomes(connection: Any, samples: Sequence[CronSample], histories: Sequence[Any]) -> list[CronSample]:
    statuses = iter(
        keys.ask(connection, (("hget", keys.job(text(raw)), "status") for history in histories for raw in history))
    )
    result = []
    for one, history in zip(samples, histories, strict=True):
        counts: dict[str, int] = {}
        for _ in history:
            status = next(statuses)
            if status:
                counts[text(status)] = counts.get(text(status), 0) + 1
        result.append(replace(one, outcomes=tuple(sorted(counts.items()))))
    return result
