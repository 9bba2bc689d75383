"""`make gallery`: pictures of what Kibana shows of the known day, which has no names of real people.

With KIBANA_URL and ELASTICSEARCH_URL set, it puts the day and the objects there, and takes pictures of each page in
headless Chromium: whole ones, 1600 and 1280 pixels wide, and what a screen of 1280 x 900 shows of it first.
Without Kibana, only the panels that Vega draws: Vega itself draws them, from what Elasticsearch answers, without
Kibana's frame.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from tests import kibana_browser, known_day, saved_objects, vega
from tests.known_day import Shown
from tests.programs import ROOT
from tests.saved_objects import Placed, of_type, spec_of, vega_panels

FOLDER, WHOLE = ROOT / "docs/pictures/kibana", ROOT / ".run/kibana"
WIDTHS = (1600, 1280)
JOB = {"term": {"messaging.message.id": "job-02"}}
PX_PER_COLUMN, PX_PER_ROW = 24, 28
# What README shows.
PANELS = {"RQ: one job / Its attempts: waiting and running, to scale": "attempts"}


def draw(shown: Shown, one: Placed) -> str:
    """A Vega panel as SVG, of the size that it has on its page."""

    def ask(index: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(shown.search.search(index=shown.indices(index), body=body).body)

    chosen = [JOB] if "one job" in one.name else []
    until = shown.day.start + known_day.LASTS
    spec = vega.filled(spec_of(one), ask, until - timedelta(hours=3), until, chosen)
    grid = one.panel["gridData"]
    return vega.picture({**spec, "background": "white"}, (grid["w"] * PX_PER_COLUMN, grid["h"] * PX_PER_ROW))


def panels(address: str) -> list[Path]:
    """Draw the panels of PANELS. Returns the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    files = []
    with known_day.shown(address) as shown:
        for one in vega_panels():
            if one.name in PANELS:
                files.append(FOLDER / f"{PANELS[one.name]}.svg")
                files[-1].write_text(draw(shown, one) + "\n", encoding="utf-8")
    return files


def pages(kibana: str, elasticsearch: str) -> list[Path]:
    """Take pictures of each page of a Kibana, with the known day. Returns the files.

    What is seen first goes into FOLDER, whole pages into WHOLE, which is not committed.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    WHOLE.mkdir(parents=True, exist_ok=True)
    files = []
    with (
        tempfile.TemporaryDirectory() as folder,
        kibana_browser.known_day_in(kibana, elasticsearch, Path(folder)) as shown,
        kibana_browser.browser() as page,
    ):
        for one in of_type("dashboard"):
            shown.fresh()
            name = one["id"].removeprefix("rqship-dashboard-")
            there = sum(1 for placed in saved_objects.panels() if placed.page is one)
            kibana_browser.open_page(page, kibana_browser.address(shown.url, one), there, WIDTHS[0])
            for width in WIDTHS:
                kibana_browser.resize(page, width)
                files.append(WHOLE / f"{name}-{width}.png")
                page.screenshot(path=files[-1])
            files.append(FOLDER / f"{name}.png")
            page.screenshot(path=files[-1], clip={"x": 0, "y": 0, "width": width, "height": kibana_browser.SEEN_PX})
    return files


def main() -> None:
    if kibana := os.environ.get("KIBANA_URL"):
        files = pages(kibana, os.environ["ELASTICSEARCH_URL"])
    else:
        sys.stderr.write("No KIBANA_URL is set: only the panels that Vega draws.\n")
        server = None if "ELASTICSEARCH_URL" in os.environ else OwnElasticsearch()
        try:
            files = panels(server.url if server else os.environ["ELASTICSEARCH_URL"])
        finally:
            if server:
                server.stop()
    sys.stdout.write("".join(f"{one.relative_to(ROOT)}\n" for one in files))


if __name__ == "__main__":
    main()
