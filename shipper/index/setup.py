"""Installs the index templates and the ingest pipeline. Idempotent: `plan` compares, `apply` changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any

from ..client import Cluster
from ..errors import LifecycleError, Refused
from ..records import DATASETS, DAY, MONTH, PERIODS, alias, index_name, indices
from ..settings import Settings
from ..state import STATE_INDEX
from ..state import index_name as state_index_name

COMPONENTS = ("rq-common",)
INDEX_TEMPLATES = ("rq-job", "rq-app", "rq-audit", "rq-metric", "rq-shipper", "rq-alert", "rq-state")
LARGE = ("rq-job", "rq-app")  # which the settings `shards` and `logsdb` are about
SERVERLESS = "serverless"  # the build flavour of Elastic Cloud Serverless
_SERVERLESS_REFRESH = "5s"  # the shortest that it takes

# A runtime field for one label, as Lens and controls cannot use keys of a flattened field. It is computed at search
# time, and so also works for existing records.
_LABEL_SCRIPT = "for (def value : doc[params.field]) { emit(value); }"


@dataclass(frozen=True, slots=True)
class Part:
    """What is installed. `kind` is component_template, index_template, ingest_pipeline, or ilm_policy."""

    kind: str
    name: str
    body: Mapping[str, Any]

    @property
    def version(self) -> int:
        return int(self.body.get("version", 0))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Change:
    """The action for a part: create, update, keep (it is up to date), or leave (a newer version is installed)."""

    part: Part
    action: str

    def __str__(self) -> str:
        version = f" (version {self.part.version})" if "version" in self.part.body else ""
        return f"{self.action:6} {self.part.kind.replace('_', ' ')} {self.part.name}{version}"


def wanted(settings: Settings, *, pipeline: bool = True, serverless: bool = False) -> list[Part]:
    """What is to be installed, in that order: ILM policies, templates, and with `pipeline` that for text logs."""
    parts = [Part("component_template", name, template_of(name)) for name in COMPONENTS]
    parts += [Part("index_template", name, template_of(name)) for name in INDEX_TEMPLATES]
    for part in parts:
        configure(part.body["template"], part.name, settings, serverless=serverless)
    if settings.labels:
        parts[0].body["template"]["mappings"]["runtime"] = label_fields(settings.labels)
    if pipeline:
        from . import pipelines

        parts.append(Part("ingest_pipeline", pipelines.NAME, pipelines.body(settings.job_ids)))
    return [*policies(settings), *parts]


def configure(template: dict[str, Any], name: str, settings: Settings, *, serverless: bool) -> None:
    """Set what the settings say of indices in the template or component of this name. Changes `template`."""
    index = template.setdefault("settings", {}).setdefault("index", {})
    if "number_of_shards" in index:  # rq-common, and rq-state, which is not made of it
        if serverless:  # which has its own shards and replicas, and refuses settings of them
            del index["number_of_shards"], index["auto_expand_replicas"]
            index["refresh_interval"] = _SERVERLESS_REFRESH
        elif settings.replicas.isdigit():
            del index["auto_expand_replicas"]
            index["number_of_replicas"] = int(settings.replicas)
        else:
            index["auto_expand_replicas"] = settings.replicas
    if name in LARGE:
        if settings.shards > 1 and not serverless:
            index["number_of_shards"] = settings.shards
        if settings.logsdb:
            # A synthetic source would lose the microseconds of all times, and give members in another order.
            index |= {"mode": "logsdb", "mapping": {"source": {"mode": "stored"}}}
    if settings.lifecycle == "ilm" and name in (alias(dataset) for dataset in PERIODS):
        index["lifecycle"] = {"name": name}


def policies(settings: Settings) -> list[Part]:
    """With the setting `lifecycle=ilm` a policy for each dataset, which deletes its indices past their retention.

    ILM counts from an index's creation, which is at the beginning of its day or month.
    """
    if settings.lifecycle != "ilm":
        return []
    found = []
    for dataset, layout in PERIODS.items():
        holds = 31 if layout == MONTH or settings.index_period.monthly or settings.index_period.since else 1
        days = settings.retention[dataset.removeprefix("rq.")] + holds
        phases = {"delete": {"min_age": f"{days}d", "actions": {"delete": {}}}}
        found.append(Part("ilm_policy", alias(dataset), {"phases": phases}))
    return found


def plan(cluster: Cluster, settings: Settings, *, pipeline: bool = True) -> list[Change]:
    """Compare installed and wanted parts. Needs the cluster privilege `monitor`, and `read_pipeline` for `pipeline`.

    Raises DestinationError; Refused if the server is not supported, LifecycleError if the settings want ILM in vain.
    """
    serverless = cluster.version().get("build_flavor") == SERVERLESS
    if settings.lifecycle == "ilm":
        _require_ilm(cluster, serverless)
    parts = wanted(settings, pipeline=pipeline, serverless=serverless)
    return [Change(part, _action(part, _installed(cluster, part))) for part in parts]


def _require_ilm(cluster: Cluster, serverless: bool) -> None:
    try:
        there = not serverless and cluster.get("/_ilm/status") is not None
    except Refused as refused:
        if refused.status not in (400, 405):  # "no handler found", or an index of that name is looked for
            raise
        there = False
    if not there:
        raise LifecycleError(
            f"This Elasticsearch{' (Serverless)' if serverless else ''} has no ILM, which SHIPPER_LIFECYCLE=ilm needs. "
            "Set SHIPPER_LIFECYCLE=prune: the shipper then deletes old indices."
        )


def apply(cluster: Cluster, changes: list[Change]) -> None:
    """Make the changes. Needs the cluster privileges `manage_index_templates` and `manage_ingest_pipelines`.

    Raises DestinationError.
    """
    for change in changes:
        if change.action in ("create", "update"):
            part = change.part
            body = {**part.body, "_meta": {"managed_by": "rq-shipper", "fingerprint": part.fingerprint}}
            cluster.put(_path(part), {"policy": body} if part.kind == "ilm_policy" else body)


def attach_policies(cluster: Cluster, settings: Settings) -> None:
    """With `lifecycle=ilm`: give the namespace's existing indices their policy; new ones have it from the templates.

    Needs the index privilege `manage` on them. Raises DestinationError.
    """
    for part in policies(settings):
        expression = indices(f"rq.{part.name.removeprefix('rq-')}", settings.namespace)
        cluster.put(
            f"/{expression}/_settings?ignore_unavailable=true&allow_no_indices=true",
            {"index.lifecycle.name": part.name},
        )


def doubled(cluster: Cluster, settings: Settings) -> list[str]:
    """Indices that hold days or months of which records go to other indices by the setting `index_period`.

    A line that is read again is there twice then. Needs `view_index_metadata`. Raises DestinationError.
    """
    patterns = ",".join(indices(dataset, settings.namespace) for dataset, layout in PERIODS.items() if layout == DAY)
    found = cluster.get(f"/{patterns}/_settings/index.uuid?ignore_unavailable=true&allow_no_indices=true") or {}
    wrong = []
    for name in sorted(found):
        year, month, *day = name.rpartition("-")[2].split(".")
        if settings.index_period.is_monthly(int(year), int(month)) == bool(day):
            wrong.append(name)
    return wrong


def update_state_mapping(cluster: Cluster, settings: Settings) -> None:
    """Add new fields of the template to the existing state index, as no new index replaces it.

    Needs the index privilege `manage` on it, if it exists. Raises DestinationError.
    """
    mappings = template_of(STATE_INDEX)["template"]["mappings"]
    index = state_index_name(settings.namespace)
    if cluster.get(f"/{index}/_mapping") is not None:
        cluster.put(f"/{index}/_mapping", {name: mappings[name] for name in ("properties", "runtime")})


def create_first_indices(cluster: Cluster, settings: Settings, now: datetime) -> list[str]:
    """Create an empty index for each dataset that has none, and the state index. Returns their names.

    Kibana knows a data view's fields from its indices. Where there is none, charts and controls show an error instead
    of nothing: those of alarms until the first alarm. Needs the index privileges `view_index_metadata` and
    `create_index`. Raises DestinationError.
    """
    patterns = ",".join(indices(dataset, settings.namespace) for dataset in PERIODS)
    there = cluster.get(f"/{patterns}/_settings/index.uuid?ignore_unavailable=true&allow_no_indices=true") or {}
    one_of_each = {alias(dataset): dataset for dataset in DATASETS}
    created = [
        index_name(dataset, now, settings.namespace, settings.index_period)
        for its, dataset in one_of_each.items()
        if not any(name.startswith(f"{its}-") for name in there)
    ]
    state = state_index_name(settings.namespace)
    if cluster.get(f"/{state}/_mapping") is None:
        created.append(state)
    for name in created:
        try:
            cluster.put(f"/{name}", {})
        except Refused as refused:
            if refused.status != 400 or cluster.get(f"/{name}/_mapping") is None:  # a shipper may have been faster
                raise
    return created


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
    if part.kind in ("ingest_pipeline", "ilm_policy"):
        there_now: Mapping[str, Any] | None = found.get(part.name)
        return there_now["policy"] if there_now and part.kind == "ilm_policy" else there_now
    there = found.get(f"{part.kind}s")  # a proxy may make an empty answer of a 404
    return there[0][part.kind] if there else None


def _path(part: Part) -> str:
    return f"/_{part.kind.replace('ingest_', 'ingest/').replace('ilm_', 'ilm/')}/{part.name}"


def _action(part: Part, installed: Mapping[str, Any] | None) -> str:
    if installed is None:
        return "create"
    if part.kind != "ilm_policy" and installed.get("version", 0) > part.version:
        return "leave"
    # Elasticsearch returns a template in normalised form, so the fingerprint is compared instead of the body.
    return "keep" if installed.get("_meta", {}).get("fingerprint") == part.fingerprint else "update"
