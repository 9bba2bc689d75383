"""The dashboards in a real Kibana, seen through a real browser.

Needs a Kibana without security (KIBANA_URL), the Elasticsearch that it asks (ELASTICSEARCH_URL), and Chromium. Where no
containers run there is no Kibana, so without KIBANA_URL this is skipped; with it, everything else has to be there.

    docker compose up -d elasticsearch kibana
    KIBANA_URL=http://127.0.0.1:5601 ELASTICSEARCH_URL=http://127.0.0.1:9200 \
        .venv/bin/python -m pytest tests/acceptance/test_kibana.py

Screenshots are left in .run/kibana/.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from tests import kibana_browser
from tests.kibana_browser import Shown
from tests.programs import ROOT
from tests.saved_objects import of_type, panels, vega_panels, view_of_search

PICTURES = ROOT / ".run/kibana"
WIDTH = 1280

# What a panel that failed or found nothing leaves in the page, by Kibana's own marks and words.
TROUBLE = re.compile(
    r"No results found|Error loading|An error occurred|Could not find the data view|"
    r'data-test-subj="embeddable(?:Stack)?Error|data-test-subj="embeddable-lens-failure|'
    r'data-render-complete="false"',
    re.IGNORECASE,
)


def troubles(page: str) -> set[str]:
    """The signs of trouble in a page's final HTML."""
    return {found.group() for found in TROUBLE.finditer(page)}


def test_signs_of_trouble_are_seen_in_a_page() -> None:
    assert troubles('<div data-render-complete="true"><h2>Dead jobs now</h2> 6</div>') == set()
    assert troubles('<div data-render-complete="true"><p>No results found</p></div>') == {"No results found"}
    assert troubles('<div data-test-subj="embeddableStackError">') == {'data-test-subj="embeddableStackError'}


@pytest.fixture(scope="module")
def kibana_url() -> str:
    url = os.environ.get("KIBANA_URL")
    if not url:
        pytest.skip("no Kibana is here: set KIBANA_URL, and ELASTICSEARCH_URL to the Elasticsearch that it asks")
    assert "ELASTICSEARCH_URL" in os.environ, "set ELASTICSEARCH_URL to the Elasticsearch that this Kibana asks"
    return url


@pytest.fixture(scope="module")
def shown(kibana_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A Kibana with the dashboards, over an Elasticsearch with a known day."""
    elasticsearch = os.environ["ELASTICSEARCH_URL"]
    with kibana_browser.known_day_in(kibana_url, elasticsearch, tmp_path_factory.mktemp("kibana")) as found:
        yield found


@pytest.fixture(scope="module")
def page(shown: Shown) -> Iterator[Page]:
    with kibana_browser.browser() as opened:
        yield opened


@pytest.mark.parametrize("one", of_type("dashboard"), ids=lambda one: one["attributes"]["title"])
def test_a_dashboard_opens_without_an_error_or_an_empty_panel(one: dict[str, Any], shown: Shown, page: Page) -> None:
    shown.fresh()
    placed = [panel for panel in panels() if panel.page is one]
    kibana_browser.open_page(page, kibana_browser.address(shown.url, one), len(placed), WIDTH)
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{one['id']}.png")
    html = page.content()
    for panel in placed:
        if title := panel.panel["embeddableConfig"].get("title"):
            assert title in html.replace("&amp;", "&"), title
    assert troubles(html) == set()
    below = page.evaluate(
        "[...document.querySelectorAll('.vgaVis__view svg')].map("
        "svg => svg.getBoundingClientRect().bottom - svg.closest('.vgaVis').getBoundingClientRect().bottom)"
    )
    assert len(below) == sum(1 for panel in vega_panels() if panel.page is one)
    assert [one for one in below if one > 0] == [], "a drawing is higher than its panel"


def test_the_page_of_one_job_shows_the_jobs_that_it_has_enqueued(shown: Shown, page: Page) -> None:
    """By a field that the search computes in place of a mapped one, with what is chosen in the control."""
    shown.fresh()
    (one,) = [found for found in of_type("dashboard") if found["id"].endswith("-job")]
    there = sum(1 for panel in panels() if panel.page is one)
    kibana_browser.open_page(page, kibana_browser.address(shown.url, one), there, WIDTH)
    said = page.locator('[aria-label^="job-03: "]')
    assert said.get_attribute("aria-label") == "job-03: shop.charge_card, canceled, enqueued by job-02"


@pytest.mark.parametrize("search", of_type("search"), ids=lambda one: one["attributes"]["title"])
def test_a_saved_search_opens_with_its_range_and_finds_something(
    search: dict[str, Any], shown: Shown, page: Page
) -> None:
    shown.fresh()
    kibana_browser.open_search(page, f"{shown.url}/app/discover#/view/{search['id']}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{search['id']}.png")
    assert troubles(page.content()) == set()
    headings = page.locator('[data-test-subj="discoverDocTable"] [role="columnheader"]').all_inner_texts()
    labels = json.loads(view_of_search(search)["attributes"]["fieldAttrs"])
    expected = [labels[name]["customLabel"] for name in search["attributes"]["columns"]]
    assert [one.strip() for one in headings][-len(expected) :] == expected
