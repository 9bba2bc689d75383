"""A short storm of kills each time; `make soak` has one of 200."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.programs import LIMIT_S
from tests.warm import ROOT

pytestmark = pytest.mark.slow


def test_two_are_never_in_a_section_at_once_whoever_is_killed() -> None:
    command = [sys.executable, "-m", "tests.storm", "12", "20261126"]  # by itself, as what it kills are real processes
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3 * LIMIT_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "never two at once" in done.stdout
