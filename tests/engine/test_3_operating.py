"""Rotating credentials, text logs, another Redis."""

from __future__ import annotations

import urllib.request

import pytest
from elasticsearch import AuthenticationException

from tests.engine.project import Project, wait_for
from tests.engine.test_1_first_start import secrets_of
from tests.engine.test_2_faults import finished


def test_rotated_credentials_are_taken_over_and_the_old_ones_are_worthless(project: Project) -> None:
    old, client = secrets_of(project), project.search("elastic")
    assert client.info()["version"]["number"]
    said = project.rotate()
    assert "docker compose stop" in said
    renewed = secrets_of(project)
    kept = old & renewed
    assert len(kept) < len(old) / 2
    assert not any(secret in said for secret in renewed)
    with client, pytest.raises(AuthenticationException):
        client.info()
    address = "http://" + project.run("port", "app", "8000").stdout.strip()
    order = urllib.request.Request(f"{address}/orders?customer=rotated", method="POST")
    with urllib.request.urlopen(order) as answer:
        assert answer.status == 201
    project.wait_until_all_is_indexed()  # the shipper takes its new key by itself
    project.run("stop")
    project.up()
    jobs = project.enqueue("time.sleep", 0, number=5)
    wait_for(lambda: finished(project, jobs), "the ends of all jobs")
    project.wait_until_all_is_indexed()
    assert project.tell("shipper", "timeline", "--since", "1h")
    assert "nothing was missing" in project.admin("setup")


def test_watch_alarms_when_nobody_works_and_closes_the_alarm_when_somebody_does(project: Project) -> None:
    def alarms(action: str) -> int:
        with project.search() as client:
            about = f'event.action:{action} AND rule.name:no_worker AND rq.alert.subject:"payments"'
            return int(client.count(index="rq-alert-*", q=about)["count"])

    opened, closed = alarms("alarm-opened"), alarms("alarm-closed")
    project.run("stop", "worker")
    jobs = project.enqueue("time.sleep", 0, number=3)
    wait_for(lambda: alarms("alarm-opened") > opened, "the alarm")
    project.kill("watch")  # its memory of the alarm is in a volume
    project.run("start", "worker")
    wait_for(lambda: alarms("alarm-closed") > closed, "the alarm's end")
    assert alarms("alarm-opened") == opened + 1
    wait_for(lambda: finished(project, jobs), "the ends of all jobs")
    project.wait_until_all_is_indexed()


def test_logstash_writes_with_a_key_of_its_own(project: Project) -> None:
    project.profiles = ["demo", "legacy"]
    project.write_env({**project.variables, **free_legacy_ports()})
    project.up()
    with project.search() as client:
        real = client.count(index="rq-job-*,rq-app-*", q="tags:legacy")["count"]
        standin = client.count(index="rq-job-*,rq-app-*", q='message:"text logs"')["count"]
    assert standin == 2 or real > 0
    told = str(project.containers("logstash"))
    assert not any(secret in told for secret in secrets_of(project))
    project.run("stop", "logstash")


def free_legacy_ports() -> dict[str, str]:
    from stack.processes import free_port

    return {"LEGACY_BEATS_PORT": str(free_port())}
