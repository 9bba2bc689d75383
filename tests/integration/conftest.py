"""A queue that is watched."""

from __future__ import annotations

import pytest
import redis
from rq import Queue

import shipper
from shipper import settings
from shipper.emit.events import observers
from shipper.emit.recorder import Recorder
from tests.programs import Programs


@pytest.fixture
def queue(connection: redis.Redis, programs: Programs, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue of this process, which is instrumented and writes to this test's file."""
    shipper.instrument()
    recorder = Recorder(settings.load(environment=programs.environment))
    monkeypatch.setattr(observers, "_all", [recorder])
    return Queue("letters", connection=connection)
