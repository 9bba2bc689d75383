"""A Django application in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper.audit import api as audit
from tests import django_shop
from tests.trail import records_in, trail_in


class Shop:
    """The audit records of one test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._forgotten = 0

    def every_record(self) -> list[dict[str, Any]]:
        return records_in(self.folder) if (self.folder / "records.jsonl").exists() else []

    def records(self) -> list[dict[str, Any]]:
        """Those since `forget`."""
        return self.every_record()[self._forgotten :]

    def actions(self) -> list[str]:
        return [record["event"]["action"] for record in self.records()]

    def changes(self) -> list[tuple[str, Any]]:
        """(action, changes) of each."""
        return [(record["event"]["action"], record["audit"].get("changes")) for record in self.records()]

    def forget(self) -> None:
        self._forgotten = len(self.every_record())


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Django is set up, its tables are empty, and what is audited goes to this test's file."""
    django_shop.set_up()
    for variable in [name for name in os.environ if name.startswith("SHIPPER_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setattr(audit, "_trail", trail_in(tmp_path))
    yield Shop(tmp_path)
    django_shop.empty_tables()
