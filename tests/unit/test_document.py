"""One line → one document."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import settings
from shipper.ship.reader.document import Document, NotShippable, Place, document

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SETTINGS = settings.load(environment={"XDG_STATE_HOME": "/s", "SHIPPER_NAMESPACE": "shop"})
PLACE = Place("host", "first", 100)
GOLDEN = sorted((Path(__file__).parent.parent / "golden").iterdir())


def made(line: bytes | str, place: Place = PLACE) -> Document:
    return document(line.encode() if isinstance(line, str) else line, place, SETTINGS, NOW)[0]


def action(line: bytes | str, place: Place = PLACE) -> tuple[str, str]:
    create = json.loads(made(line, place).action)["create"]
    return create["_index"], create["_id"]


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_a_record_of_ours_is_sent_as_it_stands(golden: Path) -> None:
    line = golden.read_bytes()
    record = json.loads(line)
    assert action(line) == ("rq-job-shop-2026.11.21", record["event"]["id"])
    assert made(line).source == line.rstrip()


def test_where_a_line_stands_does_not_matter_to_a_record_that_has_an_id() -> None:
    line = GOLDEN[0].read_bytes()
    assert action(line, Place("a", "a", 0)) == action(line, Place("b", "b", 9))


def test_another_program_s_line_becomes_an_application_record() -> None:
    line = '{"@timestamp":"2026-11-20T23:30:00-02:00","message":"hello"}'
    index, identifier = action(line)
    assert index == "rq-app-shop-2026.11.21"
    assert identifier == action(line)[1]
    sent = json.loads(made(line).source)
    assert sent == {
        "@timestamp": "2026-11-21T01:30:00.000000Z", "message": "hello", "event": {"dataset": "rq.app"},
    }  # fmt: skip


def test_the_id_of_a_line_without_one_follows_from_where_it_stands() -> None:
    line = '{"@timestamp":"2026-11-21T00:00:00Z","message":"hello"}'
    places = [PLACE, Place("other", "first", 100), Place("host", "other", 100), Place("host", "first", 101)]
    assert len({action(line, place)[1] for place in places}) == len(places)


def test_a_line_without_a_time_gets_the_time_it_was_read() -> None:
    assert json.loads(made('{"message":"hello"}').source)["@timestamp"] == "2026-11-21T12:00:00.000000Z"


def test_an_id_of_the_line_s_own_is_kept() -> None:
    line = '{"@timestamp":"2026-11-21T00:00:00Z","event":{"id":"mine","dataset":"rq.audit"}}'
    assert action(line) == ("rq-audit-shop-2026.11", "mine")


def test_a_dataset_that_is_not_ours_is_the_application_s() -> None:
    line = '{"@timestamp":"2026-11-21T00:00:00Z","event":{"dataset":"nginx.access"}}'
    assert action(line)[0] == "rq-app-shop-2026.11.21"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{", "not JSON"),
        (b"hello", "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b"[1]", "not an object"),
        (b'"text"', "not an object"),
        (b'{"event":"x"}', "not an object"),
        (b'{"@timestamp":1}', "not text"),
        (b'{"@timestamp":"yesterday"}', "ISO 8601"),
        (b'{"@timestamp":"2020-01-01T00:00:00Z"}', "days back"),
        (b'{"@timestamp":"2026-11-23T00:00:00Z"}', "ahead"),
        (b'{"@timestamp":"9999-12-31T23:59:59-14:00"}', "ISO 8601"),
    ],
)
def test_what_can_be_no_document_says_why(line: bytes, why: str) -> None:
    with pytest.raises(NotShippable, match=why):
        made(line)


@given(st.binary() | st.from_regex(rb'\{"@timestamp":"2026-11-21T.*', fullmatch=True))
def test_no_line_raises_anything_else(line: bytes) -> None:
    with contextlib.suppress(NotShippable):
        made(line)


def test_a_day_is_kept_until_the_setting_s_end() -> None:
    edge = (NOW - timedelta(days=730)).isoformat()
    assert made(json.dumps({"@timestamp": edge}))
