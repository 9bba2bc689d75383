"""Every Vega panel, asked of the real Elasticsearch on a known day and drawn by Vega, says what happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests import known_day, vega
from tests.known_day import RETRY_AFTER, Day, Happening, Shown
from tests.saved_objects import Placed, spec_of, vega_panels

pytestmark = pytest.mark.slow

DRAWINGS = vega_panels()
JOB = "job-02"
CHOSEN = {"RQ: one job": {"term": {"messaging.message.id": JOB}}}


@pytest.fixture(scope="module")
def shown(elasticsearch_url: str) -> Iterator[Shown]:
    with known_day.shown(elasticsearch_url) as found:
        yield found


def drawn(shown: Shown, one: Placed, *chosen: dict[str, Any]) -> list[str]:
    """What the marks of a panel say."""

    def ask(index: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(shown.search.search(index=shown.indices(index), body=body).body)

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


SAID: dict[str, Callable[[Day], list[str]]] = {
    "RQ: one job / What became of it?": story,
    "RQ: one job / Its attempts: waiting and running, to scale": attempts,
}


@pytest.mark.parametrize("one", DRAWINGS, ids=lambda one: one.name)
def test_a_drawing_says_what_follows_from_the_day(one: Placed, shown: Shown) -> None:
    page = one.page["attributes"]["title"]
    chosen = [CHOSEN[page]] if page in CHOSEN else []
    assert sorted(drawn(shown, one, *chosen)) == sorted(SAID[one.name](shown.day))


def test_there_is_no_expectation_without_a_drawing() -> None:
    assert {one.name for one in DRAWINGS} == set(SAID)


def test_a_page_about_one_job_says_so_where_none_is_chosen(shown: Shown) -> None:
    for one in DRAWINGS:
        if one.page["attributes"]["title"] == "RQ: one job":
            assert "".join(drawn(shown, one)) == ""
