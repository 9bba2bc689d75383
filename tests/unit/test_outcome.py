"""What the answer to each document means."""

from __future__ import annotations

import pytest

from shipper.ship.batch import Item
from shipper.ship.document import Document
from shipper.ship.outcome import BrokenAnswer, judge

ITEM = Item(Document(b"{}", b"{}"), b"{}", "/log", 7)


def answered(*results: dict[str, object]) -> dict[str, object]:
    return {"errors": True, "items": [{"create": result} for result in results]}


def error(status: int, kind: str = "some_exception") -> dict[str, object]:
    return {"status": status, "error": {"type": kind, "reason": "why"}}


def test_created_and_there_already_are_both_done() -> None:
    outcome = judge([ITEM] * 2, answered({"status": 201}, error(409, "version_conflict_engine_exception")))
    assert (outcome.done, outcome.doubled, outcome.again, outcome.dead) == (2, 1, [], [])


def test_states_are_not_counted_as_records() -> None:
    state = Item(Document(b"{}", b"{}", is_record=False), b"{}", "/log", 7)
    answer = {"errors": True, "items": [{"create": {"status": 201}}, {"index": {"status": 409}}]}
    assert (judge([ITEM, state], answer).done, judge([ITEM, state], answer).doubled) == (1, 0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "es_rejected_execution_exception"),
        (500, "some_exception"),
        (503, "unavailable_shards_exception"),
        (403, "cluster_block_exception"),
        (403, "security_exception"),
        (401, "security_exception"),
        (404, "index_not_found_exception"),
        (400, "index_closed_exception"),
        (400, "validation_exception"),
    ],
)
def test_what_may_pass_is_tried_again(status: int, kind: str) -> None:
    outcome = judge([ITEM], answered(error(status, kind)))
    assert outcome.again == [ITEM]
    assert kind in outcome.trouble


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "document_parsing_exception"), (400, "illegal_argument_exception"), (413, "too_large")],
)
def test_what_is_the_document_s_fault_is_a_dead_letter(status: int, kind: str) -> None:
    outcome = judge([ITEM], answered(error(status, kind)))
    (letter,) = outcome.dead
    assert (letter.status, letter.line, letter.path, letter.offset) == (status, b"{}", "/log", 7)
    assert kind in letter.reason


def test_one_document_s_fate_is_not_its_neighbour_s() -> None:
    outcome = judge([ITEM] * 3, answered({"status": 201}, error(400), error(429)))
    assert (outcome.done, len(outcome.dead), len(outcome.again)) == (1, 1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "ok",
        {},
        {"items": {}},
        answered(),
        answered({}, {}),
        {"items": [{"create": "ok"}]},
        {"items": ["ok"]},
        answered({"status": "x"}),
    ],
)
def test_an_answer_that_does_not_match_is_not_believed(answer: object) -> None:
    with pytest.raises(BrokenAnswer):
        judge([ITEM], answer)
