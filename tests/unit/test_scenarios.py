"""The table of others' stories in docs/shipping.md names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS = re.findall(r"^\| (\d+) \|.*\| (test_\w+) \|$", (ROOT / "docs/shipping.md").read_text(), re.MULTILINE)
TESTS = {
    name
    for file in (ROOT / "tests").rglob("test_*.py")
    for name in re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE)
}


def test_every_story_is_in_the_table() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 30))


@pytest.mark.parametrize("name", sorted({name for _, name in ROWS}))
def test_the_test_of_a_story_is_there(name: str) -> None:
    assert name in TESTS
