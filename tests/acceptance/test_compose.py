"""The compose file: accepted by compose itself, and each of its services of ours run by its very command.

No container engine is needed: what a network and volumes would do is done by replacing addresses and
folders, and the services start in the order of their conditions, each checked by its own health check.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import rq
import yaml
from elasticsearch import Elasticsearch

from stack.processes import free_port, start, stop
from tests.kibana_server import KibanaServer, serving
from tests.programs import BIN, LIMIT_S, ROOT, count, wait_for

pytestmark = pytest.mark.slow

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# Images of others: redis and elasticsearch are here anyway, kibana's place is taken by what answers as it does.
# Logstash's own test is tests/integration/test_logstash.py.
OFFICIAL = {"redis", "elasticsearch", "kibana", "logstash"}
# The tests' Elasticsearch has no security, so that there are no keys to make: tests/integration/test_compose_keys.py.
INSTEAD = {"setup": ["shipper", "setup"]}

LOGSTASH = SERVICES["logstash"]


def compose_command() -> list[str]:
    """Compose as it is installed: the plugin, or the older program of its own."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            done = subprocess.run([*command, "version"], capture_output=True, check=False)
            if done.returncode == 0:
                return command
    raise AssertionError("neither `docker compose` nor `docker-compose` is installed: run stack/setup.sh tests")


def test_compose_accepts_the_file_with_all_profiles() -> None:
    done = subprocess.run(
        [*compose_command(), "-f", "docker-compose.yml", "--profile", "legacy", "--profile", "demo", "config"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == set(SERVICES)


def test_logstash_is_of_the_same_release_as_elasticsearch_and_starts_only_if_asked_for() -> None:
    assert LOGSTASH["image"].rpartition(":")[2] == SERVICES["elasticsearch"]["image"].rpartition(":")[2]
    assert LOGSTASH["profiles"] == ["legacy"]
    assert {name for name, service in SERVICES.items() if "profiles" in service} == {"logstash", "load", "app"}
    assert not any("logstash" in service.get("depends_on", {}) for service in SERVICES.values())


def test_logstash_finds_in_its_container_what_it_reads() -> None:
    own = [mount.rsplit(":", 2) for mount in LOGSTASH["volumes"] if mount.startswith((".", "$"))]
    there = {Path(target): source.removeprefix("${LEGACY_LOGS:-").removesuffix("}") for source, target, _ in own}
    assert all((ROOT / source).exists() for source in there.values())
    assert not any((ROOT / source).is_symlink() for source in there.values()), "a link leads nowhere in a container"
    home = Path("/usr/share/logstash")  # LEGACY_HOME's default
    for name in ("pipeline", "meanings"):
        assert (ROOT / there[home / name]).samefile(ROOT / "logstash" / name)
    assert (ROOT / there[home / "patterns"] / "rq").samefile(ROOT / "logstash/patterns/rq")
    for name in ("logstash.yml", "pipelines.yml"):
        assert (ROOT / there[home / "config" / name]).samefile(ROOT / "logstash" / name)
    assert there[Path(LOGSTASH["environment"]["LEGACY_FILES"]).parent] == "./logstash/samples"


def test_logstash_is_set_by_names_that_it_knows() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "logstash/README.md").read_text(), re.MULTILINE))
    assert set(LOGSTASH["environment"]) - {"LS_JAVA_OPTS"} <= documented
    published = {port.rpartition(":")[2] for port in LOGSTASH["ports"]}
    inputs = (ROOT / "logstash/pipeline/10-inputs.conf").read_text()
    assert published == set(re.findall(r"_PORT:(\d+)\}", inputs))


@pytest.mark.parametrize("name", SERVICES)
def test_no_port_is_open_to_other_machines(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", SERVICES)
def test_nothing_waits_for_a_health_that_is_never_checked(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other]


def test_the_image_holds_what_the_services_run() -> None:
    lines = [line.split()[1:] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    copied = {
        source.removeprefix("./") for sources in lines if "--from=build" not in sources for source in sources[:-1]
    }
    assert {"shipper", "hatch_build.py", "demo", "compose"} <= copied
    assert all((ROOT / name).exists() for name in copied)
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {name.partition("/")[0] for name in copied} == let_through


def defaults(text: str) -> str:
    """The text as it is if none of its variables are set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)


def needs(name: str) -> dict[str, str]:
    """Service → condition, for all that a service waits for: also what images of others wait for."""
    found: dict[str, str] = {}
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        if other in OFFICIAL:
            found |= needs(other)
        found[other] = wait["condition"]
    return found


class Containers:
    """Our services as plain processes: `world` maps what only exists among containers to what is here."""

    def __init__(self, folder: Path, world: dict[str, str]) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        self.extra: dict[str, str] = {}
        self._world = {**world, "/usr/share/elasticsearch/config/keys": str(self.keys / "elasticsearch"), "$$": "$"}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def up(self) -> None:
        """Start every service of ours when what it depends on is as far as it asks."""
        waiting = [name for name in SERVICES if name not in OFFICIAL]
        while waiting:
            name = next(one for one in waiting if not set(needs(one)) & set(waiting))
            for other, condition in needs(name).items():
                self._wait(other, condition)
            self._start(name)
            waiting.remove(name)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def wait_for_health(self, name: str) -> None:
        self._wait(name, "service_healthy")

    def wait_for_end(self, name: str) -> None:
        self._wait(name, "service_completed_successfully")

    def down(self) -> None:
        for process in reversed(self._running.values()):
            stop(process)

    def _start(self, name: str) -> None:
        service = SERVICES[name]
        words = service["command"]
        words = shlex.split(defaults(words)) if isinstance(words, str) else words
        words = INSTEAD.get(name) or [*service.get("entrypoint", []), *words]
        if name == "secrets":
            words = [*words, "--keys", str(self.keys)]
        elif "SHIPPER_CONFIG" in service["environment"]:
            settings = self.keys / name / "shipper.toml"
            settings.parent.mkdir(exist_ok=True)
            settings.touch()  # without security there are no credentials
        self._running[name] = start(
            [self._here(word) for word in words],
            self.folder / f"{name}.log",
            environment=self._environment(name),
            folder=ROOT,
        )

    def _environment(self, name: str) -> dict[str, str]:
        given = {one: self._here(value) for one, value in SERVICES[name].get("environment", {}).items()}
        if given.get("SHIPPER_CONFIG"):
            given["SHIPPER_CONFIG"] = str(self.keys / name / "shipper.toml")
        return {**given, **self.extra, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}

    def _wait(self, name: str, condition: str) -> None:
        if condition == "service_completed_successfully":
            assert self._running[name].wait(LIMIT_S) == 0, self.log(name)
        elif condition == "service_healthy":
            wait_for(lambda: self._healthy(name), f"{name} to be healthy")
        else:
            assert condition == "service_started"

    def _healthy(self, name: str) -> bool:
        kind, *words = [self._here(word) for word in SERVICES[name]["healthcheck"]["test"]]
        command = ["sh", "-c", words[0]] if kind == "CMD-SHELL" else words
        environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(command, capture_output=True, env=environment, check=False).returncode == 0

    def _here(self, text: str) -> str:
        text = defaults(text)
        for there, here in self._world.items():
            text = text.replace(there, here)
        return text


@pytest.fixture
def kibana() -> Iterator[KibanaServer]:
    with serving() as server:
        yield server


@pytest.fixture
def containers(
    tmp_path: Path,
    namespace: str,
    redis_url: str,
    elasticsearch_url: str,
    connection: redis.Redis,
    kibana: KibanaServer,
) -> Iterator[Containers]:
    port, listen = str(free_port()), f"127.0.0.1:{free_port()}"
    world = {
        "http://kibana:5601": kibana.url,
        "http://localhost:5601": kibana.url,
        "https://localhost:9200": elasticsearch_url,
        "https://elasticsearch:9200": elasticsearch_url,
        "127.0.0.1:9465": listen,
        "localhost:8000": f"127.0.0.1:{port}",
        "8000": port,
        "6379": str(urlsplit(redis_url).port),
        "0.0.0.0": "127.0.0.1",  # noqa: S104 - it is taken out
        "/var/log/shipper": str(tmp_path),
        "/var/lib/shipper": str(tmp_path / "state"),
    }
    made = Containers(tmp_path, world)
    made.extra = {"SHIPPER_REDIS": redis_url, "SHIPPER_LISTEN": listen, "SHIPPER_NAMESPACE": namespace}
    made.url = f"http://127.0.0.1:{port}"  # type: ignore[attr-defined]
    yield made
    made.down()


def test_the_services_do_together_what_the_file_promises(
    containers: Containers, search: Elasticsearch, namespace: str, kibana: KibanaServer
) -> None:
    containers.up()
    containers.wait_for_end("dashboards")
    assert {kind for _, kind, _ in kibana.objects} >= {"dashboard", "index-pattern", "search"}
    containers.wait_for_end("load")
    assert "jobs pushed to payments, mails, reports" in containers.log("load")
    containers.wait_for_health("app")
    order = urllib.request.Request(f"{containers.url}/orders?customer=compose", method="POST")  # type: ignore[attr-defined] # noqa: S310
    with urllib.request.urlopen(order) as answer:  # noqa: S310
        assert answer.status == 201
    index = f"rq-job-{namespace}-*"

    def ended() -> bool:
        query = {"bool": {"filter": [{"term": {"organization.id": "compose"}}, {"exists": {"field": "event.end"}}]}}
        return count(search, index, query) == 3

    wait_for(ended, "the three jobs of the order", limit_s=LIMIT_S)
    log = containers.folder / "records.jsonl"
    everything = f"{index},rq-audit-{namespace}-*,rq-app-{namespace}-*"

    def without_gauges() -> int:  # the watch writes those all the time
        kinds = (b'"kind":"metric"', b'"kind":"alert"')
        return sum(not any(kind in line for kind in kinds) for line in log.read_bytes().splitlines())

    wait_for(lambda: count(search, everything) == without_gauges(), "every line")


def test_the_python_that_runs_the_services_is_the_virtual_environment_s() -> None:
    assert shutil.which("python", path=str(BIN)) == str(Path(sys.executable).parent / "python")


OURS = {name for name, service in SERVICES.items() if service["image"].startswith("rq-shipper")}
ONCE = {name for name, service in SERVICES.items() if service["restart"].startswith("on-failure")}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_is_limited_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["restart"] == "unless-stopped" or name in ONCE
    assert service.get("read_only") or name not in OURS | {"redis"}


def test_one_service_builds_the_image_that_all_of_ours_run() -> None:
    (image,) = {SERVICES[name]["image"] for name in OURS}
    assert image.startswith("rq-shipper:")
    assert [name for name, service in SERVICES.items() if "build" in service] == ["secrets"]


def test_up_wait_knows_of_each_service_that_ends_by_itself() -> None:
    """Compose takes the end of a service for a failure, unless another waits for exactly that."""
    waited_for = {
        other
        for service in SERVICES.values()
        for other, wait in service.get("depends_on", {}).items()
        if wait["condition"] == "service_completed_successfully"
    }
    assert waited_for == ONCE


def test_nothing_that_ships_waits_for_kibana() -> None:
    assert {name for name in SERVICES if "kibana" in needs_all(name)} == {"dashboards", "prune"}


def needs_all(name: str) -> set[str]:
    direct = set(SERVICES[name].get("depends_on", {}))
    return direct.union(*(needs_all(other) for other in direct))


def test_a_job_may_run_for_its_time_when_its_worker_is_stopped() -> None:
    grace = defaults(SERVICES["worker"]["stop_grace_period"])
    assert int(grace.removesuffix("s")) > rq.Queue.DEFAULT_TIMEOUT


def test_no_setting_of_the_environment_is_a_secret() -> None:
    for service in SERVICES.values():
        for name in service.get("environment", {}):
            assert not re.search("PASSWORD|API_KEY|TOKEN|ENCRYPTION|AUDIT_KEY", name) or name.endswith("_FILE"), name


def test_the_example_of_env_has_every_variable_with_its_default() -> None:
    example = dict(re.findall(r"^# ([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    files = [ROOT / "docker-compose.yml", ROOT / "compose.production.yml"]
    used = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", files[0].read_text()))
    for name in re.findall(r"\$\{(\w+)", files[1].read_text()):
        used.setdefault(name, example.get(name))
    assert {name: value for name, value in example.items() if name != "COMPOSE_PROFILES"} == used


def test_the_image_s_lock_has_each_dependency_with_hashes() -> None:
    from packaging.requirements import Requirement

    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    for lock, wanted in (
        ("requirements", [*project["project"]["dependencies"], *inputs("requirements")]),
        ("build", [*project["build-system"]["requires"], *inputs("build")]),
    ):
        text = (ROOT / f"compose/{lock}.lock").read_text()
        pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", text, re.MULTILINE))
        for requirement in map(Requirement, wanted):
            assert pinned[requirement.name] in requirement.specifier, requirement
        assert text.count("--hash=sha256:") >= len(pinned)
    client = tuple(map(int, re.search(r"^elasticsearch==(\d+)\.(\d+)", locked("requirements"), re.MULTILINE).groups()))  # type: ignore[union-attr]
    server = defaults(SERVICES["elasticsearch"]["image"]).rpartition(":")[2].split(".")
    assert client <= (int(server[0]), int(server[1]))


def inputs(name: str) -> list[str]:
    lines = (ROOT / f"compose/{name}.in").read_text().splitlines()
    return [text for line in lines if (text := line.partition("#")[0].strip())]


def locked(name: str) -> str:
    return (ROOT / f"compose/{name}.lock").read_text()
