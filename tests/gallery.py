"""`make gallery`: pictures of what Kibana shows of the known day, which has no names of real people.

With KIBANA_URL and ELASTICSEARCH_URL set, each page in headless Chromium, 1600 and 1280 pixels wide. Without Kibana,
only the panels that Vega draws: Vega itself draws them, from what Elasticsearch answers, without Kibana's frame.
"""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from tests import known_day, vega
from tests.known_day import Shown
from tests.programs import ROOT
from tests.saved_objects import Placed, of_type, spec_of, vega_panels

FOLDER = ROOT / "docs/pictures/kibana"
WIDTHS = (1600, 1280)
JOB = {"term": {"messaging.message.id": "job-02"}}
PX_PER_COLUMN, PX_PER_ROW = 24, 28
# What stands on several pages is drawn once.
PANELS = {
    "RQ: one job / What became of it?": "one-job",
    "RQ: one job / Its attempts: waiting and running, to scale": "attempts",
    "RQ: releases / What became slower? (p95 of durations, the worst change first)": "slower",
    "RQ: releases / What fails more? (failure rate, the worst change first)": "fails-more",
    "RQ: releases / Which errors were first seen since the last release?": "new-errors",
    "RQ: overview / Meanwhile: alarms, what operators did, and releases": "meanwhile",
}


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


def pages(kibana: str) -> list[Path]:
    """Take a picture of each page of a Kibana that has the objects and the known day. Returns the files."""
    from tests.acceptance.test_kibana import HEAD_PX, PX_PER_UNIT, browse
    from tests.saved_objects import panels as placed

    FOLDER.mkdir(parents=True, exist_ok=True)
    files = []
    for page in of_type("dashboard"):
        rows = max(one.panel["gridData"]["y"] + one.panel["gridData"]["h"] for one in placed() if one.page is page)
        for width in WIDTHS:
            files.append(FOLDER / f"{page['id'].removeprefix('rqship-dashboard-')}-{width}.png")
            url = f"{kibana}/app/dashboards#/view/{page['id']}"
            browse(url, HEAD_PX + PX_PER_UNIT * rows, f"--screenshot={files[-1]}", width=width)
    return files


def main() -> None:
    if kibana := os.environ.get("KIBANA_URL"):
        files = pages(kibana.rstrip("/"))
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
