"""A short soak each time: nothing lost, nothing doubled, and something happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import soak

pytestmark = pytest.mark.slow


def test_half_a_minute_of_everything_loses_and_doubles_nothing(tmp_path: Path) -> None:
    report = soak.soak(25, 20261121, tmp_path, least={"kill": 6, "faults": 21}, least_written=5000)
    assert (report.lost, report.doubled) == (0, 0), str(report)
    assert report.written == report.indexed + report.dead
    assert report.dead > 0
    assert report.done["kill"] > 5
    assert report.done["faults"] > 20
