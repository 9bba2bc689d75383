"""Text logs: the table of samples, every kind of docs/legacy.md, and that nothing of a file is left out."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import settings
from shipper.legacy import dates, grok, heads, messages, multiline, record
from shipper.legacy.carriers import Carriers
from shipper.legacy.messages import Grammar
from shipper.legacy.outline import Outline
from shipper.legacy.record import LogSource, ParsedLine, build
from shipper.legacy.tables import tables
from shipper.ship.reader.legacy import LegacyImportReader
from shipper.ship.source.compressed import CompressedFile
from shipper.ship.source.encoded import is_utf16
from shipper.ship.source.tail import TailedFile
from tests import legacy_kinds, legacy_samples

JOB = "4f0c1d2e-0001-4a00-8000-000000000001"
GRAMMAR = Grammar()
PREFIXES = ("RQ_CARRIER_", "RQ_HEAD_", "RQ_LINE_", "RQ_ERROR_")


def imported(path: Path, zone: str = "UTC", **more: str) -> list[dict[str, Any]]:
    """What `shipper import` makes of a file."""
    reader = LegacyImportReader(settings.load({"timezone": zone, "past_days": "36500", **more}))
    if is_utf16(path):
        source: Any = CompressedFile(path, multiline=True)
        source.begin()
    else:
        source = TailedFile(path, os.open(path, os.O_RDONLY), multiline=True)
    found = []
    while (block := source.read(to_the_end=True)) is not None:
        parsed = reader.read(block)
        assert not parsed.dead_letters
        found += [orjson.loads(item.document.source) for item in parsed.items]
    source.close()
    return found


def written(path: Path, data: bytes, changed: str) -> Path:
    path.write_bytes(data)
    when = datetime.fromisoformat(changed).timestamp()
    os.utime(path, (when, when))
    return path


@pytest.mark.parametrize("name", legacy_samples.WRITTEN)
def test_the_table_of_samples_holds(name: str) -> None:
    for made, expected in zip(legacy_samples.made(name), legacy_samples.expected(name), strict=True):
        assert made == expected


def test_every_kind_is_imported_as_documented(tmp_path: Path) -> None:
    assert {case.kind for case in legacy_kinds.CASES} == set(legacy_kinds.documented("`shipper import`"))
    wrong = {}
    for number, case in enumerate(legacy_kinds.CASES):
        log = written(tmp_path / f"{number}.log", case.data, case.changed)
        if bad := case.wrong(imported(log, case.zone, **case.settings)):
            wrong[case.log[:100]] = bad
    assert not wrong


def test_a_case_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    case = next(one for one in legacy_kinds.CASES if one.kind == "tracebacks")
    log = written(tmp_path / "x.log", case.data.replace(b"ValueError", b"TypeError"), case.changed)
    assert case.wrong(imported(log, case.zone))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_of_any_size_give_the_same_records(size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A traceback is not cut where a block ends."""
    cases = [case for case in legacy_kinds.CASES if case.kind.startswith("tracebacks") and case.encoding == "utf-8"]
    monkeypatch.setattr("shipper.ship.source.tail.TEXT_BLOCK", size)
    for number, case in enumerate(cases):
        log = written(tmp_path / f"{number}.log", case.data, case.changed)
        assert case.wrong(imported(log, case.zone)) == [], case.log


def test_the_table_covers_every_pattern() -> None:
    lines = [sample.text for name in legacy_samples.WRITTEN for sample in legacy_samples.expected(name)]
    lines += [line for case in legacy_kinds.CASES for line in (case.log, *case.log.splitlines())]
    carriers, bodies = Carriers(), []
    used = set()
    for line in lines:
        text = multiline.decoded(line.encode())
        used |= {name for name in grok.names("RQ_CARRIER_") if grok.Expression(name).match(text) is not None}
        text = carriers.line(text).text
        used |= {name for name in grok.names("RQ_HEAD_") if grok.Expression(name).match(text) is not None}
        bodies.append(heads.parse(text)["body"].rstrip())
    for case in legacy_kinds.CASES:
        bodies += [multiline.text_of(one) for one in multiline.records_in(case.data, Carriers())]
    own = grok.with_own_ids(r"nightly-\d+")
    for prefix in ("RQ_LINE_", "RQ_ERROR_"):
        for name in grok.names(prefix):
            expression = grok.Expression(name, own)
            used |= {name} if any(expression.match(body) is not None for body in bodies) else set()
    assert used == {
        name for prefix in ("RQ_CARRIER_", "RQ_HEAD_", "RQ_LINE_", "RQ_ERROR_") for name in grok.names(prefix)
    }


def test_a_pattern_needs_the_words_that_it_is_chosen_by() -> None:
    """messages.py does not try a pattern on a text without its word."""
    bodies = [sample.alone["message"] for name in legacy_samples.WRITTEN for sample in legacy_samples.expected(name)]
    bodies += [
        heads.parse(line)["body"] for case in legacy_kinds.CASES for line in (case.log.strip(), *case.log.splitlines())
    ]
    patterns = grok.compiled("RQ_LINE_", grok.with_own_ids(r"nightly-\d+"))
    assert set(patterns) == set(messages._NEEDED)
    for name, pattern in patterns.items():
        for body in bodies:
            assert messages._NEEDED[name] in body or pattern.match(body) is None, (name, body)


def test_rqs_own_format_is_read_as_any_other() -> None:
    """heads.py has a shorter expression for it."""
    general = grok.Expression("RQ_HEAD_STAMP")
    for case in legacy_kinds.CASES:
        for line in case.log.splitlines():
            if heads._PLAIN.match(line):
                found = general.match(line)
                assert found is not None
                assert (found["clock"], found["body"]) == (heads.parse(line)["clock"], heads.parse(line)["body"])
                assert not found.get("decoration", "").strip()
                assert Carriers().line(line).text == line


def test_what_a_phrase_means_is_said_for_every_phrase_of_an_ending() -> None:
    for meaning in tables()["phrases"].values():
        assert {"category", "type", "action", "outcome"} <= set(meaning["event"])
        assert "status" in meaning["rq"]


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
        ("1.5e3", "1500"),
        ("0:00:06.250000", "6.25"),
        ("1 day, 0:00:01", "86401"),
        ("31622400", "31622400"),
    ],
)
def test_a_tasks_time_is_a_number_of_seconds(text: str, taken: str) -> None:
    assert record.seconds(text) == Decimal(taken)


@pytest.mark.parametrize(
    "text",
    ["", "-1", "soon", "1.2.3", "1,23,4", "1e999", "NaN", "31622401", ",5", "5,", "5.", "1.234,5", "9" * 500, " " * 500,
     "250ms", "2 min", "٣"],
)  # fmt: skip
def test_what_is_no_time_of_a_task_is_none(text: str) -> None:
    assert record.seconds(text) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_any_text_becomes_a_record_that_can_be_written(text: str) -> None:
    carried = Carriers().line(text)
    head = heads.parse(carried.text)
    captures = {**head, **GRAMMAR.parse(head["body"])}
    made = build(ParsedLine(head["body"], captures, datetime(2021, 1, 13, tzinfo=UTC)), LogSource("h", "p", {}), "i")
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
        b"a | 10:00:00 x",
        b"a |   indented",
        b"10:00:01 [Job a]: exception raised while executing (f)",
        b"Time: 2021-01-13 10:00:00,1 Task: a Task-time: 1Time: 2021-01-13 10:00:01,1 Task: b",
    ]
)


@given(st.lists(LINE, max_size=20), st.booleans())
def test_every_byte_of_a_log_is_in_one_record(parts: list[bytes], ends: bool) -> None:
    data = b"\n".join(parts) + (b"\n" if ends else b"")
    entries = sorted(
        ((entry.offset, entry.raw) for one in multiline.records_in(data, Carriers()) for entry in one),
    )
    at = 0
    for offset, raw in entries:
        assert data[offset : offset + len(raw)] == raw
        assert not data[at:offset].replace(b"a |", b"").strip()
        at = offset + len(raw)
    assert not data[at:].replace(b"a |", b"").strip()


@given(st.lists(LINE, min_size=1, max_size=20))
def test_the_last_record_of_a_piece_waits_for_what_may_belong_to_it(parts: list[bytes]) -> None:
    data = b"\n".join(parts) + b"\n"
    cut = multiline.whole_records(data)
    assert 0 <= cut < len(data)
    assert cut == 0 or data[cut - 1 : cut] == b"\n"


def test_a_line_that_another_encoding_wrote_keeps_its_characters() -> None:
    assert multiline.decoded("Größe".encode()) == multiline.decoded("Größe".encode("cp1252")) == "Größe"


BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("day", "clock", "moment"),
    [
        (date(2026, 3, 29), (2, 30, 0), "2026-03-29T01:30:00+00:00"),  # an hour that is left out
        (date(2026, 10, 25), (2, 30, 0), "2026-10-25T00:30:00+00:00"),  # one that is there twice
        (date(2026, 7, 1), (0, 30, 0), "2026-06-30T22:30:00+00:00"),
    ],
)
def test_times_without_a_zone_are_of_the_zone_that_is_set(day: date, clock: tuple[int, int, int], moment: str) -> None:
    assert dates.moment(day, clock, BERLIN).isoformat() == moment


def _days(log: str, changed: str = "2021-01-20T12:00:00+00:00") -> list[str]:
    data = log.encode()
    outline = Outline(datetime.fromisoformat(changed), UTC)
    outline.learn([data[:7], data[7:40], data[40:]], 0)
    found = []
    for one in multiline.records_in(data, Carriers()):
        head = one[0].head
        if "date" not in head:
            found.append(outline.day(one[0].offset, dates.clock_of(head)).isoformat()[5:])
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
    ("name", "changed"),
    [
        ("worker-2021-01-13.log", "2021-01-13T23:59:59+00:00"),
        ("worker.log-20210113", "2021-01-13T23:59:59+00:00"),
        ("worker.log", "2026-01-01T00:00:00+00:00"),
        ("worker-2021-13-13.log", "2026-01-01T00:00:00+00:00"),
        ("worker-2025-12-31.log", "2026-01-01T00:00:00+00:00"),
    ],
)
def test_a_date_in_the_name_counts_where_the_file_was_copied_later(name: str, changed: str) -> None:
    assert dates.last_written(Path(name), datetime(2026, 1, 1, tzinfo=UTC)).isoformat() == changed


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Dec 31", date(2025, 12, 31)),
        ("Jan  2", date(2026, 1, 2)),
        ("Feb 29", date(2024, 2, 29)),
        ("0102", date(2026, 1, 2)),
        ("12/31/2025", date(2025, 12, 31)),
        ("31/12/2025", date(2025, 12, 31)),
        ("01/12/2025", date(2025, 1, 12)),
        ("02/01/2026", date(2026, 1, 2)),  # the other day is in the future
    ],
)
def test_dates_that_leave_something_open(text: str, day: date) -> None:
    assert dates.day_of({"date": text}, datetime(2026, 1, 2, tzinfo=UTC)) == day


def test_a_day_that_no_year_has_is_none() -> None:
    with pytest.raises(ValueError, match="no year has a day 30 in month 2"):
        dates.day_of({"date": "Feb 30"}, datetime(2026, 1, 2, tzinfo=UTC))


@pytest.mark.parametrize("expression", ["(", "a(b)", "^a", "a$"])
def test_an_expression_for_ids_that_cannot_be_used_is_refused(expression: str) -> None:
    with pytest.raises(Exception, match="regular expression"):
        settings.load({"job_ids": expression})


def test_no_pattern_takes_long_for_a_hostile_line() -> None:
    from benchmarks.legacy import hostile

    patterns = [
        grok.Expression(name)
        for prefix in ("RQ_CARRIER_", "RQ_HEAD_", "RQ_LINE_", "RQ_ERROR_")
        for name in grok.names(prefix)
    ]
    slow: set[str] = set()
    for line in hostile(3000):
        begin = time.process_time()
        for pattern in patterns:
            pattern.match(line)
        if time.process_time() - begin > 0.5:
            slow.add(line[:60])
    assert not slow
