"""Every way to switch the records on, with the unmodified `rq` command: each gives the same three records."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import redis
from rq import Queue

from tests import work
from tests.programs import LIMIT_S, Programs, wait_for

RECORDS = ["job-enqueued", "job-started", "job-finished"]


def flags(programs: Programs) -> list[str]:
    return ["letters", "--burst", "--url", programs.environment["SHIPPER_REDIS"]]


@pytest.mark.parametrize("way", ["variable", "flag", "settings module", "shipper worker"])
def test_each_switch_covers_the_worker(way: str, queue: Queue, programs: Programs, tmp_path: Path) -> None:
    queue.enqueue(work.add, 1, 2)
    if way == "variable":
        programs.run("rq", "worker", *flags(programs), RQ_JOB_CLASS="shipper.LoggedJob")
    elif way == "flag":
        programs.run("rq", "worker", "--job-class", "shipper.LoggedJob", *flags(programs))
    elif way == "settings module":
        (tmp_path / "worker_settings.py").write_text("import shipper\nshipper.instrument()\n")
        programs.run("rq", "worker", "-c", "worker_settings", *flags(programs), PYTHONPATH=str(tmp_path))
    else:
        programs.run("shipper", "worker", *flags(programs))
    assert programs.actions() == RECORDS


def test_a_worker_pool_is_covered(queue: Queue, programs: Programs) -> None:
    for number in range(3):
        queue.enqueue(work.add, number, 2)
    programs.run("rq", "worker-pool", "--num-workers", "2", *flags(programs), RQ_JOB_CLASS="shipper.LoggedJob")
    assert sorted(programs.actions()) == sorted(RECORDS * 3)


def test_without_a_switch_nothing_is_written(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.add, 1, 2)
    programs.run("rq", "worker", *flags(programs))
    assert programs.actions() == ["job-enqueued"]


def test_the_scheduler_that_a_worker_forks_is_covered(queue: Queue, programs: Programs) -> None:
    from datetime import timedelta

    queue.enqueue_in(timedelta(seconds=1), work.add, 1, 2)
    url = programs.environment["SHIPPER_REDIS"]
    worker = programs.start(
        "rq", "worker", "letters", "--with-scheduler", "--url", url, RQ_JOB_CLASS="shipper.LoggedJob"
    )
    wait_for(lambda: "job-finished" in programs.actions(), "the scheduled job")
    worker.send_signal(signal.SIGTERM)
    worker.wait(LIMIT_S)
    assert programs.actions() == ["job-scheduled", *RECORDS]
    assert programs.records()[1]["rq"]["cause"] == "scheduler"


def test_cron_is_covered(queue: Queue, programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "cron_settings.py").write_text(
        "import shipper\nshipper.instrument()\nfrom rq import cron\nfrom tests import work\n"
        "cron.register(work.add, 'letters', args=(1, 2), interval=86_400)\n"
    )
    path = f"{tmp_path}:{Path(__file__).parent.parent.parent}"
    url = programs.environment["SHIPPER_REDIS"]
    cron = programs.start("rq", "cron", "cron_settings", "--url", url, PYTHONPATH=path)
    wait_for(programs.actions, "the first job of the cron")
    cron.send_signal(signal.SIGTERM)
    cron.wait(LIMIT_S)
    (record,) = programs.records()
    assert record["rq"]["cause"] == "cron"


def test_django_rq_s_job_class_covers_both_sides(programs: Programs, connection: redis.Redis, tmp_path: Path) -> None:
    url = programs.environment["SHIPPER_REDIS"]
    (tmp_path / "django_settings.py").write_text(
        "SECRET_KEY = 'tests'\nINSTALLED_APPS = ['django_rq']\nUSE_TZ = True\n"
        f"RQ_QUEUES = {{'letters': {{'URL': {url!r}}}}}\nRQ = {{'JOB_CLASS': 'shipper.LoggedJob'}}\n"
    )
    (tmp_path / "push.py").write_text(
        "import django; django.setup()\nimport django_rq\nfrom tests import work\n"
        "django_rq.get_queue('letters').enqueue(work.add, 1, 2)\n"
    )
    given = {"DJANGO_SETTINGS_MODULE": "django_settings", "PYTHONPATH": str(tmp_path)}
    programs.run("python", str(tmp_path / "push.py"), **given)
    programs.run("python", "-m", "django", "rqworker", "letters", "--burst", **given)
    assert programs.actions() == RECORDS
