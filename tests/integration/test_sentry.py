"""Beside sentry-sdk, loaded before or after us: its events name the job and its user, and no record is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.programs import Programs

OURS = "import shipper; shipper.instrument()"
SENTRY = """
import sentry_sdk
from sentry_sdk.integrations.rq import RqIntegration

def note(event, hint):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps({name: event.get(name) for name in ("user", "tags", "contexts")}, default=str) + "\\n")
    return None  # nobody is there to be sent anything

sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", integrations=[RqIntegration()], before_send=note)
"""
WORK = """
import redis, rq, tests.work
queue = rq.Queue("letters", connection=redis.Redis.from_url(os.environ["SHIPPER_REDIS"]))
for worker in (rq.SimpleWorker, rq.Worker):
    with shipper.log_context(user="bob", customer="42", plan="gold"):
        queue.enqueue(tests.work.fail, job_id=worker.__name__)
    worker([queue], connection=queue.connection).work(burst=True, logging_level="CRITICAL")
with shipper.log_context(user="ann"):
    sentry_sdk.capture_message("in the application")
"""


@pytest.mark.parametrize("ours_comes", ["first", "last"])
@pytest.mark.usefixtures("connection")
def test_events_carry_the_job_and_the_context(programs: Programs, tmp_path: Path, ours_comes: str) -> None:
    notes = tmp_path / "notes"
    both = [OURS, SENTRY] if ours_comes == "first" else [SENTRY, OURS]
    programs.run("python", "-c", "\n".join(["import json, os", *both, WORK]), NOTES=str(notes))
    assert programs.actions() == ["job-enqueued", "job-started", "job-dead"] * 2
    *of_jobs, last = [json.loads(line) for line in notes.read_text().splitlines()]
    assert [event["tags"]["rq.job_id"] for event in of_jobs] == ["SimpleWorker", "Worker"]
    for event in of_jobs:
        assert event["user"]["id"] == "bob"
        assert (event["tags"]["rq.queue"], event["tags"]["customer"]) == ("letters", "42")
        assert event["contexts"]["rq-shipper"]["labels"] == {"plan": "gold"}
    assert last["user"]["id"] == "ann"
