"""Install the templates and the ingest pipeline: look at what is there, decide, act. Again, it changes nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from elasticsearch import Elasticsearch, NotFoundError

from ..client import translated_errors
from ..settings import Settings
from ..state import STATE_INDEX
from ..state import index_name as state_index_name
from . import pipelines

COMPONENTS = ("rq-common",)
INDEX_TEMPLATES = ("rq-job", "rq-app", "rq-audit", "rq-metric", "rq-shipper", "rq-state")

# A label of its own for Lens and controls, which cannot use what lies inside a flattened field. Computed from
# the flattened field at the time of the question, so it holds for the records that are there already.
_LABEL_SCRIPT = "for (def value : doc[params.field]) { emit(value); }"


@dataclass(frozen=True, slots=True)
class Part:
    """What should be installed. `kind` is component_template, index_template, or ingest_pipeline."""

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
    """What is to be done about a part: create, update, keep (as it should be), or leave (a newer one is there)."""

    part: Part
    action: str

    def __str__(self) -> str:
        return f"{self.action:6} {self.part.kind.replace('_', ' ')} {self.part.name} (version {self.part.version})"


def wanted(settings: Settings, *, pipeline: bool = True) -> list[Part]:
    """Every template, in the order in which they have to be installed; and the `pipeline` of the text logs."""
    parts = [Part("component_template", name, _read(name)) for name in COMPONENTS]
    parts += [Part("index_template", name, _read(name)) for name in INDEX_TEMPLATES]
    if settings.labels:
        parts[0].body["template"]["mappings"]["runtime"] = {
            f"label.{name}": {
                "type": "keyword",
                "script": {"source": _LABEL_SCRIPT, "params": {"field": f"labels.{name}"}},
            }
            for name in settings.labels
        }
    if pipeline:
        parts.append(Part("ingest_pipeline", pipelines.NAME, pipelines.body()))
    return parts


def plan(client: Elasticsearch, settings: Settings, *, pipeline: bool = True) -> list[Change]:
    """Compare what is installed with what is wanted. Needs the cluster privileges `monitor` and `read_pipeline`.

    Without `pipeline` (only text logs need it) the second one is not needed. Raises DestinationError.
    """
    with translated_errors(settings):
        return [Change(part, _action(part, _installed(client, part))) for part in wanted(settings, pipeline=pipeline)]


def apply(client: Elasticsearch, settings: Settings, changes: list[Change]) -> None:
    """Carry out the changes. Needs the cluster privileges `manage_index_templates` and `manage_ingest_pipelines`.

    Raises DestinationError.
    """
    with translated_errors(settings):
        for change in changes:
            if change.action in ("create", "update"):
                _put(client, change.part)


def widen_states(client: Elasticsearch, settings: Settings) -> None:
    """Give the index of states the fields that its template has gained: it is one for ever, no new one follows.

    Needs the privilege `manage` on that index, if it is there. Raises DestinationError.
    """
    mappings = _read(STATE_INDEX)["template"]["mappings"]
    index = state_index_name(settings.namespace)
    with translated_errors(settings):
        if client.indices.exists(index=index):
            client.indices.put_mapping(index=index, properties=mappings["properties"], runtime=mappings["runtime"])


def _read(name: str) -> dict[str, Any]:
    text = files(__package__).joinpath(f"templates/{name}.json").read_text(encoding="utf-8")
    body: dict[str, Any] = json.loads(text)
    return body


def _installed(client: Elasticsearch, part: Part) -> Mapping[str, Any] | None:
    try:
        if part.kind == "ingest_pipeline":
            found_pipeline: Mapping[str, Any] = client.ingest.get_pipeline(id=part.name).get(part.name)
            return found_pipeline
        if part.kind == "component_template":
            answer = client.cluster.get_component_template(name=part.name)
        else:
            answer = client.indices.get_index_template(name=part.name)
    except NotFoundError:
        return None
    found = answer.get(f"{part.kind}s")  # a proxy may make an empty answer of a 404
    return found[0][part.kind] if found else None


def _action(part: Part, installed: Mapping[str, Any] | None) -> str:
    if installed is None:
        return "create"
    if installed.get("version", 0) > part.version:
        return "leave"
    # The server gives a template back in its own wording, so its fingerprint is compared, not its text.
    return "keep" if installed.get("_meta", {}).get("fingerprint") == part.fingerprint else "update"


def _put(client: Elasticsearch, part: Part) -> None:
    body = {**part.body, "_meta": {"managed_by": "rq-shipper", "fingerprint": part.fingerprint}}
    path = f"/_{part.kind.replace('ingest_', 'ingest/')}/{part.name}"
    client.perform_request(
        "PUT", path, headers={"content-type": "application/json", "accept": "application/json"}, body=body
    )
