"""The first start, and what a user does next."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request

import pytest
from elasticsearch import AuthorizationException, Elasticsearch

from tests.engine.project import Project, ends_job, wait_for
from tests.programs import BIN, ROOT

JOBS = 298


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    done = subprocess.run([BIN / "hadolint", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("files", [(), ("-f", "docker-compose.yml", "-f", "compose.production.yml")])
def test_compose_has_no_warning(project: Project, files: tuple[str, ...]) -> None:
    done = project.engine.docker("compose", *files, "--profile", "*", "config", folder=project.folder)
    assert done.stderr == ""


def test_up_waits_until_all_is_healthy_and_succeeds(project: Project) -> None:
    project.run("build")
    project.up()
    assert project.healthy()
    codes = {
        one["Name"]: one["State"]["ExitCode"] for one in project.containers() if one["State"]["Status"] == "exited"
    }
    assert len(codes) == 4
    assert set(codes.values()) == {0}


def test_every_record_of_the_day_is_there_once(project: Project) -> None:
    def ended() -> bool:
        return len({one["messaging"]["message"]["id"] for one in project.written() if ends_job(one)}) >= JOBS

    wait_for(ended, f"the ends of {JOBS} jobs")
    assert project.wait_until_all_is_indexed() > 2 * JOBS


def test_an_order_of_the_shop_s_customer_is_on_one_timeline(project: Project) -> None:
    address = "http://" + project.run("port", "app", "8000").stdout.strip()
    with urllib.request.urlopen(urllib.request.Request(f"{address}/session?customer=compose", method="POST")) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(urllib.request.Request(f"{address}/orders?customer=compose", method="POST")) as answer:
        assert answer.status == 201

    def told() -> bool:
        said = project.tell("shipper", "timeline", "--customer", "compose", "--json")
        actions = [json.loads(line)["event"]["action"] for line in said.splitlines()]
        return actions.count("job-finished") == 3 and "signed-in" in actions

    wait_for(told, "sign-in and three jobs on the timeline")
    assert "all is as it was written" in project.tell("shipper", "audit", "verify")


def test_the_dashboards_are_imported_and_their_address_opens(project: Project) -> None:
    said = project.run("logs", "--no-log-prefix", "dashboards").stdout
    number = len((ROOT / "shipper/index/saved_objects/objects.ndjson").read_text().splitlines())
    assert f"import {number} objects" in said
    address = re.search(r"open +(http://127\.0\.0\.1:\d+)/app/dashboards", said)
    assert address
    with urllib.request.urlopen(f"{address[1]}/api/status") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("service", ["shipper", "watch", "prune"])
def test_what_runs_on_logs_lines_of_json(project: Project, service: str) -> None:
    for line in project.run("logs", "--no-log-prefix", "--no-color", service).stdout.splitlines():
        assert json.loads(line)["log.level"] in ("info", "warning"), line


def test_the_reader_logs_in_and_may_only_read(project: Project) -> None:
    with project.search() as client:
        assert client.count(index="rq-job-*")["count"] > JOBS
        with pytest.raises(AuthorizationException):
            client.index(index="rq-job-default-2026.01.01", document={})
        with pytest.raises(AuthorizationException):
            client.indices.delete(index=next(iter(client.indices.get(index="rq-job-*"))))


def test_elasticsearch_and_redis_answer_nobody_else(project: Project) -> None:
    address = project.run("port", "elasticsearch", "9200").stdout.strip()
    with Elasticsearch(f"https://{address}", ca_certs=str(project.folder / "ca.crt")) as client:
        assert client.options(ignore_status=401).perform_request("GET", "/").meta.status == 401
    said = project.run("exec", "-T", "redis", "redis-cli", "keys", "*").stdout
    assert said.startswith("NOAUTH")


def secrets_of(project: Project) -> set[str]:
    """Every secret of the installation: passwords, keys, tokens, private keys."""
    command = ["run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "setup", "-c"]
    stored = json.loads(project.run(*command, "cat /keys/admin/credentials.json").stdout)
    keys = project.run(*command, "cat /keys/admin/api-keys/*.key").stdout.split()
    private = [pair[1] for pair in (stored["authority"], *stored["certificates"].values())]
    lines = {line for text in private for line in text.splitlines() if "PRIVATE" not in line}
    simple = {
        stored["audit_key"],
        stored["kibana_token"],
        *stored["passwords"].values(),
        *stored["kibana_keys"].values(),
    }
    return {*lines, *simple, *keys}


def test_no_secret_is_in_a_log_or_in_what_the_engine_tells(project: Project) -> None:
    secrets = secrets_of(project)
    assert len(secrets) > 20
    assert min(map(len, secrets)) >= 24  # so that none is found by chance
    images = json.loads(project.engine.docker("image", "inspect", "rq-shipper:0.2.0").stdout)
    told = {
        "logs": project.run("logs", "--no-color").stdout,
        "inspect": json.dumps(project.containers()),
        "image": json.dumps(images) + project.engine.docker("history", "--no-trunc", "rq-shipper:0.2.0").stdout,
        "processes": project.run("top").stdout,
    }
    assert not [(where, secret) for where, text in told.items() for secret in secrets if secret in text]


def test_each_service_sees_its_own_credentials(project: Project) -> None:
    seen = {
        name: set(project.tell("ls", "/run/keys", service=name).split())
        for name in ("worker", "app", "shipper", "watch", "prune", "redis", "kibana")
    }
    assert seen["worker"] == seen["app"] == {"shipper.toml"}
    assert seen["shipper"] == seen["watch"] == seen["prune"] == {"shipper.toml", "ca.crt"}
    assert seen["redis"] == {"users.acl"}
    assert seen["kibana"] == {"kibana.yml", "kibana.crt", "kibana.key", "ca.crt"}
    for service in ("worker", "shipper", "watch"):
        mode = project.tell("stat", "-c", "%a %u", "/run/keys/shipper.toml", service=service)
        assert mode.split() == ["400", "10001"]


def test_a_second_build_and_a_second_up_change_nothing(project: Project) -> None:
    def state() -> dict[str, tuple[str, str]]:
        lives = [one for one in project.containers() if one["HostConfig"]["RestartPolicy"]["Name"] != "on-failure"]
        return {one["Name"]: (one["Image"], one["State"]["StartedAt"]) for one in lives}

    def of_jobs() -> set[str]:  # the watch goes on writing gauges
        return {one["event"]["id"] for one in project.written() if one["event"]["dataset"] == "rq.job"}

    before, records, login = state(), of_jobs(), project.admin("login")
    project.run("build")
    project.up()
    assert state() == before
    assert project.admin("login") == login
    project.wait_until_all_is_indexed()
    assert of_jobs() == records
    assert "the jobs were pushed before" in project.run("logs", "load").stdout


def test_a_changed_line_of_ours_reinstalls_no_dependency(project: Project) -> None:
    changed = project.folder / "shipper/jobs.py"
    content = changed.read_text()
    changed.write_text(content + "\n# changed\n")
    try:
        done = project.run("build", "--progress", "plain")
    finally:
        changed.write_text(content)
        project.run("build")
    steps = re.findall(
        r"^#(\d+) (?:\[.*\] )?(RUN pip install .*\.lock|CACHED)", done.stdout + done.stderr, re.MULTILINE
    )
    cached = {number for number, what in steps if what == "CACHED"}
    installs = {number for number, what in steps if what != "CACHED"}
    assert len(installs) == 2, done.stdout + done.stderr
    assert installs <= cached
