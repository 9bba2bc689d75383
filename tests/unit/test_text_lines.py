"""Lines of text between records."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from shipper import settings
from shipper.ship.reader.text_lines import TextLines

NOW = datetime(2026, 11, 26, 8, 0, 0, 5, tzinfo=UTC)
RECORD = b'{"@timestamp":"2026-11-26T08:00:00.000001Z","event":{"id":"x"}}\n'


def lines(**variables: str) -> TextLines:
    return TextLines(settings.load(environment={"SHIPPER_CONFIG": "/dev/null", "SHIPPER_SERVICE": "shop", **variables}))


def test_objects_stay_as_they_are() -> None:
    data = RECORD + b'  {"any": "other"}\r\n{"half": \n'
    assert lines().records(data, NOW) == data


def test_text_becomes_a_record_of_the_application() -> None:
    record = orjson.loads(lines().records("16:00 lów: hi\r\n".encode(), NOW))
    assert record["@timestamp"] == "2026-11-26T08:00:00.000005Z"
    assert record["event"]["dataset"] == "rq.app"
    assert record["message"] == "16:00 lów: hi"
    assert record["service"] == {"name": "shop"}


def test_lines_keep_their_order_and_the_same_text_twice_is_two_records() -> None:
    made = [orjson.loads(line) for line in lines().records(b"a\na\nb\n", NOW).splitlines()]
    assert [one["message"] for one in made] == ["a", "a", "b"]
    assert len({one["event"]["id"] for one in made}) == 3
    times = [one["@timestamp"] for one in made]
    assert times == sorted(set(times))


def test_two_runs_do_not_share_ids() -> None:
    one, other = (orjson.loads(lines().records(b"a\n", NOW)) for _ in range(2))
    assert one["event"]["id"] != other["event"]["id"]


def test_secrets_are_redacted_and_what_is_no_utf_8_is_kept_as_far_as_it_can_be() -> None:
    made = orjson.loads(lines().records(b"password=hunter2 \xff\n", NOW))
    assert made["message"] == "password=[redacted] \N{REPLACEMENT CHARACTER}"


def test_a_record_after_half_a_line_of_text_is_not_lost() -> None:
    text, record = lines().records(b"half a li" + RECORD, NOW).splitlines(keepends=True)
    assert orjson.loads(text)["message"] == "half a li"
    assert record == RECORD


def test_blank_lines_and_the_dots_of_a_progress_bar() -> None:
    assert lines().records(b"\n  \n\r\n", NOW) == b""
    assert orjson.loads(lines().records(b"10 %\r20 %\r\n", NOW))["message"] == "10 %\r20 %"
