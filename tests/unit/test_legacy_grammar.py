"""Text logs: the table of samples, what a line may look like, and that nothing of a file is left out."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.legacy import dates, grammar, grok, lines
from shipper.legacy.dates import Dates
from shipper.legacy.grammar import Whence
from shipper.redact import REDACTED
from tests import legacy_samples

JOB = "4f0c1d2e-0001-4a00-8000-000000000001"


@pytest.mark.parametrize("name", legacy_samples.WRITTEN)
def test_the_table_of_samples_holds(name: str) -> None:
    for made, expected in zip(legacy_samples.made(name), legacy_samples.expected(name), strict=True):
        assert made == expected


def test_the_table_covers_every_kind_of_line() -> None:
    samples = [sample for name in legacy_samples.WRITTEN for sample in legacy_samples.expected(name)]
    assert len(samples) >= 60
    facts = [grammar.facts_of(sample.text) for sample in samples]
    phrases = {fact["phrase"].lower() for fact in facts if "phrase" in fact} | {"started"}
    assert phrases >= set(grammar.meanings()["phrases"])
    used = {_first_fit(grok.lines(), grammar.begin(sample.text)["body"]) for sample in samples}
    assert used == set(grok.lines())
    assert {_first_fit(grok.heads(), sample.text) for sample in samples} == set(grok.heads())


def _first_fit(names: list[str], text: str) -> str:
    return next(name for name in names if grok.compiled(name).match(text))


def test_what_a_phrase_means_is_said_for_every_phrase_of_an_ending() -> None:
    for meaning in grammar.meanings()["phrases"].values():
        assert {"action", "type", "outcome", "status"} <= set(meaning)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("1", "1"),
        ("0.25", "0.25"),
        ("0,5", "0.5"),
        ("1,234", "1234"),
        ("1,234,567.5", "1234567.5"),
        ("3 s", "3"),
        ("2.5seconds", "2.5"),
        (" 7 ", "7"),
        ("0", "0"),
        ("31622400", "31622400"),
    ],
)
def test_a_tasks_time_is_a_number_of_seconds(text: str, taken: str) -> None:
    assert grammar.seconds(text) == Decimal(taken)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "soon", "1.2.3", "1,23,4", "1e3", "NaN", "31622401", ",5", "5,", "5.", "1.234,5", "9" * 500, " " * 500],
)
def test_what_is_no_time_of_a_task_is_none(text: str) -> None:
    assert grammar.seconds(text) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_becomes_a_record_that_can_be_written(text: str) -> None:
    made = grammar.record(grammar.facts_of(text), datetime(2021, 1, 13, tzinfo=UTC), Whence("h", "p", {}), "i")
    assert made["event"]["dataset"] in ("rq.job", "rq.app")
    assert "legacy" in made["tags"]
    json.dumps(made)


LINE = st.sampled_from(
    [
        b"10:00:00 default: Job OK (a)",
        b"  indented",
        b"Traceback (most recent call last):",
        b"",
        b"\r",
        b"ValueError: x",
        b"\xff\xfe",
        b"plain",
        b"Time: 2021-01-13 10:00:00,1 Task: a Task-time: 1Time: 2021-01-13 10:00:01,1 Task: b",
    ]
)


@given(st.lists(LINE, max_size=20), st.booleans())
def test_every_byte_of_a_log_is_in_one_record(parts: list[bytes], ends: bool) -> None:
    data = b"\n".join(parts) + (b"\n" if ends else b"")
    at = 0
    for offset, record in lines.records_in(data):
        assert data[offset : offset + len(record)] == record
        assert not data[at:offset].strip()
        at = offset + len(record)
    assert not data[at:].strip()


@given(st.lists(LINE, min_size=1, max_size=20))
def test_the_last_record_of_a_piece_waits_for_what_may_belong_to_it(parts: list[bytes]) -> None:
    data = b"\n".join(parts) + b"\n"
    cut = lines.whole_records(data)
    whole = [(offset, record) for offset, record in lines.records_in(data[:cut])]
    rest = [(cut + offset, record) for offset, record in lines.records_in(data[cut:])]
    assert whole + rest == list(lines.records_in(data))
    more = data[cut:] + b"  and on\n"
    assert len(list(lines.records_in(more))) == max(1, len(rest))


def test_secrets_in_a_jobs_description_are_left_out() -> None:
    text = lines.text_of(
        f"10:00:00 default: f(1, password='a b', api_key=\"x\", token=abc, note='x=1') ({JOB}) "
        f"{{'Card-Number': 4}}".encode()
    )
    assert text == (
        f"10:00:00 default: f(1, password={REDACTED}, api_key={REDACTED}, token={REDACTED}, note='x=1') ({JOB}) "
        f"{{'Card-Number': {REDACTED}}}"
    )


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("day", "clock", "moment"),
    [
        (date(2026, 3, 29), "02:30:00", "2026-03-29T01:30:00+00:00"),  # an hour that is left out
        (date(2026, 10, 25), "02:30:00", "2026-10-25T00:30:00+00:00"),  # one that is there twice
        (date(2026, 7, 1), "00:30:00", "2026-06-30T22:30:00+00:00"),
    ],
)
def test_times_without_a_zone_are_of_the_zone_that_is_set(day: date, clock: str, moment: str) -> None:
    assert dates.moment(day, clock, None, None, BERLIN).isoformat() == moment


def _days(log: str, written: str = "2021-01-20T12:00:00+00:00") -> list[str]:
    data = log.encode()
    days = Dates(datetime.fromisoformat(written), UTC)
    days.learn([data[:7], data[7:40], data[40:]], 0)
    found = []
    for offset, record in lines.records_in(data):
        facts = grammar.begin(lines.text_of(record))
        if "date" not in facts:
            found.append(days.day(offset, facts["clock"]).isoformat()[5:])
    return found


def test_days_are_counted_back_from_when_the_file_was_last_written() -> None:
    log = "23:00:00 a\n00:10:00 b\n12:00:00 c\n11:59:00 d\n01:00:00 e\n11:00:00 f\n"
    # A step back of less than twelve hours is no midnight: two processes write to one file.
    assert _days(log) == ["01-19", "01-20", "01-20", "01-20", "01-20", "01-20"]
    assert _days("23:00:00 a\n01:00:00 b\n23:00:00 c\n") == ["01-18", "01-19", "01-19"]  # not in the future


def test_days_are_counted_on_from_the_last_line_that_has_a_date() -> None:
    assert _days("2021-01-13 23:00:00 a\n23:30:00 b\n00:10:00 c\n2021-01-16 08:00:00 d\n09:00:00 e\n") == [
        "01-13",
        "01-14",
        "01-16",
    ]


def test_days_before_the_first_dated_line_are_counted_back_from_it() -> None:
    assert _days("23:30:00 a\n00:10:00 b\n[2021-01-14 08:00:00,1] c\n") == ["01-13", "01-14"]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("worker-2021-01-13.log", "2021-01-13T23:59:59+00:00"),
        ("worker.log-20210113", "2021-01-13T23:59:59+00:00"),
        ("worker.log", "2026-01-01T00:00:00+00:00"),
        ("worker-2021-13-13.log", "2026-01-01T00:00:00+00:00"),
        ("worker-2025-12-31.log", "2026-01-01T00:00:00+00:00"),
    ],
)
def test_a_date_in_the_name_counts_where_the_file_was_copied_later(name: str, written: str) -> None:
    assert dates.last_written(Path(name), datetime(2026, 1, 1, tzinfo=UTC)).isoformat() == written


def test_a_year_that_is_not_written_is_the_latest() -> None:
    reference = datetime(2026, 1, 2, tzinfo=UTC)
    assert dates.day_of("Dec 31", reference) == date(2025, 12, 31)
    assert dates.day_of("Jan  2", reference) == date(2026, 1, 2)
    assert dates.day_of("Feb 29", reference) == date(2024, 2, 29)
    with pytest.raises(ValueError, match="no year has a Feb 30"):
        dates.day_of("Feb 30", reference)
