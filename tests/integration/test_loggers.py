"""RQ's loggers may not propagate: nothing that we write or log depends on them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from rq import Queue

from tests import work
from tests.programs import ROOT, Programs

# RQ's settings file. RQ 3 turns propagation off itself where it sets handlers up; here it is off for all its loggers.
QUIET = """
import logging, os, shipper
def to_file(name):
    handler = logging.FileHandler(os.environ[name])
    handler.setFormatter(shipper.JsonFormatter())
    return handler
logging.getLogger().addHandler(to_file("APPLICATION_LOG"))
for name in ("rq", "rq.worker", "rq.job", "rq.queue", "rq.registry", "rq.scheduler"):
    logging.getLogger(name).propagate = False
logging.getLogger("rq.worker").addHandler(to_file("RQ_LOG"))
"""
NOTIFIED = """
import json, sentry_sdk
from sentry_sdk.integrations.rq import RqIntegration
def note(event, hint):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps(event.get("tags"), default=str) + "\\n")
sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", integrations=[RqIntegration()], before_send=note)
"""


@pytest.fixture
def quiet(programs: Programs) -> dict[str, str]:
    """The environment of a worker whose RQ loggers do not propagate to the root logger."""
    (programs.folder / "quiet_settings.py").write_text(QUIET + NOTIFIED)
    return {
        "PYTHONPATH": f"{programs.folder}{os.pathsep}{ROOT}",
        **{name: str(programs.folder / name.lower()) for name in ("APPLICATION_LOG", "RQ_LOG", "NOTES")},
    }


def read(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_records_lines_and_notifiers_do_not_go_by_rq_s_loggers(
    queue: Queue, programs: Programs, quiet: dict[str, str]
) -> None:
    job, failing = queue.enqueue(work.log_a_line, "looking"), queue.enqueue(work.fail)
    programs.work("letters", "--config", "quiet_settings", **quiet)
    assert programs.actions()[2:] == ["job-started", "job-finished", "job-started", "job-dead"]
    application = read(quiet["APPLICATION_LOG"])
    (looking,) = [line for line in application if line["message"] == "looking"]
    assert looking["messaging"]["message"]["id"] == job.id
    assert not [line for line in application if line["log"]["logger"].startswith("rq")]
    errors = [line for line in read(quiet["RQ_LOG"]) if line["log"]["level"] == "error"]
    assert {line["messaging"]["message"]["id"] for line in errors} == {failing.id}
    assert [tags["rq.job_id"] for tags in read(quiet["NOTES"])] == [failing.id]


def test_what_we_have_to_say_does_not_go_by_rq_s_loggers(
    queue: Queue, programs: Programs, quiet: dict[str, str]
) -> None:
    queue.enqueue(work.add, 1, 2)
    programs.work("letters", "--config", "quiet_settings", SHIPPER_LOG="/dev/full", **quiet)
    warned = [line["message"] for line in read(quiet["APPLICATION_LOG"]) if line["log"]["logger"] == "shipper"]
    assert [text for text in warned if text.startswith("Job records cannot be written to /dev/full")]
