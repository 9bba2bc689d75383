"""docs/compose.md's snippet: a project of one's own, whose accounts share the log with one shipper."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.engine.project import Project, wait_for
from tests.programs import ROOT


def snippet() -> dict[str, Any]:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/compose.md").read_text(), re.DOTALL | re.MULTILINE)
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def test_what_another_account_writes_is_shipped(project: Project, tmp_path: Path) -> None:
    project.profiles = ["demo"]
    project.up()  # for its Elasticsearch
    content = snippet()
    worker, shipper = content["services"]["worker"], content["services"]["shipper"]
    assert worker["image"] == "shop"
    worker |= {"image": shipper["image"], "user": "5000:5000", "command": "shipper audit record signed-in --actor own"}
    shipper["environment"]["SHIPPER_ELASTICSEARCH"] = "https://elasticsearch:9200"
    shipper["secrets"].append("ca.crt")
    content["secrets"]["ca.crt"] = {"file": "./ca.crt"}
    content["networks"] = {"default": {"name": "rqshippertest_default", "external": True}}
    settings = project.tell("cat", "/run/keys/shipper.toml", service="shipper").replace("/run/keys", "/run/secrets")
    for name, text in {
        "shipper.toml": settings,
        "ca.crt": project.tell("cat", "/run/keys/ca.crt"),
        "docker-compose.yml": yaml.safe_dump(content),
    }.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o644)
    own = ("compose", "-p", "rqshipperown")
    try:
        project.engine.docker(*own, "up", "-d", folder=tmp_path)
        with project.search() as client:
            query = {"term": {"user.id": "own"}}
            wait_for(lambda: client.count(index="rq-audit-*", query=query)["count"] == 1, "the other account's record")
        command = ("exec", "-T", "shipper", "stat", "-c", "%u %g %a", "/var/log/shipper/records.jsonl")
        listed = project.engine.docker(*own, *command, folder=tmp_path)
        assert listed.stdout.split() == ["5000", "10001", "660"]
    finally:
        project.engine.docker(*own, "down", "--volumes", "--timeout", "5", folder=tmp_path, check=False)
