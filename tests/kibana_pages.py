"""What the panels of the pages about one function, one queue, releases, and the watch's gauges have to show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.kibana_figures import (
    NS,
    WAITING_BY_QUEUE,
    WORST_WAIT,
    Expected,
    Figure,
    Rows,
    a_minute,
    among,
    attempted,
    attribute,
    by_outcome,
    enqueued,
    function,
    given,
    in_time,
    in_unit,
    kinds,
    last,
    least,
    mean_of,
    most,
    n,
    newest,
    not_well,
    of_late,
    of_objective,
    over,
    p,
    p50,
    p95,
    p99,
    part,
    queue,
    rate,
    seconds,
    started,
    states,
    summed,
    time,
    timed,
    version,
    what_failed,
)
from tests.known_day import Happening

NOW = 6  # minutes for which a gauge is of now
RUN_AGAIN = "Run them again: the dead jobs that are filtered, as commands to copy (now)"


def now(figure: Figure) -> Figure:
    return of_late(figure, NOW)


def gauge(name: str) -> Figure:
    """The newest value of a gauge."""
    return now(last(name))


def of_workers(where: Callable[[Happening], object]) -> Figure:
    return now(lambda rows: len({_get(one, "worker") for one in rows if _get(one, "worker") and where(one)}))


def _get(one: Happening, name: str) -> Any:
    return one.status.get(name) if one.status else None


def live(one: Happening) -> bool:
    return bool(_get(one, "is_live"))


def silent(one: Happening) -> bool:
    return _get(one, "is_live") is False


def ran(one: Happening) -> bool:
    return attempted(one) and timed(one)


_SPANS = (
    (10, "10 ms"), (30, "30 ms"), (100, "100 ms"), (300, "300 ms"), (1_000, "1 s"), (3_000, "3 s"), (10_000, "10 s"),
    (30_000, "30 s"), (60_000, "1 min"), (180_000, "3 min"), (600_000, "10 min"), (1_800_000, "30 min"),
    (3_600_000, "1 h"),
)  # fmt: skip


def span(ms: float) -> str:
    return next((f"< {name}" for end, name in _SPANS if ms < end), "≥ 1 h")


def waited_span(one: Happening) -> str | None:
    return None if one.lag_ms is None else span(one.lag_ms)


def ran_span(one: Happening) -> str | None:
    return None if one.seconds is None else span(round(one.seconds * 1000, 3))


def command(*options: str) -> Callable[[Happening], str]:
    """The command that runs a dead job again. Nothing in the day's names has to be quoted."""
    names = {"function": "function", "queue": "queue", "customer": "customer", "error": "error"}

    def line(one: Happening) -> str:
        told = [(option, getattr(one, names[option])) for option in options]
        return " ".join(["shipper jobs", *(f"--{option} {value}" for option, value in told if value), "--requeue"])

    return line


def run_again(*options: str) -> dict[str, Expected]:
    return {
        RUN_AGAIN: Expected(
            "states", {"dead_jobs": n()}, {"command": command(*options)}, lambda one: one.action == "dead"
        )
    }


def due_within(minutes: int) -> Figure:
    """Jobs that are due so soon after the day's end."""

    def figure(rows: Rows) -> int:
        found = [one for one in rows if one.due_ms and one.due_ms < one.ms + 1000 * (one.before_now + 60 * minutes)]
        return len({one.job for one in found})

    return figure


def of_crons(where: Callable[[Happening], object]) -> Figure:
    return now(lambda rows: len({_get(one, "name") for one in rows if where(one)}))


_OPEN_ALARMS = Expected("rq.alert", {"open_alarms": lambda rows: kinds("alarm")(rows) - n(over)(rows)})
_ALARMS = Expected(
    "rq.alert", {"last": newest, "state": last("state"), "severity": last("severity"), "times": kinds("alarm")},
    {"rule": given("rule"), "subject": given("subject")},
)  # fmt: skip
_LATEST_JOBS = Expected(
    "rq.job", {"ended": newest, "how": last("action")}, {"job": attribute("job")}, lambda one: one.final
)
first_seen = {"first_seen": least("ms")}
oldest = {"of_its_objective": lambda rows: of_objective(rows, max)}

EXPECTED: dict[str, dict[str, Expected]] = {
    "RQ: one function": {
        "Failure rate": Expected("rq.job", rate, where=attempted),
        "Dead jobs now": Expected("states", {"dead_jobs_now": among(states("dead"))}),
        "Executions": Expected("rq.job", {"executions": n()}, where=attempted),
        "Duration, p50": Expected("rq.job", {"duration_p50": p(50, "seconds", NS)}),
        "Duration, p95": Expected("rq.job", {"duration_p95": p(95, "seconds", NS)}),
        "Duration, p99": Expected("rq.job", {"duration_p99": p(99, "seconds", NS)}),
        "How long do executions take? (how many of each duration)": Expected(
            "rq.job", {"executions": n()}, {"duration": ran_span}, ran
        ),
        "Duration over time (logarithmic)": Expected("rq.job", seconds(p50 | p95 | p99), time, timed),
        "With what does it fail?": Expected(
            "rq.job", {"failed": n(), "last_seen": newest, **first_seen}, {"what_failed": what_failed}, not_well
        ),
        "How do executions end?": Expected("rq.job", by_outcome, time),
        "Each release of it": Expected(
            "rq.job", {**first_seen, "executions": n(), **rate, **p50, **p95}, {"version": version}, attempted
        ),
        "Duration by release (p95)": Expected("rq.job", seconds(p95), {"version": version, **time}, ran),
        "Slowest jobs": Expected(
            "rq.job", {"took": most("seconds", NS), "ended": newest}, {"job": attribute("job")}, attempted
        ),
        "Latest jobs": _LATEST_JOBS,
        **run_again("function", "error"),
    },
    "RQ: one queue": {
        "Oldest job, of its objective": WORST_WAIT,
        "Oldest waiting job, by queue, now": WAITING_BY_QUEUE,
        "Jobs waiting": Expected("states", {"jobs_waiting": n(states("waiting"))}),
        "Jobs running": Expected("states", {"jobs_running": n(states("running"))}),
        "Started within 60 s": Expected("rq.job", {"started_within_60_s": part(in_time)}, where=started),
        "Lag, p95": Expected("rq.job", {"lag_p95": p(95, "lag_ms")}, where=started),
        "Dead jobs now": Expected("states", {"dead_jobs_now": among(states("dead"))}),
        "In and out (jobs a minute)": Expected(
            "rq.job", {"enqueued": a_minute(enqueued), "started": a_minute(started)}, time
        ),
        "Oldest waiting job (minutes, from the watch)": Expected(
            "rq.queue", {"oldest_waits_for": in_unit(most("oldest_age_s"), 60)}, time
        ),
        "How long do jobs wait? (how many of each lag)": Expected(
            "rq.job", {"jobs": n()}, {"lag": waited_span}, started
        ),
        "Lag over time, and the objective (logarithmic)": Expected(
            "rq.job", {f"p{percent}": in_unit(p(percent, "lag_ms"), 1000) for percent in (50, 95, 99)}, time, started
        ),
        "What is in it? (by function)": Expected(
            "rq.job",
            {"time_worked": summed("seconds", NS), "enqueued": n(enqueued), **p95, **rate}, {"function": function},
        ),
        "How busy are its workers?": Expected("rq.queue", {"utilisation": mean_of("utilization")}, time),
        "With what do its jobs fail?": Expected(
            "rq.job", {"failed": n(), "last_seen": newest}, {"what_failed": what_failed, "function": function},
            not_well,
        ),
        "Whose jobs? (customers, by time worked)": Expected(
            "rq.job", {"time_worked": summed("seconds", NS), "enqueued": n(enqueued)},
            {"customer": attribute("customer")},
        ),
        "Waited longest": Expected(
            "rq.job", {"waited": most("lag_ms"), "started": newest}, {"job": attribute("job")}, started
        ),
        "Latest jobs": _LATEST_JOBS,
        **run_again("queue", "function"),
    },
    "RQ: releases": {
        "Each release": Expected(
            "rq.job", {**first_seen, "last_seen": newest, "executions": n(), **rate, **p95},
            {"service": attribute("service"), "version": version}, attempted,
        ),
        "Executions by release": Expected("rq.job", {"executions": n()}, {"version": version, **time}, attempted),
        "Duration by release (p95)": Expected("rq.job", seconds(p95), {"version": version, **time}, ran),
    },
    "RQ: queues now": {
        "Oldest job, of its objective": WORST_WAIT,
        "Open alarms": _OPEN_ALARMS,
        "Most jobs waiting in a queue": Expected("rq.queue", {"most_jobs_waiting_in_a_queue": now(most("depth"))}),
        "Live workers": Expected("gauges", {"live_workers": of_workers(live)}),
        "Each queue now": Expected(
            "rq.queue",
            {
                **{name: figure for name, figure in WAITING_BY_QUEUE.figures.items() if name == "of_its_objective"},
                "oldest_waits_for": gauge("oldest_age_s"), "objective": gauge("objective_s"),
                "waiting": gauge("depth"), "in_a_second": gauge("enqueued_per_s"),
                "out_a_second": gauge("dequeued_per_s"), "time_to_empty": gauge("time_to_empty_s"),
                "workers": gauge("workers"), "utilisation": gauge("utilization"), "running": gauge("started"),
                "scheduled": gauge("scheduled"),
            },
            {"queue": queue},
        ),
        "In and out of all queues (jobs a minute)": Expected(
            "rq.job", {"enqueued": a_minute(enqueued), "started": a_minute(started)}, time
        ),
        "How long has the oldest job waited? (share of the objective)": Expected(
            "rq.queue", oldest, {"queue": queue, **time}
        ),
        "What is retried or due next, and when?": Expected(
            "rq.job",
            {"jobs": kinds("job"), "within_5_minutes": due_within(5), "within_an_hour": due_within(60),
             "within_a_day": due_within(24 * 60), "next": least("due_ms")},
            {"function": function}, lambda one: one.due_ms is not None,
        ),
        "How busy are the workers? (mean utilisation)": Expected(
            "rq.queue", {"utilisation": mean_of("utilization")}, {"queue": queue, **time}
        ),
        "Jobs waiting": Expected("rq.queue", {"waiting": most("depth")}, {"queue": queue, **time}),
        "Alarms in the time range": _ALARMS,
    },
    "RQ: workers": {
        "Live workers": Expected("gauges", {"live_workers": of_workers(live)}),
        "Silent workers": Expected("gauges", {"silent_workers": of_workers(silent)}),
        "Busy workers": Expected("gauges", {"busy_workers": of_workers(lambda one: _get(one, "running_jobs"))}),
        "Runs for the longest time": Expected("gauges", {"runs_for_the_longest_time": now(most("busy_s"))}),
        "Each worker now": Expected(
            "rq.worker",
            {
                "silent_for": gauge("heartbeat_age_s"), "alive": gauge("is_live"),
                "queues": gauge("queues"), "runs_for": gauge("busy_s"), "last_function": last("function"),
                "last_job": last("job"), "memory": gauge("rss_bytes"),
            },
            {"worker": given("worker"), "host": attribute("host")},
        ),
        "How busy are they? (mean utilisation, by queue)": Expected(
            "rq.queue", {"utilisation": mean_of("utilization")}, {"queue": queue, **time}
        ),
        "Live workers over time, by host": Expected(
            "rq.worker", {"workers": lambda rows: len({_get(one, "worker") for one in rows if live(one)})},
            {"host": attribute("host"), **time},
        ),
        "Most memory of a worker, by host": Expected(
            "rq.worker", {"memory": most("rss_bytes")}, {"host": attribute("host"), **time}
        ),
    },
    "RQ: Redis": {
        "Used of its limit (maxmemory), %": Expected(
            "rq.redis", {"used_of_its_limit_maxmemory": now(most("used_percent"))}
        ),
        "Full in (at the present rate)": Expected(
            "rq.redis", {"full_in_at_the_present_rate": now(least("time_to_limit_s"))}
        ),
        "Grows by, a second": Expected("rq.redis", {"grows_by_a_second": now(most("bytes_per_s"))}),
        "Refused commands": Expected("rq.redis", {"refused_commands": most("rejected_commands")}),
        "Evicted keys": Expected("rq.redis", {"evicted_keys": most("evicted_keys")}),
        "Clients": Expected("rq.redis", {"clients": now(most("clients"))}),
        "Used of its limit (%), and where the alarm opens": Expected(
            "rq.redis", {"used": most("used_percent")}, time
        ),
        "What fills it? (estimated from a sample of keys)": Expected(
            "rq.redis",
            {kind: mean_of(f"{kind}_bytes")
             for kind in ("job", "result", "queue", "registry", "dependents", "shipper", "other")},
            time,
        ),
        "Used, and its limit": Expected(
            "rq.redis", {"used": most("used_bytes"), "limit": most("maxmemory_bytes")}, time
        ),
        "Each Redis now": Expected(
            "rq.redis",
            {"share_used": gauge("used_percent"), "used": gauge("used_bytes"), "limit": gauge("maxmemory_bytes"),
             "full_in": gauge("time_to_limit_s"), "policy": gauge("policy"), "clients": gauge("clients"),
             "version": gauge("version")},
            {"redis": given("address")},
        ),
    },
    "RQ: cron jobs": {
        "Late cron jobs": Expected("rq.cron", {"late_cron_jobs": of_crons(lambda one: _get(one, "is_late"))}),
        "Most runs that one missed": Expected("rq.cron", {"most_runs_that_one_missed": now(most("missed"))}),
        "Cron jobs": Expected("rq.cron", {"cron_jobs": of_crons(lambda one: True)}),
        "Each cron job now": Expected(
            "rq.cron",
            {"missed": now(most("missed")), "late": gauge("is_late"), "schedule": gauge("schedule"),
             "last_run": gauge("last_at"), "next_run": gauge("next_at"), "scheduler": gauge("scheduler")},
            {"cron_job": given("name"), "function": function, "queue": queue},
        ),
        "Missed runs over time": Expected("rq.cron", {"missed": most("missed")}, {"function": function, **time}),
    },
}  # fmt: skip
