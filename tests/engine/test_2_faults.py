"""Whatever is killed, restarted or taken: no job and no record is lost, and none comes twice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from stack.engine import Engine
from tests.engine.project import Project, ends_job, wait_for

BUSY = 40


def finished(project: Project, jobs: list[str]) -> bool:
    """Whether each has its end on record, and no more than one."""
    ends = [one["messaging"]["message"]["id"] for one in project.written() if ends_job(one)]
    return all(ends.count(job) == 1 for job in jobs)


@pytest.mark.parametrize("service", ["worker", "shipper", "watch", "prune", "redis", "elasticsearch", "kibana", "app"])
def test_what_is_killed_comes_back_and_nothing_is_lost(project: Project, service: str) -> None:
    jobs = project.enqueue("time.sleep", 0.1, number=BUSY)
    restarts = project.container(service)["RestartCount"]
    project.kill(service)
    wait_for(lambda: project.container(service)["RestartCount"] > restarts, f"{service} to be started again")
    project.wait_until_healthy()
    wait_for(lambda: finished(project, jobs), "the ends of all jobs")
    project.wait_until_all_is_indexed()


def test_a_job_of_a_killed_worker_has_its_true_end_within_three_minutes(project: Project) -> None:
    (job,) = project.enqueue("time.sleep", 900, job_timeout=1000)
    wait_for(lambda: any(one["event"]["action"] == "job-started" for one in project.records(job)), "the job's start")
    project.kill("worker")
    wait_for(lambda: project.ending(job), "the job's end", limit_s=180)
    end = project.ending(job)
    assert end
    assert (end["event"]["action"], end["event"]["reason"]) == ("job-dead", "abandoned")


def test_a_running_job_survives_the_restart_of_its_worker(project: Project) -> None:
    (job,) = project.enqueue("time.sleep", 20)
    wait_for(lambda: any(one["event"]["action"] == "job-started" for one in project.records(job)), "the job's start")
    project.run("restart", "worker")
    wait_for(lambda: project.ending(job), "the job's end")
    end = project.ending(job)
    assert end
    assert end["event"]["action"] == "job-finished"
    assert len([one for one in project.records(job) if one["event"]["action"] == "job-started"]) == 1


def test_down_and_up_with_a_full_queue_loses_no_job(project: Project) -> None:
    project.run("stop", "worker")
    jobs = project.enqueue("time.sleep", 0.01, number=200)
    assert not any(project.ending(job) for job in jobs[:3])
    project.run("down")
    assert project.containers() == []
    project.up()
    wait_for(lambda: finished(project, jobs), "the ends of all jobs")
    project.wait_until_all_is_indexed()
    assert {one["event"]["action"] for job in jobs[::50] for one in project.records(job)} >= {"job-finished"}


def test_scaled_workers_are_told_apart_and_a_second_shipper_waits(project: Project) -> None:
    project.up("--scale", "worker=3", "--scale", "shipper=2", "--no-recreate")
    jobs = project.enqueue("time.sleep", 0.5, number=12)
    wait_for(lambda: finished(project, jobs), "the ends of all jobs")
    hosts = {one["host"]["name"] for job in jobs for one in project.records(job) if "end" in one["event"]}
    assert len(hosts) > 1
    assert hosts <= {one["Config"]["Hostname"] for one in project.containers("worker")}
    project.wait_until_all_is_indexed()
    first, second = project.containers("shipper")
    assert first["RestartCount"] + second["RestartCount"] <= 1  # that of the test which killed it
    logs = {one["Name"]: project.engine.docker("logs", one["Id"]).stderr for one in (first, second)}
    (standby,) = [name for name, text in logs.items() if text.rstrip().endswith("}") and "Waiting for it" in text]
    (active,) = set(logs) - {standby}
    project.engine.docker("stop", active.lstrip("/"))
    jobs = project.enqueue("time.sleep", 0, number=5)
    wait_for(lambda: finished(project, jobs), "the ends of more jobs")
    project.wait_until_all_is_indexed()
    project.up("--scale", "worker=1", "--scale", "shipper=1")


def test_a_restart_of_the_engine_brings_everything_back(engine: Engine, project: Project) -> None:
    if not engine.is_own:
        pytest.skip("the engine is not our own: it is not ours to restart")
    project.run("stop", "worker")
    jobs = project.enqueue("time.sleep", 0.05, number=BUSY)
    project.run("start", "worker")
    services = {one["Name"] for one in project.containers() if one["State"]["Running"]}
    engine.restart()
    project.wait_until_healthy()
    assert {one["Name"] for one in project.containers() if one["State"]["Running"]} == services
    wait_for(lambda: finished(project, jobs), "the ends of all jobs")
    project.wait_until_all_is_indexed()


@contextmanager
def taken(port: int) -> Iterator[None]:
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        yield


def test_a_taken_port_of_kibana_does_not_stop_shipping(project: Project) -> None:
    project.run("down")
    with taken(int(project.variables["KIBANA_PORT"])):
        done = project.run("up", "--wait", check=False)
        assert done.returncode != 0
        assert "address already in use" in done.stderr
        wait_for(lambda: project.container("shipper")["State"]["Health"]["Status"] == "healthy", "the shipper")
        assert {one["State"]["Status"] for one in project.containers("kibana")} == {"created"}
        jobs = project.enqueue("time.sleep", 0, number=5, service="worker")
        wait_for(lambda: finished(project, jobs), "the ends of all jobs")
        project.wait_until_all_is_indexed()
    project.up()
    assert project.healthy()
