"""What Vega panels ask for and draw, on answers that are given here."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kibana.drawings.job_story import ATTEMPTS
from kibana.words import ATTEMPTED_ACTIONS, FAILED_ACTIONS, attempts_query
from tests import vega
from tests.saved_objects import Placed, spec_of, vega_panels

LOWEST = 7  # units: the drawing fits, although Kibana takes the box for 153 pixels high at first
LINE_PX = 6  # by which a line of text is higher than an SVG in it, at most
START = datetime(2026, 11, 21, 3, 17, tzinfo=UTC)


@pytest.mark.parametrize("one", vega_panels(), ids=lambda one: one.name)
def test_no_search_takes_an_expired_job_for_a_failed_attempt(one: Placed) -> None:
    asked = json.dumps([source["url"]["body"] for source in spec_of(one)["data"] if "url" in source])
    for actions in (ATTEMPTED_ACTIONS, FAILED_ACTIONS):
        asked = asked.replace(json.dumps(attempts_query(actions)), "")
    assert '"job-dead"' not in asked


def test_an_attempt_that_a_critical_section_put_back_has_ended() -> None:
    def hit(second: float, action: str, execution: str | None, **rq: Any) -> dict[str, Any]:
        at = (START + timedelta(seconds=second)).isoformat()
        known = {"execution_id": execution} if execution else {}
        return {"_source": {"@timestamp": at, "event": {"action": action}, "rq": {"attempt": 1, **known, **rq}}}

    started, again = START + timedelta(seconds=3), START + timedelta(seconds=9)
    busy = hit(4, "job-busy", "e1", started_at=started.isoformat(), retry_at=again.isoformat())
    hits = [hit(0, "job-enqueued", None), hit(3, "job-started", "e1", lag_ms=3000), busy]
    answer = {"aggregations": {"jobs": {"value": 1}}, "hits": {"hits": hits}}
    spec = vega.filled(ATTEMPTS.spec(), lambda *_: answer, START, again)
    said = [text for text in vega.described(vega.picture(spec)) if ":" in text]
    assert "Attempt 1: waited 3.0 s, ran 1.0 s, busy" in said
    assert "busy: 1.0 s" in said
    assert not [text for text in said if "still running" in text or text.startswith("running")]


@pytest.mark.parametrize("one", vega_panels(), ids=lambda one: one.name)
def test_a_drawing_is_lower_than_its_box(one: Placed) -> None:
    """Else Kibana makes the box higher at each drawing, and the lower end, with its axis, lies outside of the panel."""
    spec = vega.filled(spec_of(one), lambda *_: {"hits": {"hits": []}}, START, START + timedelta(hours=1))
    assert one.panel["gridData"]["h"] >= LOWEST
    width, height = 600, 300
    svg = vega.picture(spec, (width, height))
    drawn = re.search(r'width="(\d+)" height="(\d+)"', svg)
    assert drawn
    assert int(drawn[1]) <= width
    assert int(drawn[2]) <= height - LINE_PX
