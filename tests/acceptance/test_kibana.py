"""The dashboards in a real Kibana, seen through a real browser.

Needs a Kibana without security (KIBANA_URL), the Elasticsearch that it asks (ELASTICSEARCH_URL), and Chromium. Where no
containers run there is no Kibana, so without KIBANA_URL this is skipped; with it, everything else has to be there.

    docker compose up -d elasticsearch kibana
    KIBANA_URL=http://127.0.0.1:5601 ELASTICSEARCH_URL=http://127.0.0.1:9200 \
        .venv/bin/python -m pytest tests/acceptance/test_kibana.py

Screenshots are left in .run/kibana/.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shipper import settings
from tests import known_day
from tests.programs import ROOT, Programs, patient
from tests.saved_objects import of_type, panels

PICTURES = ROOT / ".run/kibana"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SETTLE_MS = 90_000  # of the page's own time, which Chromium lets run as fast as the answers come
LIMIT_S = 900
PX_PER_UNIT, HEAD_PX = 28, 400  # a unit of the grid's height with its margin; what stands above the grid

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
    return url.rstrip("/")


@pytest.fixture(scope="module")
def shown(kibana_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kibana with the dashboards, over an Elasticsearch with a known day."""
    address = os.environ["ELASTICSEARCH_URL"]
    environment = {
        "SHIPPER_LOG": str(tmp_path_factory.mktemp("kibana") / "records.jsonl"),
        "SHIPPER_ELASTICSEARCH": address,
        "SHIPPER_NAMESPACE": "pictures",
    }
    programs = Programs(environment, tmp_path_factory.mktemp("programs"))
    with patient(address) as search:
        day = known_day.made(datetime.now(UTC))
        known_day.index(day, search, settings.load(environment=environment))
        programs.run("shipper", "setup", "--kibana", kibana_url, "--rules")
        yield kibana_url
        for index in search.indices.get(index="rq-*-pictures*"):
            search.indices.delete(index=index)


def browse(url: str, height: int, *what: str, width: int = 1920) -> str:
    """What headless Chromium prints of a page, in the end."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert browser, f"none of {', '.join(BROWSERS)} is installed"
    done = subprocess.run(
        [
            browser,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            f"--window-size={width},{height}",
            f"--virtual-time-budget={SETTLE_MS}",
            *what,
            url,
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize("page", of_type("dashboard"), ids=lambda page: page["attributes"]["title"])
def test_a_dashboard_opens_without_an_error_or_an_empty_panel(page: dict[str, Any], shown: str) -> None:
    url = f"{shown}/app/dashboards#/view/{page['id']}"
    placed = [one for one in panels() if one.page is page]
    grids = [one.panel["gridData"] for one in placed]
    height = HEAD_PX + PX_PER_UNIT * max(grid["y"] + grid["h"] for grid in grids)
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = Path(PICTURES / f"{page['id']}.png")
    browse(url, height, f"--screenshot={picture}")
    html = browse(url, height, "--dump-dom")
    assert picture.stat().st_size > 0
    for one in placed:
        if title := one.panel["embeddableConfig"].get("title"):
            assert title in html.replace("&amp;", "&"), title
    assert troubles(html) == set()
