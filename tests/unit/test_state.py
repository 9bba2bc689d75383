"""The state of a job: whatever the order of its records, the last word is the true one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.state import state_from_mapping

GOLDEN = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent.parent / "golden").iterdir()}
FIRST_PUSH, SECOND_PUSH = "2026-11-21T03:17:30.000250Z", "2026-11-21T03:18:31.600000Z"


def record(action: str, *, pushed: str | None = FIRST_PUSH, **rq: Any) -> dict[str, Any]:
    made = json.loads(json.dumps(GOLDEN[action]))
    made["rq"] |= rq
    made["rq"].pop("enqueued_at", None)
    if pushed:
        made["rq"]["enqueued_at"] = pushed
    return made  # type: ignore[no-any-return]


ABANDONED = record("job-dead-killed", inferred=True)
# In the order of their truth: whichever of two were seen, the later in this list has the last word.
LIFE = [
    ("deferred", record("job-deferred", pushed=None)),
    ("queued", record("job-enqueued")),
    ("started", record("job-started")),
    ("retrying", record("job-retried")),
    ("scheduled", record("job-scheduled")),
    ("queued", record("job-enqueued", pushed=SECOND_PUSH)),
    ("started", record("job-started", pushed=SECOND_PUSH)),
    ("dead", ABANDONED | {"rq": ABANDONED["rq"] | {"enqueued_at": SECOND_PUSH}}),
    ("finished", record("job-finished", pushed=SECOND_PUSH)),
]


@given(st.permutations(LIFE), st.lists(st.sampled_from(LIFE)))
def test_any_order_and_any_doubling_ends_in_the_truth(order: list[Any], doubled: list[Any]) -> None:
    kept: tuple[int, str] = (0, "")
    for _, each in [*order, *doubled]:
        state = state_from_mapping(each, "shop")
        assert state is not None
        if state.version > kept[0]:
            kept = (state.version, json.loads(state.source)["state"])
    assert kept[1] == "finished"


@given(st.lists(st.sampled_from(range(len(LIFE))), min_size=1))
def test_of_what_arrived_the_truest_is_kept(seen: list[int]) -> None:
    versions = {at: state_from_mapping(LIFE[at][1], "shop").version for at in seen}  # type: ignore[union-attr]
    assert max(versions, key=lambda at: versions[at]) == max(seen)


def test_a_version_is_one_that_elasticsearch_can_hold() -> None:
    state = state_from_mapping(LIFE[-1][1], "shop")
    assert state is not None
    assert 0 < state.version < 2**63


@pytest.mark.parametrize("name", GOLDEN)
def test_every_golden_record_tells_a_state(name: str) -> None:
    state = state_from_mapping(GOLDEN[name], "shop")
    assert state is not None
    assert state.job_id == GOLDEN[name]["messaging"]["message"]["id"]
    document = json.loads(state.source)
    assert (document["job_type"], document["family"], document["queue"]) == (
        "shop.jobs.charge_card",
        "shop.jobs",
        "payments",
    )
    assert document["user"] == {"id": "bob"}


def test_the_last_error_is_told_without_its_trace() -> None:
    state = state_from_mapping(GOLDEN["job-dead"], "shop")
    assert state is not None
    assert json.loads(state.source)["error"] == {"type": "shop.jobs.CardDeclined", "message": "order 33 declined"}


@pytest.mark.parametrize("broken", [{}, {"event": 1}, {"event": {}}, GOLDEN["job-dead"] | {"rq": {"enqueued_at": "x"}}])
def test_what_is_not_as_ours_tells_no_state(broken: dict[str, Any]) -> None:
    assert state_from_mapping(broken, "shop") is None
