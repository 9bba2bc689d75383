"""`shipper timeline` and `shipper top` on records that are known."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from shipper import records
from tests.programs import LIMIT_S, Programs, wait_for

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/job-finished.jsonl").read_text())
SECOND_NS = 1_000_000_000


def record(number: int, *, action: str = "job-finished", **changes: Any) -> bytes:
    """A record of some minutes ago, `number` microseconds after the others."""
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5) + timedelta(microseconds=number)
    function, queue = changes.get("function", "shop.jobs.charge"), changes.get("queue", "payments")
    size, seconds, lag_ms = changes.get("size", 100), changes.get("seconds"), changes.get("lag_ms")
    event: dict[str, Any] = {
        "id": records.record_id(moment, str(number)),
        "dataset": "rq.job",
        "action": action,
        "outcome": "success",
    }
    if seconds is not None:
        event["duration"] = int(seconds * SECOND_NS)
    return records.encode(
        {
            "@timestamp": records.timestamp(moment),
            "event": event,
            "message": f"number {number}",
            "messaging": {
                "destination": {"name": queue},
                "message": {"id": changes.get("job", "j1"), "body": {"size": size}},
            },
            "code": {"function": {"name": function}},
            "rq": {"lag_ms": lag_ms},
            "user": {"id": changes.get("user", "bob")},
            "organization": {"id": changes.get("customer", "42")},
        }
    )


def ship(programs: Programs, *lines: bytes) -> None:
    programs.run("shipper", "run", "--stdin", stdin=b"".join(lines))
    programs.refresh()


def numbers(programs: Programs, *flags: str) -> list[int]:
    out = programs.run("shipper", "timeline", "--json", *flags).stdout
    return [int(json.loads(line)["message"].split()[1]) for line in out.splitlines()]


def test_records_of_one_millisecond_come_in_their_order(programs: Programs) -> None:
    ship(programs, *[record(number) for number in (7, 3, 9, 1)])
    assert numbers(programs) == [1, 3, 7, 9]


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--job", "j2"), ("--user", "eve"), ("--customer", "7"), ("--queue", "mails"), ("--function", "shop.jobs.mail")],
)
def test_each_filter_restricts(programs: Programs, flag: str, value: str) -> None:
    name = flag.removeprefix("--")
    ship(programs, record(1), record(2, **{name: value}))
    assert numbers(programs, flag, value) == [2]


def test_a_namespace_is_not_those_whose_names_begin_with_it(programs: Programs, namespace: str) -> None:
    other = f"{namespace}-eu"
    ship(programs, record(1, action="job-enqueued"))
    ship(
        Programs({**programs.environment, "SHIPPER_NAMESPACE": other}, programs.folder),
        record(2, action="job-enqueued"),
    )
    assert numbers(programs) == [1]
    assert numbers(programs, "--namespace", other) == [2]
    for name in (namespace, other):
        top = json.loads(programs.run("shipper", "top", "--json", "--namespace", name).stdout)
        assert [row["jobs"] for row in top["functions_by_payload"]] == [1]


def test_the_range_of_time_restricts(programs: Programs) -> None:
    ship(programs, record(1))
    assert numbers(programs, "--since", "10m") == [1]
    assert numbers(programs, "--since", "1m") == []
    assert numbers(programs, "--since", "1h", "--until", "10m") == []


def test_more_records_than_a_page_all_come(programs: Programs) -> None:
    ship(programs, *[record(number) for number in range(2500)])
    assert numbers(programs) == list(range(2500))


def test_people_get_lines_and_a_word_when_there_are_none(programs: Programs) -> None:
    assert "No records" in programs.run("shipper", "timeline").stdout
    ship(programs, record(1))
    (line,) = programs.run("shipper", "timeline").stdout.splitlines()
    assert line.split()[2:] == ["job-finished", "payments", "number", "1"]


def test_follow_goes_on_with_what_comes(programs: Programs) -> None:
    ship(programs, record(1))
    process = programs.start("shipper", "timeline", "--json", "--follow")
    log = programs.folder / "shipper.log"

    def seen() -> list[int]:
        return [int(json.loads(line)["message"].split()[1]) for line in log.read_text().splitlines()]

    wait_for(lambda: seen() == [1], "the first record")
    ship(programs, record(2))
    wait_for(lambda: seen() == [1, 2], "the next record")
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 0


def test_top_adds_up(programs: Programs) -> None:
    ship(
        programs,
        record(1, action="job-enqueued", size=1_000),
        record(2, action="job-enqueued", size=9_000, function="shop.jobs.newsletter", queue="mails"),
        record(3, action="job-started", lag_ms=500),
        record(4, action="job-started", lag_ms=4000, queue="mails"),
        record(5, seconds=2),
        record(6, seconds=2),
        record(7, seconds=3, function="shop.jobs.newsletter", queue="mails"),
    )
    found = json.loads(programs.run("shipper", "top", "--json").stdout)
    total = [(row["name"], row["jobs"], row["total_s"]) for row in found["functions_by_total_time"]]
    assert total == [("shop.jobs.charge", 2, 4.0), ("shop.jobs.newsletter", 1, 3.0)]
    assert [row["name"] for row in found["slowest_functions"]] == ["shop.jobs.newsletter", "shop.jobs.charge"]
    payload = [(row["name"], row["total_kb"]) for row in found["functions_by_payload"]]
    assert payload == [("shop.jobs.newsletter", 9.0), ("shop.jobs.charge", 1.0)]
    assert [(row["name"], row["total_s"]) for row in found["queues_by_demand"]] == [("payments", 4.0), ("mails", 3.0)]
    assert [(row["name"], row["max_s"]) for row in found["queues_by_lag"]] == [("mails", 4.0), ("payments", 0.5)]
    assert "shop.jobs.newsletter" in programs.run("shipper", "top").stdout


def test_top_of_nothing_is_empty_tables(programs: Programs) -> None:
    assert "nothing yet" in programs.run("shipper", "top").stdout
