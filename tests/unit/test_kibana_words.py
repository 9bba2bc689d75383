"""What people read in the Kibana objects: names, units, times, and whether it fits on their screen."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from kibana.words import NOT_WELL
from tests.lens import groups_of
from tests.saved_objects import Placed, of_type, panels, source_of, view, view_of_search

LENS = panels("lens")
TILES = [one for one in LENS if one.attributes["visualizationType"] == "lnsMetric"]
TABLES = [one for one in LENS if one.attributes["visualizationType"] == "lnsDatatable"]
PAGES = of_type("dashboard")
SEARCHES = of_type("search")


def titled(one: dict[str, Any]) -> str:
    return str(one["attributes"]["title"])


def names_of(data_view: dict[str, Any]) -> dict[str, str]:
    attributes = json.loads(data_view["attributes"]["fieldAttrs"])
    return {field: one["customLabel"] for field, one in attributes.items()}


@pytest.mark.parametrize("search", SEARCHES, ids=titled)
def test_a_saved_search_opens_on_a_range_of_its_own_in_rows_of_one_line_with_people_s_names(
    search: dict[str, Any],
) -> None:
    kept = search["attributes"]
    assert kept["timeRestore"] is True, "Discover would open it on the last 15 minutes"
    assert re.fullmatch(r"now-\d+[dh]", kept["timeRange"]["from"])
    assert kept["timeRange"]["to"] == "now"
    assert kept["rowHeight"] == (-1 if "whole" in kept["title"] else 1)
    assert set(kept["columns"]) <= set(names_of(view_of_search(search)))


def test_a_search_of_the_last_day_opens_on_the_last_day() -> None:
    (search,) = [one for one in SEARCHES if titled(one) == "RQ: failed in the last day"]
    assert search["attributes"]["timeRange"]["from"] == "now-1d"
    assert "now" not in source_of(search)["query"]["query"]


@pytest.mark.parametrize("page", PAGES, ids=titled)
def test_a_control_is_called_as_its_field_is_in_filters_and_columns(page: dict[str, Any]) -> None:
    references = {one["name"]: one["id"] for one in page["references"]}
    for name, control in json.loads(page["attributes"]["controlGroupInput"]["panelsJSON"]).items():
        names = names_of(view(references[f"controlGroup_{name}:optionsListDataView"]))
        assert names[control["explicitInput"]["fieldName"]] == control["explicitInput"]["title"]


def test_one_field_has_one_name_in_all_data_views() -> None:
    seen: dict[str, set[str]] = {}
    for one in of_type("index-pattern"):
        for field, name in names_of(one).items():
            seen.setdefault(field, set()).add(name)
    own = {"event.duration", "event.dataset"}  # of an alarm or a gauge it is another thing
    assert {field: names for field, names in seen.items() if len(names) > 1 and field not in own} == {}


@pytest.mark.parametrize("one", TILES, ids=lambda one: one.name)
def test_a_tile_says_whether_it_is_of_now_or_of_the_time_range(one: Placed) -> None:
    said = one.attributes["state"]["visualization"].get("subtitle", "")
    asks = json.dumps(one.attributes["state"]["datasourceStates"])
    timeless = "timeFieldName" not in one.view_of("data")["attributes"]
    if timeless or "now-" in asks:
        assert re.match(r"now\b|in the last \d+ minutes", said)
    elif one.page["id"] != "rqship-dashboard-job":  # of one job everything is shown
        assert "in the time range" in said


@pytest.mark.parametrize("one", LENS, ids=lambda one: one.name)
def test_no_group_is_called_missing_value(one: Placed) -> None:
    for layer in one.layers.values():
        for name in groups_of(layer):
            params = layer["columns"][name]["params"]
            assert not params.get("missingBucket")
            assert not params.get("otherBucket")


def test_sizes_are_in_a_unit_that_people_read() -> None:
    for one in LENS:
        for layer in one.layers.values():
            assert not [c for c in layer["columns"].values() if str(c.get("sourceField")).endswith("_kb")], one.name
        formats = json.loads(one.view_of("data")["attributes"]["fieldFormatMap"])
        for column in one.layers["data"]["columns"].values():
            field = str(column.get("sourceField"))
            if field.endswith("bytes") and column["operationType"] != "count":
                assert formats[field]["id"] == "bytes", field


def test_an_axis_of_time_has_round_numbers() -> None:
    """1, 2, 5 and 10 minutes; an axis in milliseconds has its lines at 3.3 minutes."""
    for one in LENS:
        picture = one.attributes["state"]["visualization"]
        for layer in picture["layers"] if one.attributes["visualizationType"] == "lnsXY" else []:
            if layer["layerType"] != "data":
                continue
            columns = one.layers["data"]["columns"]
            for accessor in layer["accessors"]:
                assert not str(columns[accessor].get("sourceField")).endswith(("_ms", "event.duration")), one.name
                if columns[accessor]["operationType"] == "formula" and accessor.startswith("p"):
                    assert columns[accessor]["params"]["format"]["params"]["suffix"] in (" s", " min")


def test_a_p99_stands_on_a_logarithmic_axis() -> None:
    seen = 0
    for one in LENS:
        picture = one.attributes["state"]["visualization"]
        if one.attributes["visualizationType"] == "lnsXY" and "p99" in picture["layers"][0]["accessors"]:
            assert picture["yLeftScale"] == "log"
            # Else the axis has to hold 0, begins at 1 instead, and hides all that is less.
            assert picture["yLeftExtent"] == {"mode": "dataBounds"}
            seen += 1
    assert seen


def test_one_late_job_is_not_red_beside_99_8_percent() -> None:
    (late,) = [one for one in TILES if one.name == "RQ: queues / Started later than 60 s"]
    assert "palette" not in late.attributes["state"]["visualization"]


def test_a_failure_rate_counts_attempts_and_says_so() -> None:
    """An expired job never ran. The page about failures lists it all the same."""
    rates = 0
    for one in LENS:
        for layer in one.layers.values():
            for column in layer["columns"].values():
                if column["operationType"] == "formula" and "failure rate" in column["label"].lower():
                    assert 'not event.reason : "expired"' in column["params"]["formula"], one.name
                    assert "expired" in one.panel["embeddableConfig"]["description"], one.name
                    rates += 1
    assert rates > 3
    assert "expired" not in NOT_WELL


# --- widths ---

SCREEN_PX = 1280
COLUMN_PX = (SCREEN_PX - 32) / 48
PADDING_PX, LETTER_PX, CELL_PX = 24, 7.2, 24
# What a cell of a group needs, by the field. The ids are UUIDs; a function's name is written from its last part.
NEEDS = {
    "messaging.message.id": 270, "rq.parent_job_id": 270, "rq.root_job_id": 270,
    "rq.depends_on": 270, "audit.resource.id": 270, "code.function.name": 160, "what_failed": 140, "host.name": 120,
    "rq.execution_id": 150,
}  # fmt: skip


@pytest.mark.parametrize("one", TABLES, ids=lambda one: one.name)
def test_a_table_s_columns_are_not_cut_on_a_small_screen(one: Placed) -> None:
    """Kibana gives columns with a width that width, and the others the same parts of the rest."""
    layer = one.layers["data"]["columns"]
    picture = one.attributes["state"]["visualization"]
    columns = [column for column in picture["columns"] if not column.get("isTransposed")]
    if len(columns) < len(picture["columns"]):  # each figure once for each of up to three versions
        columns += 2 * [column for column in columns if not layer[column["columnId"]]["isBucketed"]]
    left = one.panel["gridData"]["w"] * COLUMN_PX - PADDING_PX - sum(column.get("width", 0) for column in columns)
    free = [column for column in columns if "width" not in column]
    assert left >= 0, "a bar to scroll by"
    for column in columns:
        of = layer[column["columnId"]]
        longest = max(len(word) for word in of["label"].split())
        shown = of["isBucketed"] or of["operationType"] == "last_value"  # the field's values, not a number of them
        value = NEEDS.get(of.get("sourceField"), 60) if shown else 60
        assert column.get("width", left / (len(free) or 1)) >= max(longest * LETTER_PX + CELL_PX, value), of["label"]


BUTTONS_PX, FIELD_LIST_PX = 60, 304  # beside the rows of a search, and beside its table in Discover


@pytest.mark.parametrize("one", of_type("search"), ids=lambda one: one["attributes"]["title"])
def test_sentences_of_a_search_have_room_on_a_small_screen(one: dict[str, Any]) -> None:
    """They are what a row is read for; as wide as each other column, they ended after two words."""
    columns = one["attributes"]["columns"]
    widths = {name: of["width"] for name, of in one["attributes"]["grid"]["columns"].items()}
    free = [name for name in columns if name not in widths]
    if not {"message", "error.message", "error.stack_trace"} & set(columns):
        return
    left = SCREEN_PX - 32 - BUTTONS_PX - sum(widths.values())
    assert left / len(free) >= 280, free
    assert (left - FIELD_LIST_PX) / len(free) >= 120, free


WIDE_PX = 1600
TITLE_PX, SUBTITLE_PX, MARGIN_PX = 10.4, 9.2, 24  # of a letter, as Kibana writes them in a tile of this width


@pytest.mark.parametrize("one", [one for one in TILES if one.panel["gridData"]["h"] < 6], ids=lambda one: one.name)
def test_the_words_of_a_low_tile_are_not_cut_on_a_wide_screen(one: Placed) -> None:
    """There the letters are larger, and one that is lower than six rows has a single line for its title."""
    picture = one.attributes["state"]["visualization"]
    title = one.layers[picture["layerId"]]["columns"][picture["metricAccessor"]]["label"]
    width = one.panel["gridData"]["w"] * (WIDE_PX - 32) / 48 - MARGIN_PX
    assert len(title) * TITLE_PX <= width
    assert len(picture.get("subtitle") or "") * SUBTITLE_PX <= width


def test_bars_have_room_beside_the_names() -> None:
    for one in LENS:
        picture = one.attributes["state"]["visualization"]
        if one.attributes["visualizationType"] == "lnsXY" and picture["preferredSeriesType"] == "bar_horizontal":
            assert one.panel["gridData"]["w"] >= 24, one.name


def test_a_function_s_name_is_whole_from_its_last_part() -> None:
    for one in of_type("index-pattern"):
        formats = json.loads(one["attributes"]["fieldFormatMap"])
        if "code.function.name" in names_of(one):
            assert formats["code.function.name"] == {"id": "string", "params": {"transform": "short"}}, one["id"]
