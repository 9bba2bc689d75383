"""What the answer to each document means."""

from __future__ import annotations

import orjson
import pytest

from shipper.ship.bulk.response import BulkResponse, InvalidResponse, is_all_well, parse_bulk_response
from shipper.ship.reader.document import Document
from shipper.ship.reader.items import Item

ITEM = Item(Document(b"{}", b"{}"), b"{}", "/log", 7)


def parsed(items: list[Item], raw: bytes) -> BulkResponse:
    return parse_bulk_response(items, len(items), raw)


def answered(*results: dict[str, object]) -> bytes:
    return orjson.dumps({"errors": True, "items": [{"create": result} for result in results]})


def error(status: int, kind: str = "some_exception") -> dict[str, object]:
    return {"status": status, "error": {"type": kind, "reason": "why"}}


def test_created_and_there_already_are_both_done() -> None:
    outcome = parsed([ITEM] * 2, answered({"status": 201}, error(409, "version_conflict_engine_exception")))
    assert (outcome.done, outcome.duplicates, outcome.retryable, outcome.dead) == (2, 1, [], [])


def test_states_are_not_counted_as_records() -> None:
    state = Item(Document(b"{}", b"{}", is_record=False), b"{}", "/log", 7)
    answer = orjson.dumps({"errors": True, "items": [{"create": {"status": 201}}, {"index": {"status": 409}}]})
    assert (parsed([ITEM, state], answer).done, parsed([ITEM, state], answer).duplicates) == (
        1,
        0,
    )


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
    outcome = parsed([ITEM], answered(error(status, kind)))
    assert outcome.retryable == [ITEM]
    assert kind in outcome.error


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "document_parsing_exception"), (400, "illegal_argument_exception"), (413, "too_large")],
)
def test_what_is_the_document_s_fault_is_a_dead_letter(status: int, kind: str) -> None:
    outcome = parsed([ITEM], answered(error(status, kind)))
    (dead_letter,) = outcome.dead
    assert (dead_letter.status, dead_letter.line, dead_letter.path, dead_letter.offset) == (status, b"{}", "/log", 7)
    assert kind in dead_letter.reason


def test_one_document_s_fate_is_not_its_neighbour_s() -> None:
    outcome = parsed([ITEM] * 3, answered({"status": 201}, error(400), error(429)))
    assert (outcome.done, len(outcome.dead), len(outcome.retryable)) == (1, 1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        "ok",
        {},
        {"items": {}},
        orjson.loads(answered()),
        orjson.loads(answered({}, {})),
        {"items": [{"create": "ok"}]},
        {"items": ["ok"]},
        orjson.loads(answered({"status": "x"})),
    ],
)
def test_an_answer_that_does_not_match_is_not_believed(answer: object) -> None:
    with pytest.raises(InvalidResponse):
        parsed([ITEM], orjson.dumps(answer))


@pytest.mark.parametrize("raw", [b"", b"<html>", b'{"errors":false,"items":[{"create":{"status":201}}'])
def test_an_answer_that_is_cut_short_is_not_believed(raw: bytes) -> None:
    assert not is_all_well(raw, 1)
    with pytest.raises(InvalidResponse):
        parsed([ITEM], raw)


def test_of_an_answer_that_all_is_well_the_count_has_to_be_right() -> None:
    well = b'{"errors":false,"items":[{"create":{"status":201}},{"index":{"status":200}}]}'
    assert is_all_well(well, 2)
    assert not is_all_well(well, 1)
    assert not is_all_well(well, 3)
    assert not is_all_well(well.replace(b"201", b"409"), 2)
    assert not is_all_well(well.replace(b"false", b"true"), 2)


def test_a_state_that_is_refused_is_no_dead_letter() -> None:
    state = Item(Document(b"{}", b"{}", is_record=False), b"", "<state>", 0)
    assert parsed([state], answered(error(400))).dead == []


TO_YESTERDAY = Item(Document(b'{"create":{"_index":"rq-job-shop-2026.11.20","_id":"a"}}', b"{}"), b"{}", "/log", 7)


def refused(status: int, kind: str, reason: str) -> bytes:
    return answered({"status": status, "error": {"type": kind, "reason": reason}})


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (403, "cluster_block_exception", "index [rq-job-shop-2026.11.20] blocked by: [FORBIDDEN/8/index write (api)];"),
        (400, "index_closed_exception", "closed"),
        (400, "validation_exception", "this action would add [2] shards, but this cluster has [1000]/[1000] shards"),
        (403, "security_exception", "action [bulk] is unauthorized for API key on indices [rq-job-shop-2026.11.20]"),
        (404, "index_not_found_exception", "no such index [rq-job-shop-2026.11.20]"),
    ],
)
def test_what_one_index_alone_does_not_take_waits_beside_the_others(status: int, kind: str, reason: str) -> None:
    outcome = parsed([TO_YESTERDAY], refused(status, kind, reason))
    (blocked,) = outcome.blocked
    assert (blocked.item, blocked.index) == (TO_YESTERDAY, "rq-job-shop-2026.11.20")
    assert (outcome.retryable, outcome.dead, outcome.done) == ([], [], 0)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (403, "cluster_block_exception", "blocked by: [FORBIDDEN/6/cluster read-only (api)];"),
        (
            429,
            "cluster_block_exception",
            "index [rq-job-shop-2026.11.20] blocked by: [TOO_MANY_REQUESTS/12/disk usage]",
        ),
        (409, "some_other_conflict", "why"),
    ],
)
def test_what_all_indices_do_not_take_is_tried_again(status: int, kind: str, reason: str) -> None:
    outcome = parsed([TO_YESTERDAY], refused(status, kind, reason))
    assert (outcome.retryable, outcome.blocked, outcome.duplicates) == ([TO_YESTERDAY], [], 0)


@pytest.mark.parametrize(
    "result",
    [{"status": 201, "failure_store": "used"}, {"status": 201, "result": "noop"}, {"status": 200, "result": "noop"}],
)
def test_what_was_taken_and_not_indexed_is_counted_apart(result: dict[str, object]) -> None:
    outcome = parsed([TO_YESTERDAY], answered(result))
    assert (outcome.done, outcome.not_indexed) == (1, 1)


def test_a_record_that_is_only_taken_is_not_all_well() -> None:
    taken = b'{"errors":false,"items":[{"create":{"status":200}}]}'
    assert is_all_well(taken, 1)
    assert not is_all_well(taken, 1, created=True)


LINE = Document(
    b'{"create":{"_index":"rq-app-shop-2026.11.20","_id":"a"}}', b'{"@timestamp":"t","a":1,"message":"m","a":2.50}'
)


def test_an_application_s_line_is_given_another_form_and_then_a_third() -> None:
    item = Item(LINE, b"the line", "/log", 7)
    (second,) = parsed([item], refused(400, "document_parsing_exception", "Duplicate field 'a'")).rescued
    assert second.document.source == b'{"@timestamp":"t","a":2.50,"message":"m"}'
    (third,) = parsed([second], refused(400, "document_parsing_exception", "why")).rescued
    source = orjson.loads(third.document.source)
    assert source == {"@timestamp": "t", "message": "m", "app": {"line": second.document.source.decode()}}
    (letter,) = parsed([third], refused(400, "document_parsing_exception", "why")).dead
    assert letter.line == b"the line"
