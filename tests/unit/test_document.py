"""One line → one document."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

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
        "@timestamp": "2026-11-20T23:30:00-02:00",
        "message": "hello",
        "event": {"dataset": "rq.app"},
    }


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
        (b"[1]", "not an object"),
        (b'"text"', "not an object"),
        (b'{"@timestamp":1}', "days back"),
        (b'{"@timestamp":true}', "ISO 8601"),
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


def sent(line: bytes | str, place: Place = PLACE) -> dict[str, Any]:
    return json.loads(made(line, place).source)  # type: ignore[no-any-return]


STAMP = "2026-11-21T10:00:00Z"


@pytest.mark.parametrize(
    ("line", "moment"),
    [
        ('{"timestamp":"2026-11-21T10:00:00.5+01:00"}', "2026-11-21T09:00:00.500000Z"),
        ('{"time":"2026-11-21 10:00:00,123"}', "2026-11-21T10:00:00.123000Z"),
        ('{"ts":1795255200}', "2026-11-21T10:00:00.000000Z"),
        ('{"ts":1795255200.1234567}', "2026-11-21T10:00:00.123456Z"),
        ('{"time":1795255200123}', "2026-11-21T10:00:00.123000Z"),
        ('{"time":1795255200123456}', "2026-11-21T10:00:00.123456Z"),
        ('{"time":1795255200123456789}', "2026-11-21T10:00:00.123456Z"),
        ('{"time":"1795255200"}', "2026-11-21T10:00:00.000000Z"),
        ('{"asctime":"2026-11-21 10:00:00 +0100"}', "2026-11-21T09:00:00.000000Z"),
        ('{"time":"[21/Nov/2026:10:00:00 +0000]"}', "2026-11-21T10:00:00.000000Z"),
        ('{"record":{"time":{"repr":"2026-11-21 10:00:00+00:00"}}}', "2026-11-21T10:00:00.000000Z"),
        ('{"record":{"time":{"repr":5}},"ts":1795255200}', "2026-11-21T10:00:00.000000Z"),
        ('{"record":{"time":{"repr":5}}}', "2026-11-21T12:00:00.000000Z"),
        ('{"time":0.012,"ts":1795255200}', "2026-11-21T10:00:00.000000Z"),  # the first is a duration
        ('{"@timestamp":1795255200.25}', "2026-11-21T10:00:00.250000Z"),
        ('{"@timestamp":"2026-11-21T10:00:00+0100"}', "2026-11-21T09:00:00.000000Z"),
        ('{"@timestamp":"2026-11-21T10:00:00.123456789+05:30"}', "2026-11-21T10:00:00.123456789+05:30"),  # as it stands
        ('{"@timestamp":null,"time":"2026-11-21T10:00:00Z"}', "2026-11-21T10:00:00.000000Z"),
    ],
)
def test_the_times_that_programs_write_are_read(line: str, moment: str) -> None:
    assert sent(line)["@timestamp"] == moment


@pytest.mark.parametrize(
    ("members", "aside"),
    [
        ('"user":"ann"', {"user": "ann"}),
        ('"error":"boom"', {"error": "boom"}),
        ('"host":"web1","code":200', {"host": "web1", "code": 200}),
        ('"event":"user_login"', {"event": "user_login"}),
        ('"labels":["x"]', {"labels": ["x"]}),
        ('"message":{"a":1}', {"message": {"a": 1}}),
        ('"user":["ann"]', {"user": ["ann"]}),
        ('"_id":1,"":2,"a..b":3," ":4', {"_id": 1, "": 2, "a..b": 3, " ": 4}),
        ('"user":{"id":{"x":1},"name":"ann"}', {"user.id": {"x": 1}}),
        ('"message.x":1', {"message.x": 1}),
        ('"event":{"dataset":"nginx.access"}', {"event.dataset": "nginx.access"}),
        ('"user":"ann","app":{"user":"bob"}', {"user": "bob", "user_": "ann"}),
        ('"user":"ann","app":"shop"', {"user": "ann", "app": "shop"}),
    ],
)
def test_only_what_collides_is_moved_aside(members: str, aside: dict[str, Any]) -> None:
    line = f'{{"@timestamp":"{STAMP}","message":"m","kept":[1,{{"a":2}}],{members}}}'.replace(
        '"message":"m",', "" if '"message"' in members else '"message":"m",'
    )
    found = sent(line)
    assert found["app"] == aside
    assert found["kept"] == [1, {"a": 2}]
    assert found["event"]["dataset"] == "rq.app"


@pytest.mark.parametrize(
    "members", ['"user":null', '"user":[]', '"user":[{"id":"a"}]', '"labels":{"a":1}', '"tags":["a"]']
)
def test_what_fits_stays(members: str) -> None:
    found = sent(f'{{"@timestamp":"{STAMP}",{members}}}')
    assert found | json.loads(f"{{{members}}}") == found
    assert "app" not in found


def test_what_is_too_deep_for_a_flattened_field_is_kept_as_text() -> None:
    deep = '{"a":' * 12 + "1" + "}" * 12
    assert sent(f'{{"@timestamp":"{STAMP}","labels":{deep}}}')["app"] == {"labels": deep}


def test_numbers_keep_their_digits() -> None:
    line = f'{{"time":"{STAMP}","n":123456789012345678901234567890,"x":1.10,"y":1e400,"user":7.50}}'.encode()
    source = made(line).source
    assert all(
        part in source for part in (b'"n":123456789012345678901234567890', b'"x":1.10', b'"y":1e400', b'"user":7.50')
    )


@pytest.mark.parametrize(
    ("line", "message", "level"),
    [
        (b'{"level":"info","msg":"m"}', "m", "info"),
        (b'{"level":30,"msg":"m"}', "m", "info"),
        (b'{"severity":"ERROR","event":"m"}', "m", "ERROR"),
        (b'{"message":"m","msg":"other","log.level":"warn","level":"x"}', "m", None),
    ],
)
def test_message_and_level_are_found_where_loggers_put_them(line: bytes, message: str, level: str | None) -> None:
    found = sent(line)
    assert found["message"] == message
    assert found.get("log", {}).get("level") == level


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b'{"message":"\\udcff","name":"x"}', "\ufffd"),
        (b'{"message":"\\ud83d\\ude00 \\ud83d!"}', "\U0001f600 \ufffd!"),
        (b'\0\0\0{"message":"after power came back"}', "after power came back"),
        (b'{"message":NaN}', "NaN"),
        (b'{"message":"NaN","a":[-Infinity]}', "NaN"),
    ],
)
@pytest.mark.parametrize("beside", [b"", b'"n":1e999,', b'"n":1' + 400 * b"0" + b","], ids=["", "1e999", "long"])
def test_what_several_languages_write_wrongly_is_put_right(line: bytes, value: str, beside: bytes) -> None:
    """Also beside a number that no double holds, for which another parser is asked."""
    assert sent(line.replace(b"{", b"{" + beside, 1))["message"] == value


@pytest.mark.parametrize("wrong", [b'"\xed\xa0\x80"', b"tru", b"01", b"1.2.3", b'"\n"', b"[1,]"])
def test_what_is_no_json_is_refused_also_beside_a_number_that_no_double_holds(wrong: bytes) -> None:
    with pytest.raises(NotShippable, match="not JSON"):
        sent(b'{"message":"m","n":1e999,"wrong":' + wrong + b"}")


FOREIGN = Place("host", "first", 100, trusted=False)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_a_file_that_is_not_ours_does_not_speak_for_jobs(golden: Path) -> None:
    line = golden.read_bytes().rstrip()
    found, state = document(line, FOREIGN, SETTINGS, NOW)
    assert state is None
    assert json.loads(found.action)["create"]["_index"] == "rq-app-shop-2026.11.21"
    source = json.loads(found.source)
    assert source["event"]["dataset"] == "rq.app"
    assert source["tags"] == ["foreign"]
    assert source["app"] == {"event.dataset": "rq.job"}


def test_a_tag_more_takes_no_other_away() -> None:
    line = f'{{"@timestamp":"{STAMP}","tags":["a"],"event":{{"dataset":"rq.audit"}}}}'
    assert sent(line, FOREIGN)["tags"] == ["a", "foreign"]


def test_an_id_without_a_time_is_the_same_whenever_it_is_read() -> None:
    first = document(b'{"message":"m"}', PLACE, SETTINGS, NOW)[0]
    later = document(b'{"message":"m"}', PLACE, SETTINGS, NOW + timedelta(seconds=5))[0]
    assert first.action == later.action
