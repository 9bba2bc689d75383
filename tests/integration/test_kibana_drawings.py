"""Every Vega panel, asked of the real Elasticsearch on a known day and drawn by Vega, says what happened."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from kibana.drawings.job_story import again
from kibana.drawings.releases import NO_RELEASE
from kibana.vega import Drawing, mark
from tests import known_day, known_watch, vega
from tests.kibana_figures import attempted
from tests.known_day import RETRY_AFTER, Day, Happening, Shown
from tests.lens import dated
from tests.saved_objects import Placed, spec_of, vega_panels

pytestmark = pytest.mark.slow

DRAWINGS = vega_panels()
JOB, REPORT = "job-02", "shop.build_report"
WITH_MEANWHILE = ("overview", "failures", "releases", "one function", "one queue")
MEANWHILE = "Meanwhile: alarms, what operators did, and releases"
CHOSEN = {"RQ: one job": {"term": {"messaging.message.id": JOB}}}


@pytest.fixture(scope="module")
def shown(elasticsearch_url: str) -> Iterator[Shown]:
    with known_day.shown(elasticsearch_url) as found:
        yield found


def drawn(shown: Shown, one: Placed, *chosen: dict[str, Any]) -> list[str]:
    """What the marks of a panel say."""

    def ask(index: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(shown.search.search(index=shown.indices(index), body=dated(body, shown.day.now)).body)

    start = shown.day.start
    spec = vega.filled(spec_of(one), ask, start - timedelta(days=1), start + timedelta(days=1), chosen)
    return [said for said in vega.described(vega.picture(spec)) if not said.startswith(("X-axis", "Symbol legend"))]


def said(ms: float) -> str:
    """A time as the panels write it."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s" if ms < 60_000 else f"{ms / 60_000:.1f} min"


def of_job(day: Day, job: str) -> list[Happening]:
    return [one for one in day.of("rq.job") if one.job == job]


def attempts(day: Day) -> list[str]:
    """For each attempt its bars, and a line of text."""
    found = of_job(day, JOB)
    bars, lines = [], []
    for number, began in enumerate((one for one in found if one.action == "job-started"), start=1):
        ended = next(one for one in found if one.execution == began.execution and one.seconds)
        assert ended.seconds
        assert ended.action
        how, waited, ran = ended.action.removeprefix("job-"), said(began.lag_ms or 0), said(ended.seconds * 1000)
        bars += [f"waited: {waited}", f"{how}: {ran}"]
        if how == "retried":
            bars.append(f"paused until the next attempt: {said(RETRY_AFTER.total_seconds() * 1000)}")
        lines.append(f"Attempt {number}: waited {waited}, ran {ran}, {how} ({ended.error})")
    return [*bars, *lines]


def story(day: Day) -> list[str]:
    last = of_job(day, JOB)[-1]
    return [
        "dead",
        f"{last.error}: no luck",
        f"function: {last.function}",
        f"queue: {last.queue}",
        f"customer: {last.customer}",
        f"user: {last.user}",
        f"release: shop {last.version}",
        "worker: worker-1.1",
        "arguments: 33, currency=EUR",
        f"job: {JOB}",
        f"run it again: shipper job --requeue {JOB}",
        "Traceback …",
    ]


def relatives(day: Day) -> list[str]:
    """Each job that comes from the chosen one, or waits for it, by its last record."""
    last = {one.job: one for one in day.of("rq.job") if JOB in (one.parent, one.root)}
    assert JOB not in last
    return [
        f"{job}: {one.function}, {(one.action or '').removeprefix('job-')}, enqueued by {one.parent}"
        for job, one in last.items()
    ]


def by_release(day: Day) -> dict[str, dict[str, list[Happening]]]:
    """Attempts by function and version."""
    found: dict[str, dict[str, list[Happening]]] = {}
    for one in day.of("rq.job"):
        if attempted(one):
            found.setdefault(one.function or "", {}).setdefault(one.version or "", []).append(one)
    return found


def since(day: Day) -> datetime:
    return min(one.at for one in day.of("rq.job") if one.version == "1.1" and attempted(one))


def headline(day: Day) -> str:
    return f"shop 1.1, since {since(day):%b %d %H:%M}, against 1.0"


def compared(day: Day, change: Callable[[list[Happening], list[Happening]], str]) -> list[str]:
    return [headline(day)] + [
        f"{function}: {change(of['1.0'], of['1.1'])}, {len(of['1.0'])} and {len(of['1.1'])} executions"
        for function, of in by_release(day).items()
        if {"1.0", "1.1"} <= of.keys() and all(any(one.seconds for one in some) for some in of.values())
    ]


def slower(day: Day) -> list[str]:
    def p95(rows: list[Happening]) -> float:
        """In milliseconds, interpolated as Elasticsearch does between values that are so few."""
        return float(percentile(sorted(one.seconds * 1000 for one in rows if one.seconds), 0.95))

    def change(before: list[Happening], after: list[Happening]) -> str:
        return f"{said(p95(before))} → {said(p95(after))}, {100 * (p95(after) / p95(before) - 1):+.0f} %"

    return compared(day, change)


def percentile(values: list[float], share: float) -> float:
    """A percentile of a few values, which Elasticsearch interpolates between the two next to it."""
    at = share * (len(values) - 1)
    low = int(at)
    return values[low] + (values[min(low + 1, len(values) - 1)] - values[low]) * (at - low)


def fails_more(day: Day) -> list[str]:
    def rate(rows: list[Happening]) -> float:
        return sum(1 for one in rows if one.action != "job-finished") / len(rows)

    def change(before: list[Happening], after: list[Happening]) -> str:
        points = 100 * (rate(after) - rate(before))
        return f"{rate(before):.1%} → {rate(after):.1%}, {'+' if points > 0 else ''}{points:.1f} points"

    return compared(day, change)


def new_errors(day: Day) -> list[str]:
    lines = []
    of_errors: dict[str, list[Happening]] = {}
    for one in day.of("rq.job"):
        if one.error:
            of_errors.setdefault(one.error, []).append(one)
    for error, rows in of_errors.items():
        first = min(one.at for one in rows)
        if first >= since(day):
            jobs, customers = len({one.job for one in rows}), len({one.customer for one in rows} - {None})
            much = f"{jobs} job{'s' * (jobs != 1)}, {customers} customer{'s' * (customers != 1)}"
            after = said((first - since(day)).total_seconds() * 1000)
            lines.append(
                f"{error} in {', '.join(sorted({one.function or '' for one in rows}))}: {much}, {after} after shop 1.1"
            )
    return lines


def meanwhile(day: Day) -> list[str]:
    closed = {one.status["alarm"]: one for one in day.of("rq.alert") if one.status and one.status["state"] == "closed"}
    lines = []
    for one in day.of("rq.alert"):
        if one.status and one.status["state"] == "open":
            end = closed.get(one.status["alarm"])
            until = f"until {end.at:%H:%M}" if end else "open"
            lines.append(f"{one.status['rule']} {one.status['subject']}, {until}")
    acts = [f"{one.user}: {one.action} {one.resource_id}" for one in day.of("rq.audit") if one.actor == "operator"]
    return [*lines, *acts, "shop 1.1"]


def running(day: Day) -> list[str]:
    """The bar of the job that runs; for how long is a matter of now."""
    reports = [one.seconds * 1000 for one in day.of("rq.job") if one.function == REPORT and one.seconds]
    usual = said(percentile(sorted(reports), 0.95))
    return [f"{REPORT}: … (p95 {usual}), 40 % done, worker-1.1, job job-13"]


def fattest(day: Day) -> list[str]:
    def written(size: int) -> str:
        return f"{size}B" if size < 1024 else f"{size / 1024:.1f}KB"

    return [f"{function}: {written(size)}, {jobs} jobs" for function, (jobs, size, _) in known_watch.FATTEST.items()]


SAID: dict[str, Callable[[Day], list[str]]] = {
    "RQ: one job / What became of it?": story,
    "RQ: one job / Its attempts: waiting and running, to scale": attempts,
    "RQ: one job / Which jobs has it enqueued, or do wait for it?": relatives,
    "RQ: releases / What became slower? (p95 of durations, the worst change first)": slower,
    "RQ: releases / What fails more? (failure rate, the worst change first)": fails_more,
    "RQ: releases / Which errors were first seen since the last release?": new_errors,
    "RQ: workers / What runs now, and for how long compared with its function's p95 of 7 days? (now)": running,
    "RQ: Redis / Which functions' jobs fill it? (newest sample)": fattest,
    **{f"RQ: {page} / {MEANWHILE}": meanwhile for page in WITH_MEANWHILE},
    "RQ: failures / Which errors were first seen since the last release?": new_errors,
}


@pytest.mark.parametrize("one", DRAWINGS, ids=lambda one: one.name)
def test_a_drawing_says_what_follows_from_the_day(one: Placed, shown: Shown) -> None:
    page = one.page["attributes"]["title"]
    chosen = [CHOSEN[page]] if page in CHOSEN else []
    found = [re.sub(r"(?<=: )[0-9.]+ (ms|s|min|h)(?= \(p95)", "…", text) for text in drawn(shown, one, *chosen)]
    assert sorted(found) == sorted(SAID[one.name](shown.day))


def test_there_is_no_expectation_without_a_drawing() -> None:
    assert {one.name for one in DRAWINGS} == set(SAID)


def test_a_page_about_one_job_says_so_where_none_is_chosen(shown: Shown) -> None:
    for one in DRAWINGS:
        if one.page["attributes"]["title"] == "RQ: one job":
            assert "".join(drawn(shown, one)) == ""


@pytest.mark.parametrize("one", DRAWINGS, ids=lambda one: one.name)
def test_a_drawing_of_an_empty_installation_is_drawn_and_says_nothing_happened(one: Placed, shown: Shown) -> None:
    nobody_s = Shown(shown.day, shown.search, "nobody-s")
    assert "".join(drawn(nobody_s, one)).strip() in ("", NO_RELEASE)


@pytest.mark.parametrize("job", ["3f2b8c1e-6d3a", "-x", "a'; touch b; '", "$(touch b) `c`", "two words", "über"])
def test_the_command_that_runs_a_job_again_is_one_command_whatever_its_id_holds(job: str) -> None:
    spec = Drawing(
        title="command",
        data=[{"name": "jobs", "values": [{"id": job}]}],
        marks=[mark("text", "jobs", text=again("datum.id"), description=again("datum.id"))],
    ).spec()
    spec["config"].pop("kibana")
    (command,) = vega.described(vega.picture(spec))
    words = [word for word in shlex.split(command) if word != "--"]
    assert words == ["shipper", "job", "--requeue", job]
