"""The options of the rules, from the setting `alarms`: checked when the watch starts, with the nearest right name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from ..errors import SettingsError
from ..setting_values import duration
from ..settings import Settings, nearest

DEFAULT_OBJECTIVE_S = 900.0
"""Within which jobs are to start in a queue without an objective. Most who wait longer had expected it sooner."""


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("true", "yes", "1", "false", "no", "0"):
        return str(value).lower() in ("true", "yes", "1")
    raise ValueError("must be true or false")


def _percent(value: Any) -> float:
    number = float(str(value).strip().removesuffix("%"))
    if not 0 < number <= 100:
        raise ValueError("must be a percentage above 0, and at most 100")
    return number


def _count(value: Any) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("must be a number, 0 or more")
    return number


def _factor(value: Any) -> float:
    number = float(value)
    if number < 1:
        raise ValueError("must be a number, 1 or more")
    return number


def _names(value: Any) -> tuple[str, ...]:
    parts = value.split() if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be a list of names")
    return tuple(str(part) for part in parts)


def _severity(value: Any) -> str:
    if value not in ("warning", "critical"):
        raise ValueError("must be warning or critical")
    return str(value)


def option(default: Any, read: Callable[[Any], Any]) -> Any:
    """A field of Options: its default, and the function that reads a given value. ValueError says what it must be."""
    return field(default=default, metadata={"read": read})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What each rule has. `ignore`: patterns of subjects that it leaves alone."""

    enabled: bool = option(True, _flag)
    severity: str = option("warning", _severity)
    ignore: tuple[str, ...] = option((), _names)

    def ignores(self, subject: str) -> bool:
        return any(fnmatchcase(subject, pattern) for pattern in self.ignore)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisMemory(Options):
    percent: float = option(80.0, _percent)
    critical_percent: float = option(90.0, _percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldestJob(Options):
    max_age: float | None = option(None, duration)
    """Default: the objective of the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Options):
    percent: float = option(95.0, _percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth(Options):
    max: int = option(10_000, _count)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoWorker(Options):
    severity: str = option("critical", _severity)
    min_workers: int = option(1, _count)
    always: bool = option(False, _flag)
    """Also for a queue in which nothing waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOverrun(Options):
    factor: float = option(3.0, _factor)
    min_runtime: float = option(60.0, duration)
    min_executions: int = option(20, _count)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionFailures(Options):
    percent: float = option(25.0, _percent)
    min_executions: int = option(20, _count)
    window: float = option(900.0, duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadJobs(Options):
    max: int = option(10, _count)
    window: float = option(900.0, duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class CronMissed(Options):
    grace: float = option(120.0, duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkew(Options):
    max: float = option(5.0, duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipperBacklog(Options):
    max_age: float = option(300.0, duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters(Options):
    max: int = option(0, _count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent(Options):
    after: float = option(300.0, duration)


@dataclass(frozen=True, slots=True, kw_only=True)
class Critical(Options):
    severity: str = option("critical", _severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleOptions:
    """The options of all rules. A rule's name is that of its attribute."""

    redis_memory: RedisMemory = field(default_factory=RedisMemory)
    redis_rejects: Critical = field(default_factory=Critical)
    redis_unreachable: Critical = field(default_factory=Critical)
    elasticsearch_unreachable: Critical = field(default_factory=Critical)
    oldest_job: OldestJob = field(default_factory=OldestJob)
    latency: Latency = field(default_factory=Latency)
    queue_depth: QueueDepth = field(default_factory=QueueDepth)
    no_worker: NoWorker = field(default_factory=NoWorker)
    worker_silent: Options = field(default_factory=Options)
    job_overrun: JobOverrun = field(default_factory=JobOverrun)
    function_failures: FunctionFailures = field(default_factory=FunctionFailures)
    dead_jobs: DeadJobs = field(default_factory=DeadJobs)
    cron_missed: CronMissed = field(default_factory=CronMissed)
    clock_skew: ClockSkew = field(default_factory=ClockSkew)
    shipper_backlog: ShipperBacklog = field(default_factory=ShipperBacklog)
    dead_letters: DeadLetters = field(default_factory=DeadLetters)
    shipper_silent: Silent = field(default_factory=Silent)
    host_silent: Silent = field(default_factory=Silent)
    shared_queue: Options = field(default_factory=Options)


RULES: dict[str, type[Options]] = {
    rule.name: rule.default_factory  # type: ignore[misc]
    for rule in fields(RuleOptions)
    if rule.default_factory is not MISSING
}


def read(settings: Settings) -> RuleOptions:
    """The options of the rules. Raises SettingsError with all that is wrong with them."""
    problems: list[str] = []
    rules: dict[str, Any] = {}
    for name, given in settings.alarms.items():
        if name not in RULES:
            problems.append(f"There is no alarm {name} (in the setting 'alarms'). {nearest(name, RULES)}")
            continue
        rules[name] = _options(name, given, problems)
    if problems:
        raise SettingsError(problems)
    return RuleOptions(**rules)


def _options(rule: str, given: Mapping[str, Any], problems: list[str]) -> Options:
    kind = RULES[rule]
    known = {one.name: one.metadata["read"] for one in fields(kind)}
    values = {}
    for name, raw in given.items():
        if name not in known:
            problems.append(f"The alarm {rule} has no option {name}. {nearest(name, known)}")
            continue
        try:
            values[name] = known[name](raw)
        except (ValueError, TypeError) as wrong:
            reason = str(wrong) if str(wrong).startswith("must") else "must be a number"
            problems.append(f"The option {name} of the alarm {rule} {reason} (it is {raw!r}).")
    return kind(**values)


def objective_s(settings: Settings, queue: str) -> float:
    """Within how many seconds the queue's jobs are to start."""
    for pattern, seconds in settings.objectives.items():
        if fnmatchcase(queue, pattern):
            return seconds
    return DEFAULT_OBJECTIVE_S
