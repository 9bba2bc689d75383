"""Finds indices of ours that are not as the templates make them: fields, runtime fields, pipelines, alias filters.

Whoever may write a record may also add to an index's mapping (Elasticsearch grants that with `create_doc`). A runtime
field that shadows `@timestamp` or `user.id` hides records from searches, and an ingest pipeline changes or drops them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from elasticsearch import Elasticsearch

from ..client import Cluster, translated_errors
from ..records import PERIODS, alias, indices
from ..settings import Settings
from ..state import STATE_INDEX
from ..state import index_name as state_index_name
from . import setup

_PIPELINES = ("default_pipeline", "final_pipeline")
_NO_PIPELINE = ("", "_none")
# What hides or shows records by person, time and chain. An index that lacks one of them is reported, of others only
# that they differ: an index that an older release made lacks what was added since.
_NEEDED = (
    "@timestamp", "event.id", "event.action", "event.dataset", "event.sequence", "user.id", "user.target.id",
    "user.effective.id", "audit.chain.id", "audit.resource.type", "audit.resource.id", "organization.id", "trace.id",
    "messaging.message.id", "labels",
)  # fmt: skip


class Deviation(NamedTuple):
    """An index that is not as it should be, and in what."""

    name: str
    what: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


def deviations(client: Elasticsearch, settings: Settings) -> list[Deviation]:
    """Compare all indices of the namespace with the templates. Needs `view_index_metadata`. Raises DestinationError."""
    found: list[Deviation] = []
    for name, expression in _ours(settings):
        with translated_errors(settings):
            answer = client.indices.get(index=expression, ignore_unavailable=True, allow_no_indices=True)
        found += _compared(answer.body, name, settings)
    return found


def deviations_by(cluster: Cluster, settings: Settings) -> list[Deviation]:
    """The same with the client of `setup`."""
    found: list[Deviation] = []
    for name, expression in _ours(settings):
        answer = cluster.get(f"/{expression}?ignore_unavailable=true&allow_no_indices=true")
        found += _compared(answer or {}, name, settings)
    return found


def _ours(settings: Settings) -> Iterator[tuple[str, str]]:
    """(template, index expression) of each dataset, and of the states."""
    for dataset in PERIODS:
        yield alias(dataset), indices(dataset, settings.namespace)
    yield STATE_INDEX, state_index_name(settings.namespace)


def _compared(found: Mapping[str, Any], template: str, settings: Settings) -> Iterator[Deviation]:
    wanted = _wanted(template, settings)
    aliases = setup.template_of(template)["template"].get("aliases", {})
    for index, there in sorted(found.items()):
        for what in (
            *_mapping(there.get("mappings", {}), wanted),
            *_settings(there.get("settings", {}).get("index", {})),
            *_aliases(there.get("aliases", {}), aliases),
        ):
            yield Deviation(index, what)


def _wanted(template: str, settings: Settings) -> dict[str, Any]:
    """The mapping that a new index gets from the template and its components."""
    body = setup.template_of(template)
    wanted: dict[str, Any] = {}
    for part in (*body.get("composed_of", ()), None):
        source = setup.template_of(part) if part else body
        _merge(wanted, source["template"].get("mappings", {}))
    if body.get("composed_of") and settings.labels:
        wanted.setdefault("runtime", {}).update(setup.label_fields(settings.labels))
    return wanted


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for name, value in other.items():
        if isinstance(value, Mapping):
            _merge(into.setdefault(name, {}), value)
        else:
            into[name] = value


def _mapping(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({*there, *wanted} - {"properties", "runtime", "_meta"}):
        if _plain(there.get(name)) != _plain(wanted.get(name)):
            yield f"{name} is {there.get(name)!r}, not {wanted.get(name)!r}"
    allowed = wanted.get("runtime", {})
    for name, definition in sorted(there.get("runtime", {}).items()):
        if not _is_runtime(name, definition, allowed):
            yield f"the runtime field {name} is not ours: it may hide the field of that name"
    fields, ours = _fields(there.get("properties", {})), _fields(wanted.get("properties", {}))
    for name in sorted(fields.keys() - ours.keys()):
        yield f"the field {name} is not ours"
    for name in sorted(ours):
        if name not in fields:
            if name in _NEEDED:
                yield f"the field {name} is not mapped"
        elif fields[name] != ours[name]:
            yield f"the field {name} is {fields[name]}, not {ours[name]}"


def _is_runtime(name: str, definition: Mapping[str, Any], allowed: Mapping[str, Any]) -> bool:
    """Whether it is in the template, or another label's: which labels there are is set elsewhere, too."""
    if name in allowed:
        return _same_script(definition, allowed[name])
    label = name.removeprefix("label.")
    return label != name and _same_script(definition, setup.label_fields((label,))[name])


def _same_script(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Elasticsearch adds the language, which is painless in any case."""
    one_script, other_script = (dict(which.get("script", {})) for which in (one, other))
    one_script.pop("lang", None)
    other_script.pop("lang", None)
    return one.get("type") == other.get("type") and one_script == other_script


def _fields(properties: Mapping[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """Each field by its whole name, with what is not its default."""
    found: dict[str, dict[str, Any]] = {}
    for name, definition in properties.items():
        own = {key: _plain(value) for key, value in definition.items() if key != "properties"}
        inner = definition.get("properties")
        if inner is None or own:
            found[prefix + name] = own
        found |= _fields(inner or {}, f"{prefix}{name}.")
    return found


def _settings(there: Mapping[str, Any]) -> Iterator[str]:
    for name in _PIPELINES:
        if there.get(name, "") not in _NO_PIPELINE:
            yield f"the ingest pipeline {there[name]} is its {name}: it may change or drop records"


def _aliases(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for name, definition in sorted(there.items()):
        if name in wanted and "filter" in definition:
            yield f"the alias {name} has a filter, which hides records"


def _plain(value: Any) -> Any:
    """Elasticsearch gives booleans and numbers of some parameters back as text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value
