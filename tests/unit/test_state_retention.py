"""Deleting states: what is asked for, and that no answer of a server ends a shipper."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shipper import settings
from shipper.errors import DestinationError, Refused
from shipper.index import state_retention

NOW = datetime(2026, 11, 26, tzinfo=UTC)
SETTINGS = settings.load(environment={"XDG_STATE_HOME": "/s", "SHIPPER_RETENTION": "job=30,state=10"})


class Answering:
    """A cluster that gives these answers, one after the other."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.asked = list(answers), []  # type: ignore[var-annotated]

    def post(self, path: str, body: Any) -> Any:
        self.asked.append((path, body))
        return self.answers.pop(0)

    def get(self, path: str) -> Any:
        self.asked.append((path, None))
        return self.answers.pop(0)


def test_only_ended_states_past_their_days_are_asked_for() -> None:
    cluster = Answering({"task": "one:1"})
    assert state_retention.begin(cluster, SETTINGS, NOW) == "one:1"  # type: ignore[arg-type]
    ((path, body),) = cluster.asked
    assert path.startswith("/rq-state-default/_delete_by_query?")
    ended, before = body["query"]["bool"]["filter"]
    assert not {"queued", "started", "scheduled", "deferred", "retrying"} & set(ended["terms"]["state"])
    assert before == {"range": {"updated_at": {"lt": "2026-11-16T00:00:00.000000Z"}}}


def test_waiting_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_retention, "POLL_EVERY_S", 0)
    seen: list[tuple[int, int]] = []
    cluster = Answering(
        {"completed": False, "task": {"status": {"deleted": 5, "total": 9}}},
        {"completed": True, "task": {"status": {"deleted": 9, "total": 9}}, "response": {"failures": []}},
    )
    assert state_retention.wait(cluster, "one:1", lambda *so_far: seen.append(so_far)) == 9  # type: ignore[arg-type]
    assert seen == [(5, 9), (9, 9)]


@pytest.mark.parametrize("odd", [{}, {"task": None}, {"errors": False, "items": []}, {"task": {}}])
def test_an_odd_answer_is_an_error_that_a_shipper_survives(odd: Any) -> None:
    with pytest.raises(DestinationError, match="began no deletion"):
        state_retention.begin(Answering(odd), SETTINGS, NOW)  # type: ignore[arg-type]


def test_a_pruner_s_key_from_before_is_told_how_to_be_replaced() -> None:
    class Refusing(Answering):
        def post(self, path: str, body: Any) -> Any:
            raise Refused("no", 403)

    with pytest.raises(Refused, match="delete its file, and run `shipper setup --roles` again"):
        state_retention.begin(Refusing(), SETTINGS, NOW)  # type: ignore[arg-type]


def test_failures_are_told() -> None:
    failed = {"completed": True, "task": {"status": {"deleted": 1}}, "response": {"failures": [{"cause": "disk"}]}}
    for answer in (failed, {"completed": True, "error": {"type": "x"}}, None):
        with pytest.raises(DestinationError):
            state_retention.wait(Answering(answer), "one:1")  # type: ignore[arg-type]
