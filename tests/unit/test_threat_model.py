"""docs/audit.md says of each attack that the tests try what finds it, and of none that they do not try."""

from __future__ import annotations

from pathlib import Path

from tests.attacks import ATTACKS

DOCS = Path(__file__).parent.parent.parent / "docs/audit.md"


def test_the_threat_model_has_the_attacks_that_are_tried() -> None:
    text = DOCS.read_text(encoding="utf-8")
    table = text.split("| who has |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    assert table == [attack.row for attack in ATTACKS]
