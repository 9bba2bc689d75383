"""Pages of a real Kibana in headless Chromium, as people see them: rendered to the end, in their whole length.

`known_day_in` puts the known day and the objects into a Kibana without security. What is true "now" is so for some
minutes only, so `fresh` puts a new day there when the one before has become old.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from elasticsearch import Elasticsearch
from playwright.sync_api import Page, sync_playwright

from kibana.dashboards.job import JOB_PAGE
from kibana.objects import controls
from kibana.objects.links import rison
from kibana.words import JOB
from shipper import settings
from stack.processes import wait_until
from tests import known_day
from tests.programs import Programs, patient

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LIMIT_MS = 300_000
NAMESPACE = "pictures"
OLD_S = 240  # gauges are of now for six minutes
SEEN_PX = 900  # the height of a common screen
JOB_SHOWN = "job-02"
SAFE = "(),:!'-_.*~"
_IN_WORK = (
    '[...document.querySelectorAll(\'[data-render-complete="false"], [data-loading], .euiLoadingChart, '
    '.euiLoadingSpinner, .echChartStatus[data-ech-render-complete="false"]\')].length'
)
_PANELS = "document.querySelectorAll('.react-grid-item').length"
_BOTTOM = (
    "Math.ceil(Math.max(...[...document.querySelectorAll('.react-grid-item')]"
    ".map(one => one.getBoundingClientRect().bottom + window.scrollY)) + 16)"
)


@dataclass
class Shown:
    """A Kibana with the objects and a known day. `url` has no slash at its end."""

    url: str
    search: Elasticsearch
    programs: Programs
    day_of: float = 0.0

    def fresh(self) -> None:
        """Put a day there that has just ended, unless it has."""
        if time.monotonic() - self.day_of < OLD_S:
            return
        self.clean()
        made = known_day.made(datetime.now(UTC))
        known_day.index(made, self.search, settings.load(environment=self.programs.environment))
        if not self.day_of:
            self.programs.run("shipper", "setup", "--kibana", self.url, "--rules")
        self.day_of = time.monotonic()

    def clean(self) -> None:
        for index in self.search.indices.get(index=f"rq-*-{NAMESPACE}*"):
            self.search.indices.delete(index=index)


@contextmanager
def known_day_in(kibana: str, elasticsearch: str, folder: Path) -> Iterator[Shown]:
    """`folder`: for files of the programs that are run."""
    environment = {
        "SHIPPER_LOG": str(folder / "records.jsonl"),
        "SHIPPER_ELASTICSEARCH": elasticsearch,
        "SHIPPER_NAMESPACE": NAMESPACE,
        "XDG_STATE_HOME": str(folder / "state"),
    }
    with patient(elasticsearch) as search:
        shown = Shown(kibana.rstrip("/"), search, Programs(environment, folder))
        try:
            yield shown
        finally:
            shown.clean()


def address(kibana: str, page: dict[str, Any]) -> str:
    """Of a dashboard that does not refresh itself; on the page about one job, one is chosen."""
    state = {"_g": {"refreshInterval": {"pause": True, "value": 60_000}}}
    if page["id"].endswith(f"dashboard-{JOB_PAGE.name}"):
        state["_a"] = controls.in_address(JOB_PAGE.name, JOB_PAGE.controls, JOB, JOB_SHOWN)
    written = "&".join(f"{name}={quote(rison(one), safe=SAFE)}" for name, one in state.items())
    return f"{kibana}/app/dashboards#/view/{page['id']}?{written}"


@contextmanager
def browser() -> Iterator[Page]:
    """An empty page of a browser."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    assert program, f"none of {', '.join(BROWSERS)} is installed"
    arguments = ["--disable-gpu", "--hide-scrollbars", *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        page = chromium.new_context(timezone_id="UTC", locale="en-GB", reduced_motion="reduce").new_page()
        page.set_default_timeout(LIMIT_MS)
        yield page
        chromium.close()


def open_page(page: Page, url: str, panels: int, width: int) -> None:
    """Open a dashboard with so many panels, and wait until all of it is drawn, at its whole height."""
    page.goto("about:blank")  # another `#` alone would leave the page as it is
    page.set_viewport_size({"width": width, "height": SEEN_PX})
    page.goto(url, wait_until="domcontentloaded")
    _until(page, f"{_PANELS} >= {panels}")
    resize(page, width)


def open_search(page: Page, url: str) -> None:
    """Open a saved search in Discover, and wait until its records and its chart are drawn."""
    page.goto("about:blank")
    page.set_viewport_size({"width": 1280, "height": SEEN_PX})
    page.goto(url, wait_until="domcontentloaded")
    page.wait_for_selector('[data-test-subj="discoverDocTable"] [role="gridcell"]')
    _until(page, f"{_IN_WORK} === 0")


def resize(page: Page, width: int) -> None:
    """Make the page so wide, and as high as it is, and wait until all of it is drawn again."""
    settled = 0
    while settled < 3:  # a panel begins a moment after the one before has ended
        height = max(SEEN_PX, int(page.evaluate(_BOTTOM)))
        if page.viewport_size != {"width": width, "height": height}:
            page.set_viewport_size({"width": width, "height": height})
            settled = 0
        _until(page, f"{_IN_WORK} === 0")
        page.wait_for_timeout(400)
        settled = settled + 1 if page.evaluate(_IN_WORK) == 0 else 0


def _until(page: Page, expression: str) -> None:
    """Wait until an expression is true. Kibana's pages forbid the text of a script, which the library would send."""
    wait_until(lambda: bool(page.evaluate(expression)), LIMIT_MS / 1000, expression, every_s=0.3)
