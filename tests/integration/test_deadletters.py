"""`shipper deadletter`: seen, put right, sent again, each line in exactly one place."""

from __future__ import annotations

import json
import os

import pytest
from elasticsearch import Elasticsearch

from shipper.ship.source.tail import LINE_LIMIT
from tests.integration.test_shipping import append, indexed, lines
from tests.programs import Programs

REFUSED = b'{"@timestamp":"long ago","event":{"id":"1","dataset":"rq.job"}}\n'


@pytest.fixture
def dead_letters(programs: Programs) -> list[dict[str, object]]:
    """Three dead letters: a line that is not JSON, one with a wrong time, and bytes that are not text."""
    append(programs, b"{half\n" + lines(1) + REFUSED + b"\xff\xfe\n")
    programs.run("shipper", "run", "--once")
    return listed(programs)


def listed(programs: Programs) -> list[dict[str, object]]:
    out = programs.run("shipper", "deadletter", "list", "--json").stdout
    return [json.loads(line) for line in out.splitlines()]


def test_they_are_listed_with_the_reason(programs: Programs, dead_letters: list[dict[str, object]]) -> None:
    assert [dead_letter["line"] for dead_letter in dead_letters] == ["{half", REFUSED.decode().rstrip(), "\\xff\\xfe"]
    assert ["not JSON" in str(dead_letter["reason"]) for dead_letter in dead_letters] == [True, False, True]
    people = programs.run("shipper", "deadletter", "list").stdout.splitlines()
    assert len(people) == 3
    assert str(dead_letters[1]["reason"]) in people[1]


def test_one_that_was_put_right_is_indexed_and_taken_out(
    programs: Programs, dead_letters: list[dict[str, object]], search: Elasticsearch, namespace: str
) -> None:
    identifier = str(dead_letters[1]["id"])
    shown = programs.run("shipper", "deadletter", "show", identifier).stdout
    assert shown == REFUSED.decode()
    right = shown.replace("long ago", "2026-11-20T10:00:00.000000Z")
    done = programs.run(
        "shipper", "deadletter", "replay", identifier, "--line", "-", stdin=right.encode(), SHIPPER_PAST_DAYS="9999"
    )
    assert "1 indexed" in done.stderr
    assert [dead_letter["id"] for dead_letter in listed(programs)] == [dead_letters[0]["id"], dead_letters[2]["id"]]
    assert indexed(search, namespace) == 2
    programs.run("shipper", "deadletter", "replay", identifier, check=False)
    assert indexed(search, namespace) == 2


def test_those_that_are_refused_again_stay(programs: Programs, dead_letters: list[dict[str, object]]) -> None:
    done = programs.run("shipper", "deadletter", "replay", "--all", check=False)
    assert done.returncode == 1
    assert done.stdout.count("not JSON") == 2
    assert listed(programs) == dead_letters


def test_a_replay_that_was_cut_off_doubles_nothing(
    programs: Programs, dead_letters: list[dict[str, object]], search: Elasticsearch, namespace: str
) -> None:
    """The same line in two state folders, as after a restored backup."""
    programs.run("shipper", "run", "--once", "--state", str(programs.folder / "other"))
    wide = {"SHIPPER_PAST_DAYS": "99999"}
    right = REFUSED.replace(b"long ago", b"2026-11-20T10:00:00.000000Z")
    for state in ("state", "other"):
        folder = ("--state", str(programs.folder / state))
        identifier = str(dead_letters[1]["id"])
        programs.run("shipper", "deadletter", "replay", *folder, identifier, "--line", "-", stdin=right, **wide)
    assert indexed(search, namespace) == 2


def test_purging_asks_first(programs: Programs, dead_letters: list[dict[str, object]]) -> None:
    assert programs.run("shipper", "deadletter", "purge", "--all", check=False).returncode == 1
    assert len(listed(programs)) == 3
    programs.run("shipper", "deadletter", "purge", str(dead_letters[0]["id"]), "--yes")
    assert [dead_letter["id"] for dead_letter in listed(programs)] == [dead_letters[1]["id"], dead_letters[2]["id"]]
    programs.run("shipper", "deadletter", "purge", "--all", "--yes")
    assert listed(programs) == []


def test_a_line_of_200_mb_is_kept_whole_and_costs_its_neighbours_nothing(
    programs: Programs, search: Elasticsearch, namespace: str
) -> None:
    """Scenario 16. The shipper never holds it: the file is a hole of that size."""
    length = 200_000_000
    append(programs, lines(5))
    start = programs.log.stat().st_size
    os.truncate(programs.log, start + length)
    append(programs, b"\n" + lines(5, start=5))
    programs.run("shipper", "run", "--once")
    (dead_letter,) = listed(programs)
    assert (dead_letter["size"], dead_letter["offset"]) == (length + 1, start)
    assert str(LINE_LIMIT) in str(dead_letter["reason"])
    assert indexed(search, namespace) == 10
    again = programs.run("shipper", "deadletter", "replay", "--all", check=False)
    assert (again.returncode, again.stdout) == (1, f"{dead_letter['id']}  {dead_letter['reason']}\n")


def test_an_id_that_is_not_there_is_said(programs: Programs) -> None:
    done = programs.run("shipper", "deadletter", "show", "nothing", check=False)
    assert done.returncode == 1
    assert "There is no dead letter with the id nothing" in done.stderr
