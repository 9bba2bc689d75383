"""Colours of the Kibana objects: one meaning, one colour; stored in every panel; and to be told apart by everybody."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from kibana import colours
from kibana.colours import AMBER, GREEN, GREY, MEANINGS, NAMES, NEUTRAL, RED
from kibana.drawings.happened import HAPPENED
from kibana.drawings.job_story import ATTEMPTS, STORY
from kibana.drawings.running import RUNNING_NOW
from kibana.words import ACTION, ACTOR, STATE
from shipper.index import kibana, name_colours
from shipper.index.name_colours import NAMED, assigned
from tests.saved_objects import Placed, panels

LENS = panels("lens")

# How colours look to people who lack one kind of cone: linear RGB → linear RGB (Machado, Oliveira, Fernandes 2009).
SIGHTS = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "no red": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "no green": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "no blue": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
JUST_NOTICEABLE = 2.3  # of CIE76; side by side in a chart several times that is needed


def distance(one: str, other: str, sight: str) -> float:
    """How different two colours look (CIE76)."""
    return float(sum((a - b) ** 2 for a, b in zip(_lab(one, sight), _lab(other, sight), strict=True)) ** 0.5)


def _lab(colour: str, sight: str) -> tuple[float, float, float]:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    r, g, b = (min(1.0, max(0.0, sum(w * v for w, v in zip(row, linear, strict=True)))) for row in SIGHTS[sight])
    x = _root((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.95047)
    y = _root(0.2126 * r + 0.7152 * g + 0.0722 * b)
    z = _root((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.08883)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _root(value: float) -> float:
    return float(value ** (1 / 3)) if value > 0.008856 else 7.787 * value + 16 / 116


@pytest.mark.parametrize("sight", SIGHTS)
@pytest.mark.parametrize("table", [(GREEN, AMBER, RED, GREY), NAMED], ids=["outcomes", "names"])
def test_colours_can_be_told_apart_whatever_cones_somebody_has(table: tuple[str, ...], sight: str) -> None:
    for one, other in combinations(table, 2):
        assert distance(one, other, sight) > 8 * JUST_NOTICEABLE, (one, other)


@pytest.mark.parametrize("sight", SIGHTS)
def test_nothing_else_looks_like_an_outcome(sight: str) -> None:
    for name in NAMED:
        for outcome in (GREEN, AMBER, RED, GREY):
            assert distance(name, outcome, sight) > 4 * JUST_NOTICEABLE, (name, outcome)


def test_values_of_one_field_differ_unless_they_mean_the_same() -> None:
    same = {GREY}  # stopped, cancelled, deleted: somebody took it away
    for field, table in MEANINGS.items():
        used = [colour for colour in table.values() if colour not in same]
        assert len(set(used)) == len(used), field


def test_an_outcome_has_one_colour_everywhere() -> None:
    meant = {"finished": GREEN, "retried": AMBER, "dead": RED, "taken away": GREY, "success": GREEN, "failure": RED}
    seen = set()
    for one in LENS:
        for layer in one.attributes["state"]["visualization"].get("layers", []):
            for style in layer.get("yConfig", []):
                label = one.layers[layer["layerId"]]["columns"][style["forAccessor"]]["label"]
                if label in meant:
                    assert style["color"] == meant[label], one.name
                    seen.add(label)
    assert seen == set(meant)


ONE_ACTION = re.compile(r'event\.action : "(job-[a-z]+)"')


def test_an_action_has_the_colour_of_the_table() -> None:
    """What waits is blue on each page, and not yellow on one and violet on another."""
    seen = set()
    for one in LENS:
        for layer in one.attributes["state"]["visualization"].get("layers", []):
            for style in layer.get("yConfig", []):
                column = one.layers[layer["layerId"]]["columns"][style["forAccessor"]]
                if action := ONE_ACTION.fullmatch(column.get("filter", {}).get("query", "")):
                    assert style["color"] == MEANINGS[ACTION][action[1]], one.name
                    seen.add(action[1])
    assert {"job-enqueued", "job-started"} <= seen


def test_a_drawing_has_the_colours_of_the_table() -> None:
    states = MEANINGS[STATE]
    bars = dict(zip(*(ATTEMPTS.scales[2][part] for part in ("domain", "range")), strict=True))
    meant = {"waited": "queued", "running": "started", "paused until the next attempt": "scheduled"}
    meant |= {"retried": "retrying"} | {name: name for name in ("finished", "dead", "stopped", "canceled", "deleted")}
    assert {name: bars[name] for name in meant} == {name: states[state] for name, state in meant.items()}
    assert f"'running' ? '{states['started']}'" in json.dumps(STORY.spec())
    assert f"'waiting' ? '{states['queued']}'" in json.dumps(STORY.spec())
    assert states["started"] in json.dumps(RUNNING_NOW.spec())
    operators = [one for one in HAPPENED.marks if one.get("from") == {"data": "operators"} and one["type"] == "symbol"]
    assert operators[0]["encode"]["update"]["fill"] == {"value": MEANINGS[ACTOR]["operator"]}


def test_a_mark_on_a_chart_has_the_colour_of_who_acted() -> None:
    marks = {
        mark["id"]: mark["color"]
        for one in LENS
        for layer in one.attributes["state"]["visualization"].get("layers", [])
        for mark in layer.get("annotations", [])
    }
    assert marks == {"operators": MEANINGS[ACTOR]["operator"], "alarms": RED}


def _layers(one: Placed) -> list[dict[str, Any]]:
    layers = one.attributes["state"]["visualization"].get("layers", [])
    return [layer for layer in layers if layer["layerType"] == "data"]


@pytest.mark.parametrize("one", [one for one in LENS if _layers(one)], ids=lambda one: one.name)
def test_a_panel_stores_the_colour_of_each_of_its_series(one: Placed) -> None:
    for layer in _layers(one):
        columns = one.layers[layer["layerId"]]["columns"]
        split = layer.get("splitAccessor") or (layer.get("primaryGroups") or [None])[0]
        if split is None:
            coloured = {style["forAccessor"] for style in layer["yConfig"] if style.get("color")}
            assert coloured == set(layer["accessors"]), "Kibana would give it a colour of the moment"
            continue
        field = columns[split]["sourceField"]
        given = {a["rule"]["values"][0]: a["color"]["colorCode"] for a in layer["colorMapping"]["assignments"]}
        assert given == {value: colour.lower() for value, colour in MEANINGS.get(field, {}).items()}
        assert given or field in NAMES


def test_a_field_without_decided_colours_is_refused() -> None:
    with pytest.raises(ValueError, match="no colours are decided"):
        colours.stored("rq.group_id")


def test_a_name_keeps_its_colour_as_others_come() -> None:
    first = assigned(["mails", "payments"])
    later = assigned(["mails", "payments", "reports"])
    assert first.items() <= later.items()
    assert len(set(later.values())) == 3


def test_the_setup_stores_the_colours_of_the_names_that_it_found() -> None:
    names = {"messaging.destination.name": ["mails", "payments"], "service.version": ["1.1"]}
    lines = name_colours.stored(kibana.objects("default"), names)
    seen = set()
    for line in lines.splitlines():
        for panel in json.loads(json.loads(line)["attributes"].get("panelsJSON", "[]")):
            for field, given in _splits(panel):
                if field in names:
                    assert given == {name: colour.lower() for name, colour in assigned(names[field]).items()}
                    seen.add(field)
    assert seen == set(names)
    assert name_colours.stored(kibana.objects("default"), {}) == kibana.objects("default")


def _splits(panel: dict[str, Any]) -> list[tuple[str, dict[str, str]]]:
    """(field, stored colours by value) of each layer that is split by a field."""
    state = panel["embeddableConfig"].get("attributes", {}).get("state")
    found = []
    for layer in state["visualization"].get("layers", []) if state else []:
        if mapping := layer.get("colorMapping"):
            split = layer.get("splitAccessor") or layer["primaryGroups"][0]
            field = state["datasourceStates"]["formBased"]["layers"][layer["layerId"]]["columns"][split]["sourceField"]
            given = {one["rule"]["values"][0]: one["color"]["colorCode"] for one in mapping["assignments"]}
            found.append((field, given))
    return found


def test_twelve_names_have_twelve_colours() -> None:
    assert len(set(assigned(f"queue-{number}" for number in range(len(NAMED))).values())) == len(NAMED)


@pytest.mark.parametrize("bands", [colours.ANY_IS_BAD, colours.FAILURE_RATE_BANDS, colours.IN_TIME_BANDS])
def test_no_data_is_neither_green_nor_red(bands: colours.Bands) -> None:
    assert shown_for(colours.palette(bands), None) == NEUTRAL
    for value, colour in bands:
        assert shown_for(colours.palette(bands), value) == colour


def shown_for(palette: dict[str, Any], value: float | None) -> str:
    """The colour of a figure as Kibana computes it (`workoutColorForValue`): of none, that of the first band."""
    stops = palette["params"]["stops"]
    if value is None:
        return str(stops[0]["color"])
    return str(next((stop["color"] for stop in stops if value < stop["stop"]), stops[-1]["color"]))


def test_no_tile_is_coloured_where_there_is_no_data() -> None:
    """A count is 0 without data, and 0 dead jobs would be green. So a coloured tile has no value then."""
    for one in LENS:
        picture = one.attributes["state"]["visualization"]
        if one.attributes["visualizationType"] != "lnsMetric":
            continue
        assert "color" not in picture, f"{one.name}: a colour that stays whatever the figure is"
        if "palette" not in picture:
            continue
        assert picture["palette"]["params"]["colorStops"][0]["color"] == NEUTRAL, one.name
        column = one.layers["data"]["columns"][picture["metricAccessor"]]
        zero = picture["palette"]["params"]["stops"][1]["color"]
        if column["operationType"] in ("count", "unique_count"):
            assert zero == NEUTRAL, f"{one.name}: nothing at all is 0, too"
