"""`shipper timeline` and `shipper top` on records that are known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch

from shipper import records, timeline
from shipper.settings import Settings
from tests.programs import BIN, LIMIT_S, Programs, wait_for, whole_lines

GOLDEN = json.loads((Path(__file__).parent.parent / "golden/job-finished.jsonl").read_text())
SECOND_NS = 1_000_000_000


def record(number: int, *, action: str = "job-finished", **changes: Any) -> bytes:
    """A record of some minutes ago, `number` microseconds after the others of its second, or those made `at` a time."""
    at = changes.get("at") or datetime.now(UTC)
    moment = at.replace(microsecond=0) - timedelta(minutes=5) + timedelta(microseconds=number)
    function, queue = changes.get("function", "shop.jobs.charge"), changes.get("queue", "payments")
    size, seconds, lag_ms = changes.get("size", 100), changes.get("seconds"), changes.get("lag_ms")
    event: dict[str, Any] = {
        "id": records.record_id(moment, str(number)),
        "dataset": "rq.job",
        "action": action,
        "outcome": changes.get("outcome", "success"),
        "reason": changes.get("reason"),
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
    now = datetime.now(UTC)
    ship(programs, *[record(number, at=now) for number in (7, 3, 9, 1)])
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
    nothing = programs.run("shipper", "timeline")
    assert (nothing.stdout, "No records" in nothing.stderr) == ("", True)
    ship(programs, record(1))
    (line,) = programs.run("shipper", "timeline").stdout.splitlines()
    assert line.split()[2:] == ["job-finished", "j1", "bob", "payments", "number", "1"]


def test_times_are_local_and_said_to_be_and_taken_so(programs: Programs) -> None:
    zone, now = "XYZ-5:30", datetime.now(UTC)
    ship(programs, record(1, at=now))
    local = (now + timedelta(hours=5, minutes=30) - timedelta(minutes=5)).strftime("%Y-%m-%d %H:")
    (line,) = programs.run("shipper", "timeline", TZ=zone).stdout.splitlines()
    assert line.startswith(local)
    assert "+05:30  job-finished" in line
    (line,) = programs.run("shipper", "timeline", "--utc", TZ=zone).stdout.splitlines()
    assert line.split()[1].endswith("Z")
    since = f"{now - timedelta(minutes=10):%Y-%m-%dT%H:%M:%S}"
    assert numbers(programs, "--since", since, "--utc") == [1]
    assert numbers(programs, "--until", since, "--since", "1d", "--utc") == []
    for command in ("timeline", "top"):
        done = programs.run("shipper", command, "--until", since, "--since", "1d", "--json", TZ=zone)
        assert ("number 1" in done.stdout) is False


def test_follow_goes_on_with_what_comes(programs: Programs) -> None:
    ship(programs, record(1))
    process = programs.start("shipper", "timeline", "--json", "--follow")
    log = programs.folder / "shipper.log"

    def seen() -> list[int]:
        return [int(json.loads(line)["message"].split()[1]) for line in whole_lines(log)]

    wait_for(lambda: seen() == [1], "the first record")
    ship(programs, record(2))
    wait_for(lambda: seen() == [1, 2], "the next record")
    process.send_signal(signal.SIGINT)
    assert process.wait(LIMIT_S) == 0


def test_records_are_chosen_by_what_happened(programs: Programs) -> None:
    ship(
        programs,
        record(1, action="job-enqueued"),
        record(2, action="job-dead", outcome="failure"),
        record(3, action="job-dead", outcome="failure", reason="expired"),
        record(4, action="job-stopped"),
    )
    assert numbers(programs, "--action", "job-dead", "--action", "job-stopped") == [2, 3, 4]
    assert numbers(programs, "--outcome", "failure") == [2, 3]
    assert numbers(programs, "--state", "dead") == [2]
    assert numbers(programs, "--state", "expired", "--state", "queued") == [1, 3]


def test_the_first_the_newest_and_the_other_way_round(programs: Programs, made: Settings) -> None:
    ship(programs, *[record(number) for number in range(1, 1501)])

    def asked(**how: Any) -> list[int]:
        return [int(entry.message.split()[1]) for entry in timeline.query(settings=made, **how)]

    assert asked(newest_first=True) == list(range(1500, 0, -1))
    assert asked(newest_first=True, limit=1200) == list(range(1500, 300, -1))
    assert asked(limit=2) == [1, 2]
    assert numbers(programs, "--last", "1200") == list(range(301, 1501))
    assert numbers(programs, "--newest-first", "--last", "2") == [1500, 1499]
    first = programs.run("shipper", "timeline", "--json", "--limit", "2")
    assert (first.stdout.count("\n"), "more than 2" in first.stderr) == (2, True)
    assert "more than" not in programs.run("shipper", "timeline", "--limit", "1500").stderr


def test_the_newest_of_any_time_are_shown(programs: Programs) -> None:
    old = json.loads(record(1))
    old["@timestamp"] = records.timestamp(datetime.now(UTC) - timedelta(days=3))
    ship(programs, records.encode(old))
    assert numbers(programs) == []
    assert numbers(programs, "--last", "1") == [1]
    assert numbers(programs, "--job", "j1") == [1]


def test_a_reader_that_goes_away_leaves_no_word_and_no_search_open(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    ship(programs, *[record(number) for number in range(1, 3000)])
    for flags in ("", "--json"):
        shell = f"{BIN}/shipper timeline {flags} | head -1; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", shell],
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
            env={**os.environ, **programs.environment},
        )
        assert (done.stderr, done.returncode, len(done.stdout.splitlines())) == ("", 0, 1)

    def open_searches() -> int:
        stats = search.indices.stats(index=f"rq-*-{namespace}-*", metric="search")
        return int(stats["_all"]["total"]["search"]["open_contexts"])

    # They would end by themselves after two minutes.
    wait_for(lambda: open_searches() == 0, "searches to be closed", limit_s=60)


def test_follow_begins_with_the_newest(programs: Programs) -> None:
    ship(programs, *[record(number) for number in range(1, 6)])
    programs.start("shipper", "timeline", "--json", "--follow", "--last", "2")
    log = programs.folder / "shipper.log"

    def seen() -> list[int]:
        return [int(json.loads(line)["message"].split()[1]) for line in whole_lines(log)]

    wait_for(lambda: seen() == [4, 5], "the newest two")
    ship(programs, record(6))
    wait_for(lambda: seen() == [4, 5, 6], "the next record")


@pytest.mark.parametrize(
    "flags",
    [
        ("--follow", "--limit", "1"),
        ("--follow", "--newest-first"),
        ("--last", "1", "--limit", "1"),
        ("--html", "x.html", "--newest-first"),
        ("--state", "failed"),
    ],
)
def test_flags_that_do_not_go_together_are_refused(programs: Programs, flags: tuple[str, ...]) -> None:
    done = programs.run("shipper", "timeline", *flags, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_longest_executions_are_listed_longest_first(programs: Programs) -> None:
    ship(
        programs,
        record(1, action="job-started"),
        record(2, seconds=2, job="short"),
        record(3, seconds=90, job="long", function="shop.jobs.newsletter", queue="mails"),
        record(4, seconds=5, job="middle"),
        record(5, seconds=7, job="another", customer="7"),
    )
    found = json.loads(programs.run("shipper", "top", "--executions", "--json", "--customer", "42").stdout)
    assert [(row["job"], row["duration_s"]) for row in found["executions"]] == [
        ("long", 90.0),
        ("middle", 5.0),
        ("short", 2.0),
    ]
    assert (found["executions"][0]["function"], found["executions"][0]["queue"]) == ("shop.jobs.newsletter", "mails")
    said = programs.run("shipper", "top", "--executions", "--size", "2").stdout
    assert said.index("long") < said.index("another")
    assert "middle" not in said


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
