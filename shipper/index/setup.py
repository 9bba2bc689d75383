"""Installs the index templates and the ingest pipeline. Idempotent: `plan` compares, `apply` changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ..client import Cluster
from ..settings import Settings
from ..state import STATE_INDEX
from ..state import index_name as state_index_name

COMPONENTS = ("rq-common",)
INDEX_TEMPLATES = ("rq-job", "rq-app", "rq-audit", "rq-metric", "rq-shipper", "rq-alert", "rq-state")

# A runtime field for one label, as Lens and controls cannot use keys of a flattened field. It is computed at search
# time, and so also works for existing records.
_LABEL_SCRIPT = "for (def value : doc[params.field]) { emit(value); }"


@dataclass(frozen=True, slots=True)
class Part:
    """A template or pipeline to install. `kind` is component_template, index_template, or ingest_pipeline."""

    kind: str
    name: str
    body: Mapping[str, Any]

    @property
    def version(self) -> int:
        return int(self.body["version"])

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Change:
    """The action for a part: create, update, keep (it is up to date), or leave (a newer version is installed)."""

    part: Part
    action: str

    def __str__(self) -> str:
        return f"{self.action:6} {self.part.kind.replace('_', ' ')} {self.part.name} (version {self.part.version})"


def wanted(settings: Settings, *, pipeline: bool = True) -> list[Part]:
    """The templates, in the order of their installation, and with `pipeline` the ingest pipeline for text logs."""
    parts = [Part("component_template", name, template_of(name)) for name in COMPONENTS]
    parts += [Part("index_template", name, template_of(name)) for name in INDEX_TEMPLATES]
    if settings.labels:
        parts[0].body["template"]["mappings"]["runtime"] = label_fields(settings.labels)
    if pipeline:
        from . import pipelines

        parts.append(Part("ingest_pipeline", pipelines.NAME, pipelines.body(settings.job_ids)))
    return parts


def plan(cluster: Cluster, settings: Settings, *, pipeline: bool = True) -> list[Change]:
    """Compare installed and wanted parts. Needs the cluster privilege `monitor`, and `read_pipeline` for `pipeline`.

    Raises DestinationError; Refused if the server is not supported.
    """
    cluster.check_version()
    return [Change(part, _action(part, _installed(cluster, part))) for part in wanted(settings, pipeline=pipeline)]


def apply(cluster: Cluster, changes: list[Change]) -> None:
    """Make the changes. Needs the cluster privileges `manage_index_templates` and `manage_ingest_pipelines`.

    Raises DestinationError.
    """
    for change in changes:
        if change.action in ("create", "update"):
            part = change.part
            body = {**part.body, "_meta": {"managed_by": "rq-shipper", "fingerprint": part.fingerprint}}
            cluster.put(_path(part), body)


def update_state_mapping(cluster: Cluster, settings: Settings) -> None:
    """Add new fields of the template to the existing state index, as no new index replaces it.

    Needs the index privilege `manage` on it, if it exists. Raises DestinationError.
    """
    mappings = template_of(STATE_INDEX)["template"]["mappings"]
    index = state_index_name(settings.namespace)
    if cluster.get(f"/{index}/_mapping") is not None:
        cluster.put(f"/{index}/_mapping", {name: mappings[name] for name in ("properties", "runtime")})


def label_fields(labels: Iterable[str]) -> dict[str, Any]:
    """The runtime fields of labels by name: `label.plan`."""
    return {
        f"label.{name}": {
            "type": "keyword",
            "script": {"source": _LABEL_SCRIPT, "params": {"field": f"labels.{name}"}},
        }
        for name in labels
    }


def template_of(name: str) -> dict[str, Any]:
    """The body of a template or component of ours."""
    text = files(__package__).joinpath(f"templates/{name}.json").read_text(encoding="utf-8")
    body: dict[str, Any] = json.loads(text)
    return body


def _installed(cluster: Cluster, part: Part) -> Mapping[str, Any] | None:
    found = cluster.get(_path(part)) or {}
    if part.kind == "ingest_pipeline":
        pipeline: Mapping[str, Any] | None = found.get(part.name)
        return pipeline
    there = found.get(f"{part.kind}s")  # a proxy may make an empty answer of a 404
    return there[0][part.kind] if there else None


def _path(part: Part) -> str:
    return f"/_{part.kind.replace('ingest_', 'ingest/')}/{part.name}"


def _action(part: Part, installed: Mapping[str, Any] | None) -> str:
    if installed is None:
        return "create"
    if installed.get("version", 0) > part.version:
        return "leave"
    # Elasticsearch returns a template in normalised form, so the fingerprint is compared instead of the body.
    return "keep" if installed.get("_meta", {}).get("fingerprint") == part.fingerprint else "update"
