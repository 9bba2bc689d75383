"""`shipper check`: exit statuses of monitoring plugins, and figures for autoscalers."""

from __future__ import annotations

import json

import pytest
from rq import Queue

from tests import work
from tests.programs import Programs, wait_for

ALONE = {"SHIPPER_ELASTICSEARCH": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (["--queue", "letters", "--max-age", "1h"], 0, "RQ OK: 1 queue, 2 jobs wait"),
        (["--queue", "letters", "--max-age", "1ms"], 2, "RQ CRITICAL: letters: the oldest of 2 jobs has waited"),
        (["--max-depth", "1"], 2, "2 jobs wait, the limit is 1"),
        (["--queue", "letters", "--min-workers", "1"], 2, "no live worker"),
        (["--rule", "queue_depth", "--rule", "worker_silent"], 0, "RQ OK"),
        (["--queue", "lettres"], 3, "Did you mean letters?"),
        (["--max-age", "soon"], 3, "must be a time such as"),
        (["--rule", "queue_deep"], 3, "Did you mean queue_depth?"),
    ],
)
def test_the_exit_status_is_a_plugin_s(
    flags: list[str], status: int, said: str, queue: Queue, programs: Programs
) -> None:
    queue.enqueue(work.add, 1, 2)
    queue.enqueue(work.add, 1, 2)
    done = programs.run("shipper", "check", *flags, check=False, **ALONE)
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done
    assert done.stdout.count("\n") <= 1


def test_without_limits_the_settings_count_and_warnings_are_1(queue: Queue, programs: Programs) -> None:
    queue.enqueue(work.add, 1, 2)
    alarms = "no_worker.severity=warning,elasticsearch_unreachable.enabled=no"
    done = programs.run("shipper", "check", "--json", check=False, SHIPPER_ALARMS=alarms, **ALONE)
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"]) == (1, "warning")
    assert [one["rule"] for one in told["findings"]] == ["no_worker"]
    assert "latency" in told["not_checked"]
    assert told["figures"]["depth"] == 1


def test_a_redis_that_is_away_is_unknown(programs: Programs) -> None:
    done = programs.run("shipper", "check", check=False, SHIPPER_REDIS="redis://127.0.0.1:1/0")
    assert (done.returncode, "RQ UNKNOWN: Redis cannot be asked" in done.stdout) == (3, True)


def test_figures_for_an_autoscaler(queue: Queue, programs: Programs) -> None:
    gate = programs.folder / "gate"
    queue.enqueue(work.wait_for, str(gate))
    queue.enqueue(work.add, 1, 2)
    programs.start("shipper", "worker", "letters")

    def figure(name: str) -> str:
        return programs.run("shipper", "check", "--queue", "letters", "--print", name).stdout.strip()

    wait_for(lambda: figure("busy-workers") == "1", "the worker to be busy")
    assert [figure(name) for name in ("workers", "depth", "utilization", "jobs-per-worker")] == ["1", "1", "1", "1"]
    assert float(figure("oldest-age")) > 0
    gate.touch()
    done = programs.run("shipper", "check", "--queue", "none", "--print", "depth")
    assert (done.stdout.strip(), "no queue none yet" in done.stderr) == ("0", True)
