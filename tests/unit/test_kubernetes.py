"""The manifests in deploy/kubernetes: valid by Kubernetes' own schemas, and in line with the shipper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from shipper import settings
from shipper.cli import COMMANDS
from shipper.ship import daemon
from tests.programs import ROOT

BASES = sorted((ROOT / "deploy/kubernetes").iterdir())
MANIFESTS = [
    base / name
    for base in BASES
    for name in yaml.safe_load((base / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]
]
VERSIONS = ("1.29", kubernetes_validate.latest_version())
"""The first with sidecars, and the newest whose schemas are here."""


def read(manifest: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(manifest.read_text())
    return found


def pod(manifest: Path) -> dict[str, Any]:
    spec = read(manifest)["spec"]
    found: dict[str, Any] = spec.get("jobTemplate", {}).get("spec", spec)["template"]["spec"]
    return found


def containers(manifest: Path) -> Iterator[dict[str, Any]]:
    yield from pod(manifest).get("initContainers", ())
    yield from pod(manifest)["containers"]


def environment(container: dict[str, Any]) -> dict[str, str]:
    """The variables of a container, with a key for each secret."""
    return {one["name"]: one.get("value", "c2VjcmV0") for one in container["env"]}


def test_every_manifest_is_part_of_its_base() -> None:
    files = {file for base in BASES for file in base.glob("*.yaml") if file.stem != "kustomization"}
    assert set(MANIFESTS) == files


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda file: file.stem)
def test_kubernetes_knows_every_field(manifest: Path, version: str) -> None:
    kubernetes_validate.validate(read(manifest), version, strict=True)


def test_a_field_that_does_not_exist_would_be_found() -> None:
    wrong = read(MANIFESTS[0])
    wrong["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda file: file.stem)
def test_settings_and_commands_are_ours(manifest: Path) -> None:
    for container in containers(manifest):
        variables = {name: value for name, value in environment(container).items() if name.startswith("SHIPPER_")}
        settings.load(environment={"SHIPPER_CONFIG": "/dev/null", **variables})  # raises SettingsError
        program, command, *_ = container["command"]
        assert program == "rq" or command in COMMANDS


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda file: file.stem)
def test_nobody_has_more_rights_than_needed(manifest: Path) -> None:
    assert pod(manifest)["automountServiceAccountToken"] is False
    for container in containers(manifest):
        locked = container["securityContext"]
        assert (locked["allowPrivilegeEscalation"], locked["readOnlyRootFilesystem"]) == (False, True)
        assert locked["capabilities"] == {"drop": ["ALL"]}


def test_probes_ask_where_the_shipper_listens() -> None:
    probes = [
        (probe["httpGet"]["path"], environment(container)["SHIPPER_LISTEN"], container["ports"][0]["containerPort"])
        for manifest in MANIFESTS
        for container in containers(manifest)
        for kind, probe in container.items()
        if kind.endswith("Probe")
    ]
    assert {path for path, _, _ in probes} == {"/live", "/health"}
    assert {f"0.0.0.0:{port}" for _, _, port in probes} == {listen for _, listen, _ in probes}


def test_the_shipper_ends_after_the_worker_and_has_time_to() -> None:
    worker = pod(ROOT / "deploy/kubernetes/sidecar/worker.yaml")
    (sidecar,) = worker["initContainers"]
    assert sidecar["restartPolicy"] == "Always"  # that makes it a sidecar
    node = pod(ROOT / "deploy/kubernetes/daemonset/daemonset.yaml")
    assert min(worker["terminationGracePeriodSeconds"], node["terminationGracePeriodSeconds"]) > daemon.DRAIN_S
