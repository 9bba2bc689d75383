"""The engine, the images and the project that all tests of this folder use, in the order of their files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack import standins
from stack.engine import Engine
from stack.processes import StackError, free_port
from tests.engine.project import Project
from tests.programs import ROOT

REDIS, ELASTICSEARCH = "redis:7.4-alpine", "docker.elastic.co/elasticsearch/elasticsearch:9.4.3"
KIBANA, LOGSTASH = "docker.elastic.co/kibana/kibana:9.4.3", "docker.elastic.co/logstash/logstash:9.4.3"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        engine = Engine()
    except StackError as error:
        pytest.exit(str(error), returncode=1)
    try:
        bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
        made = standins.provide(engine, [*bases, REDIS, ELASTICSEARCH, KIBANA, LOGSTASH])
        print("\nstand-ins: " + (", ".join(made) or "none, all images are real"), flush=True)
        yield engine
    except StackError as error:
        pytest.exit(str(error), returncode=1)
    finally:
        engine.stop()


def ports() -> dict[str, str]:
    """Free ports for what would be taken by another project, or by another run of this."""
    return {"KIBANA_PORT": str(free_port()), "APP_PORT": str(free_port())}


@pytest.fixture(scope="session")
def project(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project with the demo, up."""
    project = Project(engine, tmp_path_factory.mktemp("one") / "rqshippertest", ports())
    project.run("down", "--volumes", "--remove-orphans")  # of a run that was killed
    try:
        yield project
        keep_logs(project)
    finally:
        project.profiles = ["*"]
        project.run("down", "--volumes", "--remove-orphans", check=False)


def keep_logs(project: Project) -> None:
    """For whoever looks for the cause of a failure."""
    target = Path(ROOT / ".run/test-compose.log")
    target.parent.mkdir(exist_ok=True)
    target.write_text(project.run("logs", "--no-color", "--timestamps", check=False).stdout)
