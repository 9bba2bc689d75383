"""docs/kibana.md says which panel of which page answers a question: there has to be such a panel."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from tests.programs import ROOT
from tests.saved_objects import of_type, panels

HEADING = "### Twelve questions of somebody on call"


class Question(NamedTuple):
    question: str
    page: str
    panel: str


def questions() -> list[Question]:
    text = (ROOT / "docs/kibana.md").read_text(encoding="utf-8").partition(HEADING)[2]
    table = [line for line in text.partition("\n- ")[0].splitlines() if line.startswith("|")]
    return [Question(*(cell.strip() for cell in line.strip("|").split("|"))) for line in table[2:]]


def labels() -> dict[str, str]:
    """What the links call a page → its title."""
    (first, *_) = of_type("dashboard")
    links = {
        link["label"]: one.reference(link["destinationRefName"])["id"]
        for one in panels("links")
        if one.page is first
        for link in one.attributes["links"]
    }
    titles = {page["id"]: page["attributes"]["title"] for page in of_type("dashboard")}
    return {label: titles[identifier] for label, identifier in links.items()}


def test_there_are_twelve_questions() -> None:
    assert len(questions()) == 12
    assert len({one.question for one in questions()}) == 12


@pytest.mark.parametrize("one", questions(), ids=lambda one: one.question)
def test_a_question_is_answered_by_a_panel_that_there_is(one: Question) -> None:
    names = {placed.name for placed in panels()}
    assert f"{labels()[one.page]} / {one.panel}" in names


# What is seen of a page on a screen of 1280 x 900 pixels without scrolling, in units of the grid: Kibana's own rows and
# the controls take 245 pixels, a unit takes 28.
SEEN = (900 - 245) // 28
READABLE = 4  # units of a panel: its title and its first row


@pytest.mark.parametrize("one", questions(), ids=lambda one: one.question)
def test_a_question_is_answered_without_scrolling(one: Question) -> None:
    (panel,) = [placed for placed in panels() if placed.name == f"{labels()[one.page]} / {one.panel}"]
    grid = panel.panel["gridData"]
    assert grid["y"] + min(grid["h"], READABLE) <= SEEN


def test_every_page_is_described() -> None:
    described = (ROOT / "docs/kibana.md").read_text(encoding="utf-8")
    for label in labels():
        assert f"\n| {label} | " in described, label


# What stands first on a page, below links and tiles.
FIRST = {
    "RQ: one job": "What became of it?",
    "RQ: one customer": "What they did, and what was done for them (audit)",
    "RQ: releases": "What became slower? (p95 of durations, the worst change first)",
    "RQ: queues now": "Each queue now",
    "RQ: workers": "What runs now, and for how long compared with its function's p95 of 7 days? (now)",
    "RQ: cron jobs": "Each cron job now",
}


@pytest.mark.parametrize(("page", "title"), FIRST.items())
def test_a_page_begins_with_what_it_is_asked_first(page: str, title: str) -> None:
    below = [
        one
        for one in panels()
        if one.page["attributes"]["title"] == page
        and one.panel["type"] != "links"
        and not (one.panel["type"] == "lens" and one.attributes["visualizationType"] == "lnsMetric")
    ]
    first = min(below, key=lambda one: (one.panel["gridData"]["y"], one.panel["gridData"]["x"]))
    assert first.name == f"{page} / {title}"
