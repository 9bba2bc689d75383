"""Which files speak for jobs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shipper import settings
from shipper.ship.reader.days import PAST_DAYS_LIMIT
from shipper.ship.source.trust import is_trusted
from tests.bulk_server import serving
from tests.unit.test_pipeline import GOLDEN, Run

TRUSTED = "/more/*/jobs-*.jsonl,/deep/**/x,/one/?/[!a].jsonl"
MADE = settings.load(
    environment={
        "SHIPPER_LOG": "/logs/a[b]/records.jsonl",
        "SHIPPER_TRUSTED_FILES": TRUSTED,
    }
)


@pytest.mark.parametrize(
    ("path", "trusted"),
    [
        ("/logs/a[b]/records.jsonl", True),
        ("/logs/a[b]/records.jsonl.2026-11-25T10:00:00Z", True),
        ("/logs/a[b]/records.jsonl.1.gz", True),
        ("/logs/a[b]/records.jsonl-20261125", True),
        ("/logs/a[b]/records.jsonl-of-others", False),
        ("/logs/ab/records.jsonl", False),
        ("/logs/a[b]/records.jsonl.d/other", False),
        ("/logs/a[b]/other.jsonl", False),
        ("/more/web/jobs-1.jsonl", True),
        ("/more/web/deeper/jobs-1.jsonl", False),
        ("/more/web/jobs-1.jsonl.old", False),
        ("/deep/1/2/3/x", True),
        ("/deep/x", True),
        ("/deep/x/y", False),
        ("/one/1/b.jsonl", True),
        ("/one/1//.jsonl", False),
        ("<stdin>", True),
    ],
)
def test_the_log_and_what_is_named_are_trusted(path: str, trusted: bool) -> None:
    assert is_trusted(Path(path), MADE) is trusted


def test_another_file_makes_no_job_s_record_and_no_state(tmp_path: Path) -> None:
    with serving() as server:
        run = Run(tmp_path, server)
        run.log.write_bytes(json.dumps(GOLDEN).encode() + b"\n")
        foreign = tmp_path / "logs-of-others"
        foreign.write_bytes(json.dumps(GOLDEN).encode() + b"\n")
        run.discovery._globs = (str(run.log), str(foreign))
        run.ship()
        assert sorted(index.split("-")[1] for index, _ in server.documents) == ["app", "job"]
        assert len(server.states) == 1


def test_lines_of_others_are_of_so_many_days_and_no_more(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    lines = [
        json.dumps({"@timestamp": (now - timedelta(days=days)).isoformat(), "message": f"{days} {again}"})
        for again in range(2)
        for days in range(PAST_DAYS_LIMIT + 5)
    ]
    with serving() as server:
        run = Run(tmp_path, server)
        foreign = tmp_path / "others"
        foreign.write_bytes("\n".join([*lines, ""]).encode())
        run.discovery._globs = (str(foreign),)
        run.ship()
        assert len({index for index, _ in server.documents}) == PAST_DAYS_LIMIT + 2  # today and yesterday are free
        assert len(server.documents) + len(run.dead()) == len(lines)
        assert all("past days already" in str(one["reason"]) for one in run.dead())
