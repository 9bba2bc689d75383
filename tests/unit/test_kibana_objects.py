"""The built file against what Kibana does not check when it imports it."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest

from kibana import build
from kibana.lens import SORTABLE
from kibana.objects import GRID_COLUMNS, LINKS_HEIGHT, PREFIX, TYPE_VERSIONS
from shipper.service import ServiceInfo
from shipper.ship import status
from tests.lens import fields_of, figures_of, groups_of
from tests.saved_objects import (
    Placed,
    annotated_view,
    annotations_of,
    known,
    kql_of,
    mapped,
    objects,
    of_type,
    panels,
    source_of,
    spec_of,
    vega_panels,
    view,
    view_of_search,
)

LENS = panels("lens")
SEARCHES = of_type("search")
PAGES = of_type("dashboard")
SORTED_BY = {"long", "double", "date", "keyword"}
# What each operation can be asked of (Lens's own operation definitions).
TAKES = {
    "terms": {"keyword", "ip", "boolean", "long"},
    "date_histogram": {"date"},
    "range": {"long", "double"},
    "sum": {"long", "double"},
    "average": {"long", "double"},
    "percentile": {"long", "double"},
    "max": {"long", "double", "date"},
    "min": {"long", "double", "date"},
    "last_value": {"long", "double", "date", "keyword", "boolean", "ip"},
    "unique_count": {"keyword", "ip", "boolean", "long"},
}


def titled(one: dict[str, Any]) -> str:
    return str(one["attributes"].get("title") or one["attributes"].get("name"))


@pytest.mark.parametrize("path", build.files(), ids=lambda path: path.name)
def test_the_committed_files_are_what_the_sources_make(path: Any) -> None:
    assert path.read_text(encoding="utf-8") == build.files()[path], "run `make kibana`"


def test_every_object_has_the_floor_s_versions_and_an_id_of_its_own() -> None:
    assert len(objects()) == len(build.OBJECTS.read_text(encoding="utf-8").splitlines())
    for (kind, identifier), one in objects().items():
        assert identifier.startswith(PREFIX)
        assert one["coreMigrationVersion"] == "8.8.0"
        assert one["typeMigrationVersion"] == TYPE_VERSIONS[kind]
        assert set(one) == {"type", "id", "attributes", "references", "coreMigrationVersion", "typeMigrationVersion"}


# The attributes of each type that the floor versions know: an unknown one is refused.
KNOWN_ATTRIBUTES = {
    "tag": {"name", "description", "color"},
    "index-pattern": {"title", "name", "timeFieldName", "fieldFormatMap", "fieldAttrs", "runtimeFieldMap"},
    "search": {
        "title", "description", "columns", "sort", "grid", "hideChart", "isTextBasedQuery", "kibanaSavedObjectMeta",
        "rowHeight", "timeRestore", "timeRange",
    },
    "query": {"title", "description", "query", "filters"},
    "dashboard": {
        "title", "description", "version", "timeRestore", "timeFrom", "timeTo", "refreshInterval", "optionsJSON",
        "kibanaSavedObjectMeta", "panelsJSON", "controlGroupInput",
    },
}  # fmt: skip


@pytest.mark.parametrize("one", objects().values(), ids=titled)
def test_no_object_has_an_attribute_that_the_floor_does_not_know(one: dict[str, Any]) -> None:
    assert set(one["attributes"]) <= KNOWN_ATTRIBUTES[one["type"]]


@pytest.mark.parametrize("one", objects().values(), ids=titled)
def test_every_reference_leads_to_an_object_of_the_file(one: dict[str, Any]) -> None:
    names = [reference["name"] for reference in one["references"]]
    assert len(set(names)) == len(names)
    for reference in one["references"]:
        assert (reference["type"], reference["id"]) in objects(), reference


@pytest.mark.parametrize("one", objects().values(), ids=titled)
def test_ids_stand_in_references_and_addresses_only(one: dict[str, Any]) -> None:
    """Kibana gives objects other ids in some imports, and follows references then, but no id in a text.

    `shipper setup` changes those in addresses, too: they have to lead to objects of the file.
    """
    attributes = dict(one["attributes"])
    if one["type"] == "dashboard":
        shown = json.loads(attributes["panelsJSON"])
        for panel in shown:
            panel["embeddableConfig"].get("attributes", {}).pop("references", None)
        attributes["panelsJSON"] = shown
    kept = json.dumps(attributes)
    for address in re.findall(r"#/view/([a-z-]+)", kept):
        assert ("dashboard", address) in objects()
        kept = kept.replace(address, "")
    for identifier in re.findall(r"dataViewId:([a-z-]+)", kept):
        assert ("index-pattern", identifier) in objects()
        kept = kept.replace(identifier, "")
    assert PREFIX not in kept


# --- pages ---


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_panels_fill_the_grid_without_overlap_or_gap(page: dict[str, Any]) -> None:
    taken: Counter[tuple[int, int]] = Counter()
    grids = [panel["gridData"] for panel in json.loads(page["attributes"]["panelsJSON"])]
    for grid in grids:
        assert grid["w"] > 0
        assert grid["h"] > 0
        assert 0 <= grid["x"] <= GRID_COLUMNS - grid["w"]
        taken.update(
            (x, y) for x in range(grid["x"], grid["x"] + grid["w"]) for y in range(grid["y"], grid["y"] + grid["h"])
        )
    height = max(grid["y"] + grid["h"] for grid in grids)
    assert set(taken.values()) == {1}
    assert len(taken) == GRID_COLUMNS * height


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_a_page_s_panels_have_names_of_their_own_and_all_its_references_are_used(page: dict[str, Any]) -> None:
    placed = [one for one in panels() if one.page is page]
    names = [one.panel["panelIndex"] for one in placed]
    assert len(set(names)) == len(names)
    assert all(one.panel["gridData"]["i"] == one.panel["panelIndex"] for one in placed)
    used = {"tag-ref-rqship-tag"}
    for one in placed:
        config, index = one.panel["embeddableConfig"], one.panel["panelIndex"]
        if one.panel["type"] == "links":
            used |= {f"{index}:{link['destinationRefName']}" for link in config["attributes"]["links"]}
        elif one.panel["type"] == "search":
            used.add(f"{index}:{one.panel['panelRefName']}")
        elif one.panel["type"] == "lens":
            used |= {f"{index}:indexpattern-datasource-layer-{layer}" for layer in one.layers}
            used |= {f"{index}:xy-visualization-layer-{layer['layerId']}" for layer in annotations_of(one)}
            used |= {
                f"{index}:drilldown:{event['action']['factoryId']}:{event['eventId']}:dashboardId"
                for event in config["enhancements"]["dynamicActions"]["events"]
            }
    controls = json.loads(page["attributes"]["controlGroupInput"]["panelsJSON"])
    used |= {f"controlGroup_{name}:optionsListDataView" for name in controls}
    assert used == {reference["name"] for reference in page["references"]}


def test_no_two_pages_have_a_panel_or_a_control_of_one_name() -> None:
    """Kibana leaves such a panel as it is on the way from page to page, and so shows the other page's."""
    names = [one.panel["panelIndex"] for one in panels()]
    for page in PAGES:
        names += json.loads(page["attributes"]["controlGroupInput"]["panelsJSON"])
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_links_lead_from_every_page_to_every_page(page: dict[str, Any]) -> None:
    rows = [one for one in panels("links") if one.page is page]
    assert [one.panel["gridData"]["y"] for one in rows] == [LINKS_HEIGHT * number for number in range(len(rows))]
    order = [one.reference(link["destinationRefName"])["id"] for one in rows for link in one.attributes["links"]]
    assert order == [other["id"] for other in PAGES]


def test_a_row_of_links_fits_a_window_of_1280_pixels() -> None:
    """Kibana breaks no row. A letter of its links is 7 pixels wide, and between two links are 24 (EuiListGroup)."""
    for one in panels("links"):
        assert sum(7 * len(link["label"]) + 24 for link in one.attributes["links"]) <= 1240


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_controls_ask_fields_that_can_be_listed(page: dict[str, Any]) -> None:
    controls = json.loads(page["attributes"]["controlGroupInput"]["panelsJSON"])
    references = {one["name"]: one["id"] for one in page["references"]}
    assert controls
    for name, control in controls.items():
        assert control["explicitInput"]["id"] == name
        asked = view(references[f"controlGroup_{name}:optionsListDataView"])
        assert known(asked)[control["explicitInput"]["fieldName"]] == "keyword"
    assert sorted(control["order"] for control in controls.values()) == list(range(len(controls)))


def test_what_is_chosen_above_a_page_means_something_to_each_of_its_panels() -> None:
    """A filter on a field that an index lacks matches nothing there: the panel would be silently empty."""
    for one in LENS:
        controls = json.loads(one.page["attributes"]["controlGroupInput"]["panelsJSON"]).values()
        chosen = {control["explicitInput"]["fieldName"] for control in controls}
        lacking = chosen - set(known(one.view_of("data")))
        assert not lacking, one.name


def test_from_a_function_a_queue_a_customer_and_a_job_there_is_a_way_to_its_own_page() -> None:
    own = {
        "code.function.name": "rqship-dashboard-function",
        "messaging.destination.name": "rqship-dashboard-queue",
        "organization.id": "rqship-dashboard-customer",
        "messaging.message.id": "rqship-dashboard-job",
    }
    for field, page in own.items():
        ways = {
            one.name
            for one in LENS
            for layer in one.layers.values()
            for name in groups_of(layer)
            if layer["columns"][name].get("sourceField") == field and page in _drilldowns(one)
        }
        assert ways, field


def _drilldowns(one: Placed) -> list[str]:
    events = one.panel["embeddableConfig"]["enhancements"]["dynamicActions"]["events"]
    return [
        one.reference(f"drilldown:{event['action']['factoryId']}:{event['eventId']}:dashboardId")["id"]
        for event in events
    ]


# --- Lens ---


@pytest.mark.parametrize("one", LENS, ids=lambda one: one.name)
def test_a_panel_s_layers_are_whole(one: Placed) -> None:
    pictured = _pictured(one)
    assert set(pictured) == set(one.layers)
    inner = {reference["name"]: reference["id"] for reference in one.attributes["references"]}
    for name, layer in one.layers.items():
        columns = layer["columns"]
        assert layer["columnOrder"] == list(columns)
        assert inner[f"indexpattern-datasource-layer-{name}"] == one.view_of(name)["id"]
        assert set(pictured[name]) == {*groups_of(layer), *figures_of(layer)}, "each column is shown, each shown is one"
        kinds = [columns[column]["isBucketed"] for column in columns]
        assert kinds == sorted(kinds, reverse=True), "groups come before figures"
        for column in columns.values():
            assert set(column.get("references", [])) <= set(columns)
            if column["operationType"] == "terms" and column["params"]["missingBucket"]:
                assert column["params"]["otherBucket"], "Lens leaves out the records without a value otherwise"


def _pictured(one: Placed) -> dict[str, list[str]]:
    """The columns that the picture names, by layer."""
    picture, kind = one.attributes["state"]["visualization"], one.attributes["visualizationType"]
    if kind == "lnsDatatable":
        names = [column["columnId"] for column in picture["columns"]]
        transposed = [column["columnId"] for column in picture["columns"] if column.get("isTransposed")]
        # What stands across has no column of its own to sort by.
        assert ("sorting" in picture) is (not transposed)
        assert picture.get("sorting", {}).get("columnId", names[0]) in names
        return {picture["layerId"]: names}
    if kind == "lnsMetric":
        return {picture["layerId"]: [picture["metricAccessor"]]}
    if kind == "lnsPie":
        return {layer["layerId"]: [*layer["primaryGroups"], *layer["metrics"]] for layer in picture["layers"]}
    assert kind == "lnsXY"
    found = {}
    for layer in picture["layers"]:
        if layer["layerType"] == "annotations":
            continue  # it asks for records, not for figures
        named = [*layer["accessors"], layer.get("xAccessor"), layer.get("splitAccessor")]
        found[layer["layerId"]] = [name for name in named if name]
        assert {style["forAccessor"] for style in layer["yConfig"]} <= set(layer["accessors"])
    return found


@pytest.mark.parametrize("one", LENS, ids=lambda one: one.name)
def test_every_column_asks_a_field_that_there_is_and_that_can_be_asked_so(one: Placed) -> None:
    for name, layer in one.layers.items():
        fields = known(one.view_of(name))
        for column in layer["columns"].values():
            operation, field = column["operationType"], column.get("sourceField")
            if operation in ("formula", "math", "static_value"):
                assert field is None
            elif operation == "count":
                assert field == "___records___"
            else:
                assert fields[field] in TAKES[operation], (field, operation)
            if operation == "last_value":
                assert fields[column["params"]["sortField"]] == "date"
            if operation == "terms":
                _check_order(column["params"], layer["columns"], fields)


def _check_order(params: dict[str, Any], columns: dict[str, Any], fields: dict[str, str]) -> None:
    if params["orderBy"]["type"] == "alphabetical":
        return
    custom = params["orderBy"]["type"] == "custom"
    order = params["orderAgg"] if custom else columns[params["orderBy"]["columnId"]]
    assert order["operationType"] in SORTABLE
    if order["operationType"] != "count":
        assert fields[order["sourceField"]] in TAKES[order["operationType"]]


@pytest.mark.parametrize("one", [one for one in LENS if annotations_of(one)], ids=lambda one: one.name)
def test_annotations_ask_mapped_fields_of_their_own_data_view(one: Placed) -> None:
    for layer in annotations_of(one):
        fields = known(annotated_view(one, layer))
        for mark in layer["annotations"]:
            assert fields[mark["timeField"]] == "date"
            assert fields[mark["textField"]] == "keyword"
            assert fields_of(mark["filter"]["query"]) <= set(fields)


@pytest.mark.parametrize("one", LENS, ids=lambda one: one.name)
def test_every_field_of_a_panel_s_kql_is_mapped(one: Placed) -> None:
    for layer, kql in kql_of(one):
        assert fields_of(kql) <= set(known(one.view_of(layer))), kql


def test_formulas_say_what_their_parts_ask() -> None:
    formulas = [
        (column, layer["columns"])
        for one in LENS
        for layer in one.layers.values()
        for column in layer["columns"].values()
        if column["operationType"] == "formula"
    ]
    assert formulas
    for column, columns in formulas:
        (computed,) = column["references"]
        tree = columns[computed]["params"]["tinymathAst"]
        assert _leaves(tree) == set(columns[computed]["references"])
        assert column["params"]["formula"] == tree["text"] == _written(tree, columns)


def _leaves(tree: Any) -> set[str]:
    if isinstance(tree, str):
        return {tree}
    return {leaf for one in tree["args"] for leaf in _leaves(one)} if isinstance(tree, dict) else set()


SIGNS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/"}


def _written(tree: Any, columns: dict[str, Any]) -> str:
    """A formula as a person would type it."""
    if isinstance(tree, dict):
        sides = [
            f"({_written(one, columns)})" if isinstance(one, dict) else _written(one, columns) for one in tree["args"]
        ]
        return f" {SIGNS[tree['name']]} ".join(sides)
    if not isinstance(tree, str):
        return str(tree)
    column = columns[tree]
    operation = column["operationType"]
    asked = [] if operation == "count" else [column["sourceField"]]
    if operation == "percentile":
        asked.append(f"percentile={column['params']['percentile']}")
    if "filter" in column:
        asked.append(f"kql='{column['filter']['query']}'")
    return f"{operation}({', '.join(asked)})"


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_no_two_panels_of_a_page_have_one_title(page: dict[str, Any]) -> None:
    names = [one.name for one in panels() if one.page is page]
    assert len(set(names)) == len(names)


# --- Vega ---


@pytest.mark.parametrize("one", vega_panels(), ids=lambda one: one.name)
def test_a_drawing_asks_mapped_fields_of_a_data_view_s_indices(one: Placed) -> None:
    """The data view of the same indices is the one that Kibana looks for where something is clicked."""
    titles = {found["attributes"]["title"] for found in of_type("index-pattern")}
    sources = spec_of(one)["data"]
    assert len({source["name"] for source in sources}) == len(sources)
    asking = [source["url"] for source in sources if "url" in source]
    assert asking
    for url in asking:
        assert url["index"] in titles
        fields = set(mapped(url["index"])) | set(url["body"].get("runtime_mappings", {}))
        assert _asked(url["body"]) <= fields, url["index"]


def _asked(part: Any, key: str = "") -> set[str]:
    """The fields that a search names."""
    if isinstance(part, list):
        return {found for one in part for found in ({one} if _names_fields(one, key) else _asked(one, key))}
    if not isinstance(part, dict):
        return {part} if key == "field" else set()
    named = set(part) if key in ("term", "terms", "range", "match_phrase", "sort") and "field" not in part else set()
    return named.union(*(_asked(inner, name) for name, inner in part.items()))


def _names_fields(one: Any, key: str) -> bool:
    return isinstance(one, str) and key in ("fields", "docvalue_fields")


# --- searches, queries, views ---


@pytest.mark.parametrize("search", SEARCHES, ids=titled)
def test_a_search_s_columns_sort_and_query_are_of_mapped_fields(search: dict[str, Any]) -> None:
    fields = known(view_of_search(search))
    assert set(search["attributes"]["columns"]) <= set(fields)
    for field, direction in search["attributes"]["sort"]:
        assert fields[field] in SORTED_BY
        assert direction in ("asc", "desc")
    assert fields_of(source_of(search)["query"]["query"]) <= set(fields)


@pytest.mark.parametrize("query", of_type("query"), ids=titled)
def test_a_saved_query_s_fields_are_mapped(query: dict[str, Any]) -> None:
    known = mapped("rq-job-*") | mapped("rq-audit-*")
    assert query["attributes"]["query"]["language"] == "kuery"
    assert fields_of(query["attributes"]["query"]["query"]) <= set(known)


@pytest.mark.parametrize("one", of_type("index-pattern"), ids=titled)
def test_a_data_view_formats_fields_that_it_has_and_tells_time_by_a_date(one: dict[str, Any]) -> None:
    assert mapped(one["attributes"]["title"]), "no template makes these indices"
    fields = known(one)
    formats = json.loads(one["attributes"]["fieldFormatMap"])
    for field, form in formats.items():
        assert field in fields
        if form["id"] in ("duration", "bytes"):
            assert fields.get(field, "long") in ("long", "double")
        if form["id"] == "date":
            assert fields[field] == "date"
    if "timeFieldName" in one["attributes"]:
        assert fields[one["attributes"]["timeFieldName"]] == "date"


def test_durations_are_read_in_the_unit_that_they_are_kept_in() -> None:
    units = {"_ms": "milliseconds", "_s": "seconds"}
    for one in of_type("index-pattern"):
        for field, form in json.loads(one["attributes"]["fieldFormatMap"]).items():
            if form["id"] == "duration":
                ending = next((unit for tail, unit in units.items() if field.endswith(tail)), "nanoseconds")
                assert form["params"]["inputFormat"] == ending, field


def test_every_part_of_a_shipper_s_status_is_mapped() -> None:
    now = status.Status(
        at="2026-11-21T03:17:32.123456Z",
        pid=1,
        started_at="",
        state="shipping",
        elasticsearch="",
        checked_in="C",
        lag_ms=5,
    )
    info = ServiceInfo(service="shop", version=None, environment=None, host="h", pid=1)
    written = status.record(now, info)["shipper"]
    known = mapped("rq-shipper-*")
    for name, value in written.items():
        assert known[f"shipper.{name}"] in (("keyword",) if isinstance(value, str) else ("long", "double")), name
    assert {name for name in known if name.startswith("shipper.")} == {f"shipper.{name}" for name in written}


def test_rules_have_ids_that_kibana_takes_and_ask_mapped_fields() -> None:
    rules = build.rules()
    assert len({rule["id"] for rule in rules}) == len(rules)
    for rule in rules:
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", rule["id"])
        params = rule["payload"]["params"]
        known = mapped(",".join(params["index"]))
        assert known[params["timeField"]] == "date"
        assert 2 <= len(params.get("termField", ["", ""])) <= 4  # what the rule type takes
        assert set(params.get("termField", [])) <= set(known)
        for part in json.loads(params["esQuery"])["query"]["bool"]["filter"]:
            assert set(part["term"]) <= set(known)


def test_there_is_one_alarm_system() -> None:
    """The watch decides; a rule of Kibana's passes on what it opened, and another one sees that it is silent."""
    alarms, silent = build.rules()
    asked = json.loads(alarms["payload"]["params"]["esQuery"])["query"]["bool"]["filter"]
    assert {"term": {"event.kind": "alert"}} in asked
    # The record's own time is since when it is so: a job that waits for 36 minutes would never be in a window of 15.
    assert alarms["payload"]["params"]["timeField"] == "event.created"
    assert silent["payload"]["params"]["index"] == ["rq-metric-*"]
    assert (silent["payload"]["params"]["thresholdComparator"], silent["payload"]["params"]["threshold"]) == ("<", [1])
