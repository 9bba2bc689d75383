"""The built file as tests read it: strings of JSON opened, panels and their layers found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from elasticsearch import Elasticsearch

from kibana.build import OBJECTS
from shipper.index import setup
from tests.lens import figures_of, rows_of, search_of


@cache
def objects() -> dict[tuple[str, str], dict[str, Any]]:
    """Every object of the committed file, by type and id."""
    lines = OBJECTS.read_text(encoding="utf-8").splitlines()
    return {(one["type"], one["id"]): one for one in map(json.loads, lines)}


def of_type(kind: str) -> list[dict[str, Any]]:
    return [one for (its, _), one in objects().items() if its == kind]


def view(identifier: str) -> dict[str, Any]:
    return objects()["index-pattern", identifier]


@dataclass(frozen=True)
class Placed:
    """A panel on its page."""

    page: dict[str, Any]
    panel: dict[str, Any]

    @property
    def name(self) -> str:
        config = self.panel["embeddableConfig"]
        title = config.get("title") or config.get("attributes", {}).get("title") or self.panel["panelIndex"]
        return f"{self.page['attributes']['title']} / {title}"

    @property
    def attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = self.panel["embeddableConfig"]["attributes"]
        return found

    @property
    def layers(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.attributes["state"]["datasourceStates"]["formBased"]["layers"]
        return found

    def reference(self, name: str) -> dict[str, str]:
        """The page's reference of that name for this panel. KeyError if there is none."""
        wanted = f"{self.panel['panelIndex']}:{name}"
        found: dict[str, str] = {one["name"]: one for one in self.page["references"]}[wanted]
        return found

    def computed(self, layer: str) -> dict[str, Any]:
        """The fields that the layer's data view computes."""
        return computed(self.view_of(layer))

    def view_of(self, layer: str) -> dict[str, Any]:
        return view(self.reference(f"indexpattern-datasource-layer-{layer}")["id"])


def annotations_of(one: Placed) -> list[dict[str, Any]]:
    """The layers of a chart whose marks are records, such as alarms."""
    layers = one.attributes["state"]["visualization"].get("layers", [])
    return [layer for layer in layers if layer["layerType"] == "annotations"]


def annotated_view(one: Placed, layer: dict[str, Any]) -> dict[str, Any]:
    return view(one.reference(f"xy-visualization-layer-{layer['layerId']}")["id"])


def panels(kind: str | None = None) -> list[Placed]:
    """All panels, or those of one type: read once, so nobody may change them."""
    return [one for one in _panels() if kind in (None, one.panel["type"])]


@cache
def _panels() -> tuple[Placed, ...]:
    return tuple(
        Placed(page, panel) for page in of_type("dashboard") for panel in json.loads(page["attributes"]["panelsJSON"])
    )


def empty_panels(search: Elasticsearch, namespace: str, indices: set[str]) -> list[str]:
    """The Lens panels on these data views' indices that would show nothing at all on what a namespace holds."""
    empty = []
    for one in panels("lens"):
        layer, title = one.layers["data"], one.view_of("data")["attributes"]["title"]
        if title in indices:
            index = ",".join(f"{part.removesuffix('*')}{namespace}*" for part in title.split(","))
            answer = search.search(index=index, body=search_of(one.attributes, layer, "1m", one.computed("data"))).body
            rows = rows_of(layer, answer, 60_000)
            if not any(row[name] is not None for row in rows for name in figures_of(layer)):
                empty.append(one.name)
    return empty


def source_of(search: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(search["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])
    return found


def view_of_search(search: dict[str, Any]) -> dict[str, Any]:
    name = source_of(search)["indexRefName"]
    (found,) = [one["id"] for one in search["references"] if one["name"] == name]
    return view(found)


@cache
def mapped(indices: str) -> dict[str, str]:
    """The fields of a data view's indices and their types, from the templates. Aliases have what they stand for."""
    parts = setup.wanted(_settings(), pipeline=False)
    common = next(part.body for part in parts if part.name == "rq-common")
    found: dict[str, str] = {}
    for part in parts:
        if not set(part.body.get("index_patterns", [])) & set(indices.split(",")):
            continue
        bodies = [part.body, *([common] if "rq-common" in part.body.get("composed_of", []) else [])]
        for body in bodies:
            mappings = body["template"]["mappings"]
            for name, kind in [*_fields(mappings), *_runtime(mappings)]:
                assert found.setdefault(name, kind) == kind, f"{name} has two types in {indices}"
    return found


def known(view: dict[str, Any]) -> dict[str, str]:
    """The fields of a data view and their types: those of its indices, and those that it computes."""
    return mapped(view["attributes"]["title"]) | {name: one["type"] for name, one in computed(view).items()}


def computed(view: dict[str, Any]) -> dict[str, Any]:
    """The fields that a data view computes, as a search has them (`runtime_mappings`)."""
    found: dict[str, Any] = json.loads(view["attributes"].get("runtimeFieldMap", "{}"))
    return found


def vega_panels() -> list[Placed]:
    """The panels that Vega draws."""
    return [one for one in panels("visualization") if one.panel["embeddableConfig"]["savedVis"]["type"] == "vega"]


def spec_of(one: Placed) -> dict[str, Any]:
    """A Vega panel's specification."""
    found: dict[str, Any] = json.loads(one.panel["embeddableConfig"]["savedVis"]["params"]["spec"])
    return found


def _settings() -> Any:
    from shipper import settings

    return settings.load(environment={"XDG_STATE_HOME": "/s"})


def _runtime(mappings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, spec in mappings.get("runtime", {}).items():
        yield name, spec["type"]


def _fields(mappings: dict[str, Any], node: dict[str, Any] | None = None, path: str = "") -> Iterator[tuple[str, str]]:
    for name, spec in (node or mappings).get("properties", {}).items():
        if "properties" in spec:
            yield from _fields(mappings, spec, f"{path}{name}.")
        elif spec["type"] == "alias":
            yield f"{path}{name}", mappings["properties"][spec["path"]]["type"]
        else:
            yield f"{path}{name}", spec["type"]


def kql_of(placed: Placed) -> Iterator[tuple[str, str]]:
    """(layer, KQL) of a Lens panel: its own, and its columns'."""
    for name, layer in placed.layers.items():
        yield name, placed.attributes["state"]["query"]["query"]
        for column in layer["columns"].values():
            if "filter" in column:
                yield name, column["filter"]["query"]
