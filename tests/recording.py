"""This process writes records, too: what a test enqueues by itself."""

from __future__ import annotations

import pytest

from shipper import settings
from shipper.emit.events import Observers, observers
from shipper.emit.recorder import Recorder
from tests.programs import Programs


def record_here(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing but a recorder observe this process, which is instrumented. It writes to the test's file."""
    only = Observers()
    only.add(Recorder(settings.load(environment=programs.environment)))
    monkeypatch.setattr(observers, "_hooks", only._hooks)
