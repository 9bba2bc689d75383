"""Alarms open once and close once; rules find what is wrong, and only that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shipper import settings
from shipper.errors import SettingsError
from shipper.live import flow
from shipper.live.cron import CronSample
from shipper.live.queues import Oldest, QueueSample, find_oldest
from shipper.live.workers import Running, WorkerSample
from shipper.watch import activity, alert_records, crons, memory, options, rules
from shipper.watch.alarms import Alarms, Finding, Patience
from shipper.watch.evidence import Evidence
from shipper.watch.history import Durations, Endings, History, ShipperStatus
from shipper.watch.sampling import Snapshot
from tests.unit.test_gauges import AT, BUSY, CRON, KEYS, QUEUE, SERVER, SERVICE, SNAPSHOT

STEP = timedelta(seconds=15)
FOUND = Finding(rule="oldest_job", subject="low", message="late.")


def alarms(**patience: int) -> Alarms:
    return Alarms("default", {"oldest_job": Patience(**patience)})


def play(book: Alarms, pattern: str) -> list[str]:
    """The transitions of a row of samples: `x` with a finding, `.` without, `?` not evaluated."""
    said = []
    for number, one in enumerate(pattern):
        evaluated = {} if one == "?" else {"oldest_job": [FOUND] if one == "x" else []}
        said += [f"{change.kind}@{number}" for change in book.step(AT + number * STEP, evaluated)]
    return said


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("x", ["opened@0"]),
        ("xxxx", ["opened@0"]),
        ("x.x.x.", ["opened@0"]),
        ("x..", ["opened@0", "closed@2"]),
        ("x..x..", ["opened@0", "closed@2", "opened@3", "closed@5"]),
        ("x.??.", ["opened@0", "closed@4"]),
        ("????", []),
    ],
)
def test_an_alarm_opens_once_and_closes_once(pattern: str, said: list[str]) -> None:
    assert play(alarms(), pattern) == said


def test_a_patient_rule_opens_when_it_was_found_again() -> None:
    assert play(alarms(opens_after=2), ".x.xx") == ["opened@4"]


def test_an_alarm_survives_a_restart() -> None:
    before = alarms()
    play(before, "x")
    after = alarms()
    after.adopt(before.open.values())
    assert play(after, "x..") == ["closed@2"]


def test_what_is_remembered_is_read_again(tmp_path: Any) -> None:
    book = alarms()
    book.step(AT, {"oldest_job": [replace(FOUND, facts={"depth": 3}, since=AT)]})
    known = crons.advance({}, [CRON], AT)
    (change,) = alarms().step(AT, {"oldest_job": [FOUND]})
    kept = memory.Memory(
        untold=[change],
        alarms=list(book.open.values()),
        crons=list(known.values()),
        unheard={"h": AT},
        notices={"n": [{"id": "1"}]},
    )
    memory.save(kept, tmp_path)
    assert memory.load(tmp_path) == kept
    (tmp_path / memory.FILE).write_text("{")
    assert memory.load(tmp_path) == memory.Memory()


def test_two_watchers_give_one_alarm_one_id() -> None:
    ids = set()
    for start in (0, 1):  # one of them starts a sample later
        book = alarms()
        found = replace(FOUND, since=AT)
        for number in range(start, 3):
            for change in book.step(AT + number * STEP, {"oldest_job": [found]}):
                record = alert_records.record(change, SERVICE, AT + number * STEP)
                ids.add((record["event"]["id"], record["@timestamp"]))
    assert len(ids) == 1


def test_an_open_alarm_is_read_from_its_record() -> None:
    book = alarms()
    opened = book.step(AT, {"oldest_job": [FOUND]})
    records = [alert_records.record(change, SERVICE, AT) for change in opened]
    (found,) = alert_records.open_alarms(records)
    assert (found.id, found.key, found.since) == (opened[0].alarm.id, ("oldest_job", "low"), AT)
    closed = book.step(AT + STEP, {"oldest_job": []}) + book.step(AT + 2 * STEP, {"oldest_job": []})
    records += [alert_records.record(change, SERVICE, AT) for change in closed]
    assert alert_records.open_alarms(records) == []


# --- the rules --------------------------------------------------------------------------------------------


def evidence(snapshot: Snapshot | None = SNAPSHOT, is_open: bool = False, **given: Any) -> Evidence:
    variables = {name: value for name, value in given.items() if name.startswith("SHIPPER_")}
    config = settings.load(environment={"XDG_STATE_HOME": "/s", **variables})
    return Evidence(
        at=AT,
        settings=config,
        options=options.read(config),
        snapshot=snapshot,
        is_open=lambda _rule, _subject: is_open,
        **{name: value for name, value in given.items() if name not in variables},
    )


def found(rule: str, given: Evidence) -> list[Finding]:
    return rules.evaluate(given)[rule]


def test_rules_that_cannot_tell_say_nothing() -> None:
    told = rules.evaluate(evidence(None, redis_error="refused", elasticsearch_error="away"))
    assert {name: len(findings) for name, findings in told.items()} == {
        "redis_unreachable": 1,
        "elasticsearch_unreachable": 1,
    }


def test_a_rule_says_nothing_without_what_it_rests_on_also_where_there_is_nothing_to_look_at() -> None:
    """Findings of none would close its alarms."""
    of_records = {name for name, rule in rules.RULES.items() if rule.rests_on_records}
    idle = replace(SNAPSHOT, queues=(), workers=(), crons=(), servers=())
    assert rules.evaluate(evidence(idle)).keys() == rules.RULES.keys() - of_records
    told = rules.evaluate(evidence(None, history=History(at=AT)))
    assert told.keys() == {"redis_unreachable", *of_records - {"job_overrun", "clock_skew"}}


def test_every_rule_has_options_and_a_name() -> None:
    assert set(rules.RULES) == set(options.RULES)


def test_a_full_redis_is_told_with_the_time_left_and_the_functions() -> None:
    (one,) = found("redis_memory", evidence())
    assert (one.severity, one.value, one.fields["code.function.name"]) == ("warning", 85.0, "shop.jobs.render")
    assert one.facts["time_left_s"] == 3000.0
    assert "full in 50 min" in one.message
    assert "shop.jobs.render (33.4 MiB)" in one.message


@pytest.mark.parametrize(
    ("used", "is_open", "count"), [(790, False, 0), (790, True, 1), (740, True, 0), (800, False, 1)]
)
def test_the_memory_alarm_closes_below_where_it_opens(used: int, is_open: bool, count: int) -> None:
    server = replace(SERVER, used_bytes=used * 1_000_000)
    assert len(found("redis_memory", evidence(replace(SNAPSHOT, servers=(server,)), is_open))) == count


def test_a_redis_without_a_limit_is_never_full() -> None:
    server = replace(SERVER, maxmemory_bytes=0)
    assert found("redis_memory", evidence(replace(SNAPSHOT, servers=(server,)))) == []


def test_refused_commands_and_evicted_keys_are_told() -> None:
    before = replace(SERVER, rejected_oom=0)
    (one,) = found("redis_rejects", evidence(replace(SNAPSHOT, servers_before=(before,))))
    assert "refused 2 commands" in one.message


def test_the_oldest_job_is_held_against_its_queue_s_objective() -> None:
    assert found("oldest_job", evidence()) == []
    (one,) = found("oldest_job", evidence(SHIPPER_OBJECTIVES="pay*=30s"))
    assert (one.subject, one.since, one.limit) == ("payments", AT - timedelta(seconds=12), 30)
    (one,) = found("oldest_job", evidence(SHIPPER_ALARMS="oldest_job.max_age=10s"))
    assert one.severity == "critical"


def test_a_queue_with_jobs_needs_a_live_worker() -> None:
    assert found("no_worker", evidence()) == []
    for worker in (
        replace(BUSY, state="gone"),
        replace(BUSY, expires_in_s=20.0),
        replace(BUSY, is_subscribed=False),
        replace(BUSY, queues=("other",)),
    ):
        given = evidence(replace(SNAPSHOT, workers=(worker,)))
        assert [one.subject for one in found("no_worker", given)] == ["payments"]
    empty = replace(QUEUE, depth=0, oldest=None)
    assert found("no_worker", evidence(replace(SNAPSHOT, queues=(empty,), workers=()))) == []


def test_a_worker_that_stopped_beating_is_told_with_what_it_ran() -> None:
    silent = replace(BUSY, is_subscribed=False)
    (one,) = found("worker_silent", evidence(replace(SNAPSHOT, workers=(silent,))))
    assert one.subject == "worker-1.4700"
    assert "it was running shop.jobs.charge_card" in one.message


@pytest.mark.parametrize(
    ("runs_s", "p99_s", "count", "is_told"),
    [(400, 100, 50, True), (200, 100, 50, False), (50, 1, 50, False), (400, 100, 5, False)],
)
def test_a_job_that_runs_far_beyond_its_function_is_told(runs_s: int, p99_s: float, count: int, is_told: bool) -> None:
    running = replace(BUSY.running[0], since=AT - timedelta(seconds=runs_s))
    history = History(at=AT, durations={"shop.jobs.charge_card": Durations(count, p99_s)})
    given = evidence(replace(SNAPSHOT, workers=(replace(BUSY, running=(running,)),)), history=history)
    assert [one.subject for one in found("job_overrun", given)] == (["e1"] if is_told else [])


def test_failures_and_dead_jobs_are_told_by_function() -> None:
    history = History(at=AT, endings={"a": Endings(40, 10, 2), "b": Endings(4, 4, 4)}, dead={"a": 11, "b": 4})
    assert [one.subject for one in found("function_failures", evidence(history=history))] == ["a"]
    assert [one.subject for one in found("dead_jobs", evidence(history=history))] == ["a"]


@pytest.mark.parametrize(
    ("hour", "minutes", "severity"),
    [((100, 80), (10, 8), "critical"), ((100, 80), (10, 0), None), ((4, 4), (4, 4), None), ((100, 4), (10, 1), None)],
)
def test_latency_burns_the_budget_in_both_windows(
    hour: tuple[int, int], minutes: tuple[int, int], severity: str | None
) -> None:
    starts = {("payments", 3600): hour, ("payments", 300): minutes}
    told = found("latency", evidence(history=History(at=AT, starts=starts)))
    assert [one.severity for one in told] == ([severity] if severity else [])


def test_a_shipper_that_lags_loses_or_is_silent_is_told() -> None:
    status = ShipperStatus(host="h", at=AT, state="shipping", backlog_bytes=9, backlog_age_s=400, dead_letters=2)
    history = History(at=AT, shippers=[status])
    assert found("shipper_backlog", evidence(history=history))[0].value == 400
    assert found("dead_letters", evidence(history=history))[0].value == 2
    assert found("shipper_silent", evidence(history=history)) == []
    for state, count in (("shipping", 1), ("stopped", 0)):
        old = replace(status, at=AT - timedelta(seconds=301), state=state)
        assert len(found("shipper_silent", evidence(history=History(at=AT, shippers=[old])))) == count


def test_a_host_whose_jobs_leave_no_record_is_told() -> None:
    before = replace(BUSY, successes=1)
    ended = activity.ended_since([before], [BUSY])
    assert ended == {"worker-1"}
    waiting = activity.unheard({}, ended, {}, AT - timedelta(seconds=301))
    given = evidence(history=History(at=AT), unheard=waiting)
    assert [one.subject for one in found("host_silent", given)] == ["worker-1"]
    assert activity.unheard(waiting, ended, {"worker-1": AT - timedelta(seconds=310)}, AT) == {}


def test_times_in_the_future_are_told() -> None:
    ahead = replace(QUEUE, oldest=Oldest(job_id="j", at=AT + timedelta(seconds=60)))
    server = replace(SERVER, clock_offset_s=-9.0)
    history = History(at=AT, early={"w": (3, 12.0)})
    snapshot = replace(SNAPSHOT, queues=(ahead,), servers=(server,))
    assert [one.subject for one in found("clock_skew", evidence(snapshot, history=history))] == [
        "queue payments",
        "redis redis.internal:6379",
        "worker host w",
    ]
    assert found("clock_skew", evidence(history=History(at=AT))) == []


def test_a_shared_queue_is_told() -> None:
    history = History(at=AT, shared={("default", "abc/0"): ("crm", "shop")})
    (one,) = found("shared_queue", evidence(history=history))
    assert "crm and shop" in one.message


def test_subjects_can_be_left_alone_and_rules_switched_off() -> None:
    assert found("oldest_job", evidence(SHIPPER_OBJECTIVES="*=1s", SHIPPER_ALARMS="oldest_job.ignore=pay*")) == []
    assert found("redis_memory", evidence(SHIPPER_ALARMS="redis_memory.enabled=no")) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("redis_memori.percent=1", "Did you mean redis_memory?"),
        ("redis_memory.percents=1", "Did you mean percent?"),
        ("redis_memory.percent=0", "must be a percentage"),
        ("oldest_job.max_age=soon", "must be a time such as"),
        ("dead_jobs.max=many", "must be a number"),
    ],
)
def test_wrong_options_are_named(given: str, said: str) -> None:
    config = settings.load(environment={"XDG_STATE_HOME": "/s", "SHIPPER_ALARMS": given})
    with pytest.raises(SettingsError, match=said.replace("?", r"\?")):
        options.read(config)


# --- cron jobs --------------------------------------------------------------------------------------------

NIGHT = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
HOURLY = CronSample(
    name="h",
    function="f",
    queue="q",
    interval_s=3600,
    last=NIGHT - timedelta(hours=1),
    next=NIGHT,
    scheduler="s",
    host="a",
)


def test_a_run_that_comes_is_not_missed() -> None:
    known = crons.advance({}, [HOURLY], NIGHT - timedelta(minutes=1))
    ran = replace(HOURLY, last=NIGHT, next=NIGHT + timedelta(hours=1))
    (state,) = crons.advance(known, [ran], NIGHT + timedelta(minutes=1)).values()
    assert (state.next_at, state.missed) == (NIGHT + timedelta(hours=1), 0)


def test_runs_are_missed_while_no_scheduler_runs() -> None:
    known = crons.advance({}, [HOURLY], NIGHT - timedelta(minutes=1))
    now = NIGHT + timedelta(hours=2, minutes=10)
    known = crons.advance(known, [], now)
    (state,) = known.values()
    assert (state.next_at, state.missed, state.is_late(now)) == (NIGHT, 3, True)
    # A new scheduler counts from its start; what was missed stays so until a run comes.
    fresh = replace(HOURLY, last=None, next=now + timedelta(minutes=30), scheduler="t", host="b")
    (state,) = (known := crons.advance(known, [fresh], now)).values()
    assert state.next_at == NIGHT
    ran = replace(fresh, last=now, next=now + timedelta(hours=1))
    (state,) = crons.advance(known, [ran], now).values()
    assert (state.next_at, state.missed) == (ran.next, 0)


def test_a_cron_job_that_was_taken_away_is_forgotten() -> None:
    other = replace(HOURLY, name="other")
    known = crons.advance({}, [HOURLY, other], NIGHT - timedelta(minutes=1))
    assert len(known) == 2
    moved = replace(other, scheduler="t", host="b")  # a new scheduler has the one and not the other
    assert [one.sample.name for one in crons.advance(known, [moved], NIGHT).values()] == ["other"]
    assert len(crons.advance(known, [], NIGHT + timedelta(days=1))) == 2
    assert crons.advance(known, [], NIGHT + timedelta(days=8)) == {}


def test_a_missed_run_is_an_alarm() -> None:
    known = crons.advance({}, [CRON], AT)
    (one,) = found("cron_missed", evidence(crons=known))
    assert (one.subject, one.since) == ("nightly report (0 3 * * *)", CRON.next)


# --- what is inferred from samples ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "now", "behind", "processed", "flow_"),
    [
        (10, 10, 0, 0, (0, 0)),
        (10, 12, 2, 0, (2, 0)),
        (10, 8, 3, 0, (3, 5)),
        (10, 4, None, 0, (4, 10)),  # the mark left: all that is there came since
        (0, 0, None, 7, (7, 7)),  # came and left between two samples
        (5, 8, 0, 0, (3, 0)),  # pushed to the front
    ],
)
def test_a_flow_is_inferred(before: int, now: int, behind: int | None, processed: int, flow_: tuple[int, int]) -> None:
    assert flow.infer(before, now, behind, processed) == flow.Flow(*flow_)


def test_workers_of_several_queues_are_counted_for_none() -> None:
    one = WorkerSample(name="w", state="idle", queues=("a",), successes=5)
    several = replace(one, name="v", queues=("a", "b"))
    now = [replace(one, successes=8, running=(Running(job_id="j"),)), replace(several, successes=9)]
    assert flow.processed([one, several], now) == {"a": 4}


def searched(times: Callable[[int], datetime], depth: int) -> tuple[datetime | None, int]:
    """(the oldest time that was found, how many positions were looked at)."""
    search, looked_at = find_oldest(depth), 0
    positions = next(search)
    while True:
        looked_at += len(positions)
        try:
            positions = search.send({one: (str(one), times(one)) for one in positions})
        except StopIteration as end:
            return (end.value[1] if end.value else None), looked_at


@pytest.mark.parametrize(("front", "behind"), [(0, 1), (0, 500), (1, 1), (3, 40), (700, 900), (5000, 20), (40, 0)])
@pytest.mark.parametrize("front_is_older", [True, False])
def test_the_oldest_job_is_where_the_times_turn(front: int, behind: int, front_is_older: bool) -> None:
    """`front` jobs were pushed to the front, the youngest first; behind them are the others, the oldest first."""
    start = AT - timedelta(days=1)
    shift = 0 if front_is_older else 2 * (front + behind)
    times = [start + timedelta(seconds=shift + front - number) for number in range(front)]
    times += [start + timedelta(seconds=front + 1 + number) for number in range(behind)]
    oldest, looked_at = searched(times.__getitem__, len(times))
    assert oldest == min(times)
    assert looked_at <= 100


def test_a_queue_of_an_unknown_order_is_looked_at_within_bounds() -> None:
    oldest, looked_at = searched(lambda one: AT + timedelta(seconds=one * 7919 % 997), 1_000_000)
    assert oldest is not None
    assert looked_at <= 100


def test_a_queue_sample_without_jobs_has_no_age() -> None:
    assert QueueSample(name="q").oldest_age_s(AT) == 0
    assert KEYS.estimate(700_000) == 35_000_000
