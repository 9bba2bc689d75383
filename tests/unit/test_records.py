"""The line: where its parts are, and that anything can be written as one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import records

MOMENT = datetime(2026, 11, 21, 3, 17, 32, 123456, tzinfo=UTC)


def test_a_time_is_written_in_utc_with_microseconds() -> None:
    berlin = MOMENT.astimezone(timezone(timedelta(hours=1)))
    assert records.timestamp(berlin) == "2026-11-21T03:17:32.123456Z"


def test_an_id_follows_from_the_moment_and_the_parts() -> None:
    first = records.record_id(MOMENT, "job", "execution", "end")
    assert first == records.record_id(MOMENT, "job", "execution", "end")
    assert first != records.record_id(MOMENT, "job", "executione", "nd")
    assert len(first) == 32


def test_ids_sort_by_time() -> None:
    later = MOMENT + timedelta(milliseconds=1)
    assert records.record_id(MOMENT, "z") < records.record_id(later, "a")


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("rq.job", "rq-job-shop-2026.11.21"), ("rq.audit", "rq-audit-shop-2026.11"), ("rq.app", "rq-app-shop-2026.11.21")],
)
def test_the_index_follows_from_dataset_and_time(dataset: str, name: str) -> None:
    assert records.index_name(dataset, MOMENT, "shop") == name


def test_the_day_of_an_index_is_the_day_in_utc() -> None:
    just_before_midnight = datetime(2026, 11, 22, 0, 30, tzinfo=timezone(timedelta(hours=1)))
    assert records.index_name("rq.job", just_before_midnight, "shop") == "rq-job-shop-2026.11.21"


def test_a_long_text_keeps_its_two_ends() -> None:
    cut = records.shorten("a" * 10 + "b" * 1000 + "c" * 10, limit=20)
    assert cut.startswith("a" * 10)
    assert cut.endswith("c" * 10)
    assert "1000 characters left out" in cut
    assert records.shorten(cut, limit=20) == cut


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def _cyclic() -> dict[str, object]:
    loop: dict[str, object] = {}
    loop["self"] = loop
    return loop


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("inf"), "\ud800", {1: 2, (3, 4): 5}, {"a\0b": 1}, 2**80, b"\xff", Rude(), _cyclic(), {1, 2}],
    ids=["nan", "inf", "surrogate", "keys", "nul", "big", "bytes", "rude", "cycle", "set"],
)
def test_what_json_cannot_say_is_written_all_the_same(value: object) -> None:
    line = records.encode({"@timestamp": "now", "value": value})
    assert orjson.loads(line)["@timestamp"] == "now"
    assert line.count(b"\n") == 1


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()) | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(_anything)
def test_a_record_is_always_one_line_of_json(value: object) -> None:
    line = records.encode({"value": value})
    assert line.endswith(b"\n")
    assert b"\n" not in line[:-1]
    orjson.loads(line)
