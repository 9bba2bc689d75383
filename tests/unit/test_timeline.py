"""The question: times as people write them, and ranges that make sense."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from shipper.errors import ShipperError
from shipper.read.timeline import Query, filters, parse_time

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", "2026-11-21T11:45:00+00:00"),
        ("2h", "2026-11-21T10:00:00+00:00"),
        ("7d", "2026-11-14T12:00:00+00:00"),
        ("1w", "2026-11-14T12:00:00+00:00"),
        ("yesterday", "2026-11-20T00:00:00+00:00"),
        ("yesterday 14:00", "2026-11-20T14:00:00+00:00"),
        ("today 09:30:05", "2026-11-21T09:30:05+00:00"),
        ("2026-11-20", "2026-11-20T00:00:00+00:00"),
        ("2026-11-20T08:00", "2026-11-20T08:00:00+00:00"),
        ("2026-11-20T08:00+02:00", "2026-11-20T06:00:00+00:00"),
    ],
)
def test_a_time_is_iso_or_an_age(text: str, expected: str) -> None:
    assert parse_time(text, NOW) == datetime.fromisoformat(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20T08:00", "2026-11-20T07:00:00+00:00"),
        ("2026-07-20T08:00", "2026-07-20T06:00:00+00:00"),  # in summer
        ("2026-11-20T08:00+00:00", "2026-11-20T08:00:00+00:00"),
        ("yesterday 14:00", "2026-11-21T13:00:00+00:00"),  # there it is the 22nd already
        ("2h", "2026-11-21T21:30:00+00:00"),
    ],
)
def test_a_time_without_a_zone_is_in_that_of_this_machine_if_so_asked(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    try:
        late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC)
        assert parse_time(text, late, None) == datetime.fromisoformat(expected)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("text", ["", "soon", "yesterday 25:00", "yesterday14:00", "2h30", "-1h", "2026-13-01"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ShipperError, match="15m, 2h or 7d"):
        parse_time(text, NOW)


def test_a_range_the_wrong_way_round_is_refused() -> None:
    with pytest.raises(ShipperError, match="wrong way round"):
        Query(since=NOW, until=NOW)


def test_only_what_was_asked_restricts() -> None:
    assert filters(Query(customer="42", since=NOW)) == [
        {"term": {"organization.id": "42"}},
        {"range": {"@timestamp": {"gte": "2026-11-21T12:00:00.000000Z"}}},
    ]
    assert filters(Query()) == []
