"""Every Lens panel, asked of the real Elasticsearch on a known day, shows what follows from what happened."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from kibana import build
from kibana.words import LAG_OBJECTIVE_MS
from shipper.watch import options
from tests import kibana_pages, known_day
from tests.kibana_figures import (
    INTERVAL,
    INTERVAL_MS,
    NS,
    OUTCOMES,
    WAITING_BY_QUEUE,
    WORST_WAIT,
    Expected,
    Rows,
    a_minute,
    always,
    among,
    attempted,
    attribute,
    average,
    by_outcome,
    dead,
    denied,
    enqueued,
    failed,
    function,
    given,
    in_time,
    in_unit,
    kinds,
    lag50,
    lag95,
    lag99,
    last,
    late,
    minutes,
    minutes_worked,
    most,
    n,
    newest,
    not_well,
    of_late,
    of_outcome,
    of_state,
    operator,
    over,
    p,
    p50,
    p95,
    p99,
    part,
    queue,
    rate,
    reason,
    retried,
    seconds,
    started,
    states,
    summed,
    thousandths,
    time,
    timed,
    version,
    what_failed,
    worked,
)
from tests.known_day import Day, Shown
from tests.lens import dated, figures_of, groups_of, query_of, rows_of, search_of
from tests.saved_objects import (
    Placed,
    annotated_view,
    annotations_of,
    computed,
    of_type,
    panels,
    source_of,
    view_of_search,
)

pytestmark = pytest.mark.slow

LENS = panels("lens")

# On the pages about one job and one customer something is chosen, as a person would.
JOB, CUSTOMER, FUNCTION, QUEUE = "job-02", "42", "shop.charge_card", "mails"
CHOSEN = {
    "RQ: one job": ({"term": {"messaging.message.id": JOB}}, lambda one: one.job == JOB),
    "RQ: one customer": ({"term": {"organization.id": CUSTOMER}}, lambda one: one.customer == CUSTOMER),
    "RQ: one function": ({"term": {"code.function.name": FUNCTION}}, lambda one: one.function == FUNCTION),
    "RQ: one queue": ({"term": {"messaging.destination.name": QUEUE}}, lambda one: one.queue == QUEUE),
}

EXPECTED = {
    "RQ: overview": {
        "Dead jobs": Expected("states", {"dead_jobs": n(states("dead"))}),
        "Failure rate": Expected("rq.job", rate, where=attempted),
        "Jobs ended": Expected("rq.job", {"jobs_ended": n(lambda one: one.final)}),
        "Jobs waiting": Expected("states", {"jobs_waiting": n(states("waiting"))}),
        "Duration, p95": Expected("rq.job", {"duration_p95": p(95, "seconds", NS)}),
        "Wait before the start, p95": Expected("rq.job", {"wait_before_the_start_p95": p(95, "lag_ms")}, where=started),
        "Oldest job, of its objective": WORST_WAIT,
        "Open alarms": Expected("rq.alert", {"open_alarms": lambda rows: kinds("alarm")(rows) - n(over)(rows)}),
        "Oldest waiting job, by queue, now": WAITING_BY_QUEUE,
        "Alarms in the time range": Expected(
            "rq.alert", {"last": newest, "state": last("state"), "severity": last("severity"), "times": kinds("alarm")},
            {"rule": given("rule"), "subject": given("subject")},
        ),
        "Jobs a minute, by outcome": Expected(
            "rq.job", {name: a_minute(where) for name, where in OUTCOMES.items()}, time
        ),
        "Failure rate over time": Expected("rq.job", {"failed": part(failed)}, time, attempted),
        "How long jobs take (logarithmic)": Expected("rq.job", seconds(p50 | p95 | p99), time, timed),
        "How long jobs wait, and the objective (logarithmic)": Expected(
            "rq.job", thousandths(lag50 | lag95 | lag99), time, started
        ),
        "Busiest queues, by time worked": Expected("rq.job", minutes_worked, {"queue": queue}, timed),
        "Slowest functions, by p95": Expected("rq.job", seconds(p95), {"function": function}, timed),
        "What is dead now": Expected(
            "states", {"dead": n()}, {"function": function, "what_failed": of_state, "queue": queue}, states("dead")
        ),
    },
    "RQ: functions": {
        "Which take the most time in all?": Expected(
            "rq.job", {"time_in_all": in_unit(summed("seconds", NS), 60 * NS)}, {"function": function}, timed
        ),
        "Which are slowest? (p95)": Expected("rq.job", seconds(p95), {"function": function}, timed),
        "Every function": Expected(
            "rq.job",
            {"time_in_all": summed("seconds", NS), "attempts": n(attempted), **p50, **p95,
             "longest": most("seconds", NS), **rate, "retried": n(retried), "dead": n(dead)},
            {"function": function}, attempted,
        ),
        "Which payloads bloat Redis?": Expected(
            "rq.job",
            {"payloads_in_all": summed("size"), "mean": average("size"), "largest": most("size"),
             "stored_in_redis": summed("stored"), "jobs": n()},
            {"function": function}, enqueued,
        ),
        # The day has six functions, and to send a mail is the quickest by far.
        "How long do they take over time? (p95 of the slowest five)": Expected(
            "rq.job", seconds(p95), {"function": function, **time},
            lambda one: timed(one) and one.function != "shop.send_mail",
        ),
        "Slowest jobs": Expected(
            "rq.job", {"took": most("seconds", NS)}, {"job": attribute("job"), "function": function}, timed
        ),
        "When is the time spent? (by function)": Expected(
            "rq.job", seconds(worked), {"function": function, **time}, timed
        ),
        "What fails, and with what error?": Expected(
            "rq.job", {"failed": n(), "retried": n(retried), "dead": n(dead)},
            {"function": function, "what_failed": what_failed}, not_well,
        ),
        "When does it fail? (by function)": Expected(
            "rq.job", {"failed": n()}, {"function": function, **time}, not_well
        ),
        "Before and after a release: each version beside the other": Expected(
            "rq.job", {"attempts": n(), **rate, **p95}, {"function": function, "version": version}, attempted
        ),
        "Duration by release (p95 of the slowest)": Expected(
            "rq.job", seconds(p95), {"function": function, "version": version}, attempted
        ),
    },
    "RQ: queues": {
        "Started within 60 s": Expected("rq.job", {"started_within_60_s": part(in_time)}, where=started),
        "Started later than 60 s": Expected(
            "rq.job", {"started_later_than_60_s": among(late, started)}
        ),
        "Jobs waiting": Expected("states", {"jobs_waiting": n(states("waiting"))}),
        "Jobs running": Expected("states", {"jobs_running": n(states("running"))}),
        "Which queues accrue the most demand? (jobs × duration)": Expected(
            "rq.job", minutes_worked, {"queue": queue}, timed
        ),
        "Oldest job, of its objective": WORST_WAIT,
        "Oldest waiting job, by queue, now": WAITING_BY_QUEUE,
        "Demand over time, by queue": Expected("rq.job", seconds(worked), {"queue": queue, **time}, timed),
        "How long do jobs wait before they start?": Expected(
            "rq.job",
            {**lag95, **lag50, "longest": most("lag_ms"), "started_within_60_s": part(in_time), "started": n()},
            {"queue": queue}, started,
        ),
        "Wait over time, by queue (p95), and the objective": Expected(
            "rq.job", minutes(lag95), {"queue": queue, **time}, started
        ),
        "Do the workers keep up? (jobs a minute)": Expected(
            "rq.job", {"enqueued": a_minute(enqueued), "started": a_minute(started)}, time
        ),
        "What lies where now?": Expected(
            "states",
            {"waiting": n(states("waiting")), "running": n(states("running")), "dead": n(states("dead")), "all": n()},
            {"queue": queue},
        ),
        "Every queue": Expected(
            "rq.job",
            {**worked, "enqueued": n(enqueued), "attempts": n(attempted), **p50, **p95, **rate}, {"queue": queue},
        ),
    },
    "RQ: failures": {
        **kibana_pages.run_again("function", "error"),
        "Dead jobs": Expected("states", {"dead_jobs": n(states("dead"))}),
        "Died": Expected("rq.job", {"died": n(dead)}),
        "Retried": Expected("rq.job", {"retried": n(retried)}),
        "Killed": Expected("rq.job", {"killed": n(lambda one: one.reason == "killed")}),
        "Timed out": Expected("rq.job", {"timed_out": n(lambda one: one.reason == "timeout")}),
        "Abandoned, expired, lost": Expected(
            "rq.job", {"abandoned_expired_lost": n(lambda one: one.reason in ("abandoned", "expired", "lost"))},
        ),
        "Retried and dead over time": Expected("rq.job", {"retried": n(retried), "dead": n(dead)}, time, not_well),
        "Why?": Expected("rq.job", {"failed": n()}, {"reason": reason}, not_well),
        "When, by reason": Expected("rq.job", {"failed": n()}, {"reason": reason, **time}, not_well),
        "Error groups": Expected(
            "rq.job",
            {"failed": n(), "retried": n(retried), "dead": n(dead), "jobs": kinds("job"), "last_seen": newest},
            {"what_failed": what_failed, "function": function}, not_well,
        ),
        "Which queues?": Expected("rq.job", {"failed": n(), "dead": n(dead)}, {"queue": queue}, not_well),
        "Which customers?": Expected(
            "rq.job", {"failed": n(), "dead": n(dead)}, {"customer": attribute("customer")}, failed
        ),
        "Retries: how far did they get?": Expected(
            "rq.job", {"attempts": n(), "furthest_attempt": most("attempt")},
            {"function": function, "verdict": attribute("verdict")}, not_well,
        ),
        "Killed by which signal, with how much memory?": Expected(
            "rq.job", {"killed": n(), "most_memory": most("rss_kb", 1024), "last_seen": newest},
            {"signal": attribute("signal"), "function": function}, lambda one: one.signal,
        ),
        "Which jobs died?": Expected(
            "rq.job", {"died": newest},
            {"job": attribute("job"), "function": function, "what_failed": what_failed}, dead
        ),
    },
    "RQ: one job": {
        "Last seen": Expected("rq.job", {"last_seen": last("action")}),
        "Attempts": Expected("rq.job", {"attempts": most("attempt")}),
        "Longest wait": Expected("rq.job", {"longest_wait": most("lag_ms")}, where=started),
        "Time worked": Expected("rq.job", worked),
        "Payload": Expected("rq.job", {"payload": most("size")}),
        "Own log lines": Expected("rq.app", {"own_log_lines": n(lambda one: one.job)}),
        "Each execution": Expected(
            "rq.job", {"attempt": most("attempt"), "took": summed("seconds", NS), "waited": most("lag_ms")},
            {"execution": attribute("execution"), "ending": attribute("action")}, timed,
        ),
        "Which jobs does it come from?": Expected(
            "rq.job", {"records": n()}, {"enqueued_by": attribute("parent"), "first_of_the_chain": attribute("root")}
        ),
        "Which jobs does it wait for?": Expected("rq.job", {"records": n()}, {"waits_for": attribute("depends_on")}),
        "What went wrong?": Expected(
            "rq.job", {"failed": n()}, {"what_failed": what_failed, "reason": reason, "queue": queue},
            lambda one: one.reason,
        ),
    },
    "RQ: one customer": {
        **kibana_pages.run_again("customer", "function"),
        "Jobs died": Expected("rq.job", {"jobs_died": n(dead)}),
        "Failure rate": Expected("rq.job", rate, where=attempted),
        "Jobs ended": Expected("rq.job", {"jobs_ended": n(lambda one: one.final)}),
        "Time worked for them": Expected("rq.job", {"time_worked_for_them": summed("seconds", NS)}),
        "Audited actions": Expected("rq.audit", {"audited_actions": n()}),
        "Users seen": Expected("records", {"users_seen": kinds("user")}),
        "When, by kind of record": Expected("records", {"records": n()}, {"kind": attribute("dataset"), **time}),
        "Their jobs, by outcome": Expected("rq.job", by_outcome, time),
        "Which customers?": Expected(
            "records", {"records": n(), "last_seen": newest}, {"customer": attribute("customer")}
        ),
        "Their users": Expected("records", {"records": n(), "last_seen": newest}, {"user": attribute("user")}),
        "What was done": Expected("records", {"times": n()}, {"action": attribute("action")}),
        "Their jobs, by function": Expected(
            "rq.job", {"attempts": n(attempted), **worked, "retried": n(retried), "dead": n(dead), **rate},
            {"function": function},
        ),
    },
    "RQ: audit": {
        "Denied or failed": Expected("rq.audit", {"denied_or_failed": n(denied)}),
        "By operators": Expected("rq.audit", {"by_operators": n(operator)}),
        "Actions": Expected("rq.audit", {"actions": n()}),
        "Users": Expected("rq.audit", {"users": kinds("user")}),
        "Who did what to what?": Expected(
            "rq.audit", {"times": n(), "denied": n(denied), "last": newest},
            {"user": attribute("user"), "action": attribute("action"), "resource": attribute("resource", "none")},
        ),
        "When, and how it ended": Expected(
            "rq.audit",
            {name: n(of_outcome(name)) for name in ("success", "failure", "unknown")}, time,
        ),
        "What was denied, to whom, why?": Expected(
            "rq.audit", {"times": n(), "last": newest},
            {"user": attribute("user"), "action": attribute("action"), "reason": attribute("reason", "none given")},
            denied,
        ),
        "Who acts?": Expected("rq.audit", {"actions": n()}, {"actor": attribute("actor")}),
        "What did operators touch?": Expected(
            "rq.audit", {"times": n(), "last": newest},
            {"user": attribute("user"), "action": attribute("action"), "what": attribute("resource_id")}, operator,
        ),
    },
    "RQ: the shipper": {
        "Dead letters": Expected("rq.shipper", {"dead_letters": most("dead_letters")}),
        "Retrying for": Expected("rq.shipper", {"retrying_for": of_late(most("retrying_s"), 5)}),
        "Backlog": Expected("rq.shipper", {"backlog": of_late(most("backlog_bytes"), 5)}),
        "Longest lag": Expected("rq.shipper", {"longest_lag": most("lag_ms")}),
        "Last status": Expected("rq.shipper", {"last_status": newest}),
        "Shippers: last heard of, by host": Expected(
            "rq.shipper",
            {"last_status": newest, "in_the_last_5_minutes": of_late(n(), 5), "state": last("state")},
            {"host": attribute("host")},
        ),
        "Hosts: last record of any job, by host": Expected(
            "rq.job", {"last_record": newest, "in_the_last_5_minutes": of_late(n(), 5), "in_the_time_range": n()},
            {"host": attribute("host")},
        ),
        "Each shipper, as it last said": Expected(
            "rq.shipper",
            {"backlog": last("backlog_bytes"), "age_of_the_backlog": last("backlog_age_s"), "lag": last("lag_ms"),
             "records_a_second": last("records_per_s"), "indexed": last("indexed"), "duplicates": last("duplicates"),
             "retries": last("retries"), "dead_letters": last("dead_letters"), "memory": last("memory_bytes"),
             "files": last("files")},
            {"host": attribute("host")},
        ),
        "Backlog: what is written and not yet indexed": Expected(
            "rq.shipper", {"backlog": most("backlog_bytes")}, {"host": attribute("host"), **time}
        ),
        "Lag: from a record's time to its being indexed": Expected(
            "rq.shipper", {"lag": in_unit(most("lag_ms"), 1000)}, {"host": attribute("host"), **time}
        ),
        "Records a second": Expected(
            "rq.shipper", {"records": most("records_per_s")}, {"host": attribute("host"), **time}
        ),
        "Requests tried again": Expected(
            "rq.shipper", {"retries": most("retries")}, {"host": attribute("host"), **time}
        ),
        "Dead letters over time": Expected(
            "rq.shipper", {"dead_letters": most("dead_letters")}, {"host": attribute("host"), **time}
        ),
    },
    "RQ: start here": {
        "Records of jobs": Expected("rq.job", {"records_of_jobs": of_late(n(), 5)}),
        "Status of the shipper": Expected("rq.shipper", {"status_of_the_shipper": of_late(n(), 5)}),
        "Samples of the watch": Expected("gauges", {"samples_of_the_watch": of_late(n(), 5)}),
        "Newest record of a job": Expected("rq.job", {"newest_record_of_a_job": newest}),
    },
    **kibana_pages.EXPECTED,
}  # fmt: skip


def wanted(day: Day, page: str, panel: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """What a panel has to show: the figures of each group, by the group's values."""
    expected = EXPECTED[page][panel]
    chosen = expected.chosen or (CHOSEN[page][1] if page in CHOSEN else always)
    groups: dict[tuple[Any, ...], Rows] = {}
    for one in _happenings(day, expected.of):
        key = tuple(of(one) for of in expected.keys.values())
        if chosen(one) and expected.where(one) and None not in key:
            groups.setdefault(key, []).append(one)
    if not expected.keys:
        groups.setdefault((), [])
    rows = {key: {name: of(found) for name, of in expected.figures.items()} for key, found in groups.items()}
    return {key: row for key, row in rows.items() if not expected.keys or not _empty(row)}


def _happenings(day: Day, of: str) -> Rows:
    if of == "states":
        return [replace(happening, action=state) for _, state, happening in day.states]
    if of == "records":
        return day.of("rq.job") + day.of("rq.app") + day.of("rq.audit")
    if of == "gauges":
        return [one for name in ("rq.queue", "rq.worker", "rq.redis", "rq.cron") for one in day.of(name)]
    return day.of(of)


def _empty(row: dict[str, Any]) -> bool:
    return all(value in (None, 0) for value in row.values())


# --- what is shown ---


def asked(shown: Shown, one: Placed, layer: str, chosen: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The panel's table. `chosen` restricts it, as what is chosen above the page does."""
    body = search_of(one.attributes, one.layers[layer], INTERVAL, one.computed(layer))
    if chosen:
        body["query"] = {"bool": {"filter": [body["query"], chosen]}}
    body = dated(body, shown.day.now)
    index = shown.indices(one.view_of(layer)["attributes"]["title"])
    return rows_of(one.layers[layer], shown.search.search(index=index, body=body).body, INTERVAL_MS)


@pytest.fixture(scope="module")
def shown(elasticsearch_url: str) -> Iterator[Shown]:
    with known_day.shown(elasticsearch_url) as found:
        yield found


@pytest.mark.parametrize("one", LENS, ids=lambda one: one.name)
def test_a_panel_shows_what_follows_from_the_day(one: Placed, shown: Shown) -> None:
    page, _, title = one.name.partition(" / ")
    layer = one.layers["data"]
    groups, figures = groups_of(layer), figures_of(layer)
    assert list(EXPECTED[page][title].keys) == groups
    found = asked(shown, one, "data", CHOSEN[page][0] if page in CHOSEN else None)
    rows = {
        tuple(row[name] for name in groups): {name: row[name] for name in figures}
        for row in found
        if not groups or not _empty({name: row[name] for name in figures})
    }
    due = wanted(shown.day, page, title)
    assert due, "the day has nothing for this panel"
    assert rows.keys() == due.keys()
    for key, row in due.items():
        assert list(row) == figures
        for name, value in row.items():
            assert rows[key][name] == (pytest.approx(value) if isinstance(value, float) else value), (key, name)


def test_there_is_no_expectation_without_a_panel() -> None:
    names = {one.name for one in LENS}
    assert {f"{page} / {title}" for page, some in EXPECTED.items() for title in some} == names


def _of_one_group(one: Placed) -> bool:
    layer = one.layers["data"]
    return [layer["columns"][name]["operationType"] for name in groups_of(layer)] == ["terms"]


@pytest.mark.parametrize("one", [one for one in LENS if _of_one_group(one)], ids=lambda one: one.name)
def test_a_panel_begins_with_what_weighs_most(one: Placed, shown: Shown) -> None:
    layer = one.layers["data"]
    (first,) = groups_of(layer)
    params = layer["columns"][first]["params"]
    # Of a formula or a last value it is the first figure that weighs, which orders as what it is made of does.
    weight = params["orderBy"].get("columnId", figures_of(layer)[0])
    weights = [row[weight] for row in asked(shown, one, "data")]
    assert weights
    assert all(before >= after for before, after in pairwise(weights))


@pytest.mark.parametrize(
    ("field", "of"),
    [
        ("service.name", lambda plan: "shop"),
        ("messaging.destination.name", lambda plan: plan.queue),
        ("code.function.name", lambda plan: plan.function),
        ("organization.id", lambda plan: plan.customer),
        ("event.outcome", lambda plan: "failure"),
    ],
)
def test_what_is_chosen_above_a_page_holds_for_the_jobs_of_now_too(field: str, of: Any, shown: Shown) -> None:
    """The states' documents call these fields otherwise; their template knows the records' names as well."""
    (one,) = [one for one in LENS if one.name == "RQ: overview / Dead jobs"]
    died = [plan for plan, state, _ in shown.day.states if state in ("dead", "expired")]
    for value in {of(plan) for plan in died} - {None}:
        (row,) = asked(shown, one, "data", {"term": {field: value}})
        assert row["dead_jobs"] == sum(1 for plan in died if of(plan) == value)


def test_the_objective_is_drawn_where_the_figures_count_it(shown: Shown) -> None:
    lines = [one for one in LENS if "line" in one.layers]
    assert lines
    for one in lines:
        (row,) = rows_of(one.layers["line"], {"aggregations": {}}, INTERVAL_MS)
        if "RQ: Redis" in one.name:
            assert row == {"alarm": options.RedisMemory().percent}
        elif "share of the objective" in one.name:
            assert row == {"objective": 1}
        else:
            of_a_unit = 1000 if "logarithmic" in one.name else 60_000
            assert row == {"objective": LAG_OBJECTIVE_MS / of_a_unit}


# What each saved search is to find, as jobs or records; and by what it is sorted.
FOUND = {
    "RQ: slowest tasks": timed,
    "RQ: failed in the last day": not_well,
    "RQ: dead jobs": dead,
    "RQ: retried jobs": retried,
    "RQ: killed by a signal": lambda one: one.signal,
    "RQ: waiting longest": started,
    "RQ: fattest payloads": enqueued,
    "RQ: a user's timeline": lambda one: one.user,
    "RQ: operators' actions": operator,
    "RQ: legacy text-log records": lambda one: one.dataset == "rq.app" and one.job is None,
    "RQ: newest failures with stack trace": not_well,
    "RQ: failures with their whole stack traces": not_well,
    "RQ: every record and log line of a job": lambda one: one.job,
    "RQ: a customer's timeline": lambda one: one.customer,
    "RQ: what was done by and for customers": lambda one: one.customer,
    "RQ: customers' jobs that ended": lambda one: one.customer and one.final,
    "RQ: audit trail": always,
}
DATASETS = {
    "rq-job-*": ["rq.job"],
    "rq-audit-*": ["rq.audit"],
    "rq-job-*,rq-app-*,rq-audit-*": ["rq.job", "rq.app", "rq.audit"],
}


@pytest.mark.parametrize("search", of_type("search"), ids=lambda search: search["attributes"]["title"])
def test_a_saved_search_finds_what_it_is_called_for_in_its_order(search: dict[str, Any], shown: Shown) -> None:
    attributes = search["attributes"]
    title = view_of_search(search)["attributes"]["title"]
    answer = shown.search.search(
        index=shown.indices(title),
        query=query_of(source_of(search)["query"]["query"]),
        sort=[{field: order} for field, order in attributes["sort"]],
        fields=attributes["columns"],
        runtime_mappings=computed(view_of_search(search)),
        source=False,
        size=1000,
    )
    hits = answer["hits"]["hits"]
    due = [one for name in DATASETS[title] for one in shown.day.of(name) if FOUND[attributes["title"]](one)]
    assert len(hits) == len(due) > 0
    keys = [hit["sort"][0] for hit in hits]
    assert keys == sorted(keys, reverse=attributes["sort"][0][1] == "desc")
    for column in attributes["columns"]:
        assert column in _RARE or any(column in hit["fields"] for hit in hits), column


_RARE = {"log.level", "event.action"}  # a line of a text log may have neither


@pytest.mark.parametrize("rule", build.rules(), ids=lambda rule: rule["payload"]["name"])
def test_an_alert_rule_finds_what_its_threshold_is_about(rule: dict[str, Any], shown: Shown) -> None:
    """As Kibana asks: records of the window before now, by the rule's own time, one count for each group."""
    params = rule["payload"]["params"]
    window = {"range": {params["timeField"]: {"gte": f"now-{params['timeWindowSize']}m"}}}
    asked = json.loads(params["esQuery"])["query"]
    rule_and_subject = {
        "rules": {"terms": {"field": "rule.name"}, "aggs": {"subjects": {"terms": {"field": "rq.alert.subject"}}}}
    }
    answer = shown.search.search(
        index=",".join(shown.indices(one) for one in params["index"]),
        size=0,
        track_total_hits=True,
        query=dated({"bool": {"filter": [asked, window]}}, shown.day.now),
        aggs=rule_and_subject if "termField" in params else None,
    )
    if rule["payload"]["name"] == "RQ: the watch opened an alarm":
        # The one that was noticed two minutes ago, though it is so since 21; not the one that is over.
        assert params["termField"] == ["rule.name", "rq.alert.subject"]
        found = [
            (one["key"], subject["key"], subject["doc_count"])
            for one in answer["aggregations"]["rules"]["buckets"]
            for subject in one["subjects"]["buckets"]
        ]
        assert found == [("oldest_job", "mails", 1)]
        assert (params["thresholdComparator"], params["threshold"]) == (">", [0])
    else:
        seen = [one for one in shown.day.of("rq.redis") if one.before_now <= 60 * params["timeWindowSize"]]
        assert answer["hits"]["total"]["value"] == len(seen) > 0
        assert (params["thresholdComparator"], params["threshold"]) == ("<", [1])


def test_a_command_to_copy_is_one_command_whatever_the_names_hold(shown: Shown) -> None:
    (states,) = [one for one in of_type("index-pattern") if one["id"] == "rqship-view-states"]
    odd = "a'; touch b #\n\x1b[201~ $(c)"
    index = f"rq-state-odd-{shown.namespace}"
    try:
        shown.search.index(index=index, document={"state": "dead", "job_type": odd, "queue": "two words"}, refresh=True)
        answer = shown.search.search(
            index=index, body={"runtime_mappings": computed(states), "fields": ["run_again_queue"], "_source": False}
        )
    finally:
        shown.search.indices.delete(index=index, ignore_unavailable=True)
    ((command,),) = [hit["fields"]["run_again_queue"] for hit in answer["hits"]["hits"]]
    harmless = odd.replace("\n", "?").replace("\x1b", "?")
    assert shlex.split(command) == [
        "shipper", "jobs", "--queue", "two words", "--function", harmless, "--requeue"
    ]  # fmt: skip


@pytest.mark.parametrize("one", [one for one in LENS if annotations_of(one)], ids=lambda one: one.name)
def test_a_chart_is_annotated_with_each_alarm_and_each_act_of_an_operator(one: Placed, shown: Shown) -> None:
    found = {}
    for layer in annotations_of(one):
        (mark,) = layer["annotations"]
        answer = shown.search.search(
            index=shown.indices(annotated_view(one, layer)["attributes"]["title"]),
            query=query_of(mark["filter"]["query"]),
            fields=[mark["textField"]],
            source=False,
        )
        found[layer["layerId"]] = sorted(hit["fields"][mark["textField"]][0] for hit in answer["hits"]["hits"])
    opened = [one for one in shown.day.of("rq.alert") if one.action == "alarm-opened"]
    acts = [one for one in shown.day.of("rq.audit") if operator(one)]
    assert found == {
        "alarms": sorted(one.status["rule"] for one in opened if one.status),
        "operators": sorted(str(one.action) for one in acts),
    }
