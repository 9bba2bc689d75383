"""Records that try to be obeyed, through the commands that show them, on a real Elasticsearch and a real Redis."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from elasticsearch import Elasticsearch
from rq.job import Job

from shipper.printable import printable
from tests.programs import Programs
from tests.unit.test_printable import HOSTILE, MARKUP, OBEYED, hostile_record

ODD: list[dict[str, Any]] = [
    {"message": ["a", "b"]},
    {"message": 7},
    {"message": None},
    {"messaging": None},
    {"messaging": [{"destination": {"name": "q"}}]},
    {"messaging": {"destination": [{"name": "q"}]}},
    {"event": {"dataset": "rq.job", "action": ["a", "b"], "outcome": ["x"]}},
    {"event": {"dataset": "rq.job", "action": None}},
    {"user": None},
]


@pytest.fixture
def hostile(search: Elasticsearch, namespace: str, programs: Programs) -> None:
    programs.run("shipper", "setup")
    now = datetime.now(UTC)
    at = f"{now:%Y-%m-%dT%H:%M:%S.000000Z}"
    records = [hostile_record(HOSTILE), hostile_record(MARKUP)]
    records += [{**hostile_record("x"), **odd} for odd in ODD]
    for record in records:
        record["@timestamp"] = at
        record["event"] = {**record["event"], "duration": 5}
        search.index(index=f"rq-job-{namespace}-{now:%Y.%m.%d}", document=record)
    search.indices.refresh(index=f"rq-job-{namespace}-*")


@pytest.mark.usefixtures("hostile")
def test_no_command_obeys_a_record(programs: Programs) -> None:
    for command in (
        ("timeline",),
        ("timeline", "--json"),
        ("top",),
        ("top", "--json"),
        ("job", HOSTILE.replace("\x00", "")),
        ("job", "x"),
        ("job", "x", "--json"),
        ("audit", "verify"),
    ):
        done = programs.run("shipper", *command, check=False)
        assert "Traceback" not in done.stderr
        out = done.stdout + done.stderr
        assert not [one for one in OBEYED if one in out], command
    assert printable(MARKUP) in programs.run("shipper", "timeline").stdout
    lines = programs.run("shipper", "timeline", "--json").stdout.splitlines()
    assert {json.loads(line)["message"] for line in lines if "title" in line} == {HOSTILE}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("timeline", "--since", "99999999999d"), "beyond what a time can be"),
        (("timeline", "--since", "0001-01-01T00:00+14:00"), "beyond what a time can be"),
        (("job", ""), "A job's id is not empty"),
    ],
)
def test_what_cannot_be_asked_is_a_clear_error(arguments: tuple[str, ...], says: str, programs: Programs) -> None:
    done = programs.run("shipper", *arguments, check=False)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "fields",
    [
        {"retries_left": "abc"},
        {"created_at": "garbage", "started_at": "1e300"},
        {"shipper": '{"context": [1, 2], "function": {}, "max_attempts": "x"}'},
        {"shipper": '{"scheduled_at": 1e300, "max_attempts": 1e300}'},
        {"number_of_retries": "-1", "description": "\\ud800", "origin": HOSTILE},
    ],
)
def test_an_odd_job_in_redis_is_shown_without_that_part(
    fields: dict[str, str], programs: Programs, connection: redis.Redis
) -> None:
    connection.hset(Job.key_for("odd"), mapping={**fields, "status": "queued"})  # type: ignore[dict-item]
    done = programs.run("shipper", "job", "odd")
    assert "queued" in done.stdout
    assert not [one for one in OBEYED if one in done.stdout]
