"""A page that was changed by hand in Kibana comes back to the sources."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kibana import build, edited
from shipper.index import kibana, name_colours

PAGE = "rqship-dashboard-overview"


def exported(change: Callable[[dict[str, Any], list[dict[str, Any]]], None], space: str = "default") -> str:
    """An export of all objects of a space, as Kibana writes it, after somebody changed the overview there."""
    lines = []
    for line in kibana.objects(space).splitlines():
        one = json.loads(line)
        if one["id"].endswith("dashboard-overview"):
            panels = json.loads(one["attributes"]["panelsJSON"])
            change(one["attributes"], panels)
            for panel in panels:
                panel["version"] = "9.4.3"
                panel["embeddableConfig"]["hidePanelBorders"] = False  # what Kibana adds by itself
            one["attributes"]["panelsJSON"] = json.dumps(panels)
        lines.append(json.dumps({**one, "managed": False, "updated_at": "2026-11-26T06:00:00.000Z"}))
    details = {"exportedCount": len(lines), "missingRefCount": 0, "missingReferences": []}
    return "\n".join([*lines, json.dumps(details)])


def panel(panels: list[dict[str, Any]], title: str) -> dict[str, Any]:
    (found,) = [one for one in panels if one["embeddableConfig"].get("title") == title]
    return found


def higher_and_red(attributes: dict[str, Any], panels: list[dict[str, Any]]) -> None:
    attributes["timeFrom"] = "now-6h"
    one = panel(panels, "Failure rate over time")
    one["gridData"]["h"] = 20
    one["embeddableConfig"]["attributes"]["state"]["visualization"]["layers"][0]["yConfig"][0]["color"] = "#123456"


def nothing(attributes: dict[str, Any], panels: list[dict[str, Any]]) -> None:
    pass


@pytest.mark.parametrize("space", ["default", "ops"])
def test_an_export_of_what_was_installed_differs_in_nothing(space: str) -> None:
    assert edited.changes(build.from_sources(), exported(nothing, space)) == []


def test_the_colours_that_the_setup_gave_to_names_are_no_change() -> None:
    names = {"service.version": ["1.0", "1.1"], "messaging.destination.name": ["mails"]}
    installed = name_colours.stored(kibana.objects("default"), names)
    assert installed != kibana.objects("default")
    assert edited.changes(build.from_sources(), installed) == []


@pytest.mark.parametrize("space", ["default", "ops"])
def test_a_difference_names_the_panel_and_its_attribute(space: str) -> None:
    found = [str(one) for one in edited.changes(build.from_sources(), exported(higher_and_red, space))]
    assert found == [
        'RQ: overview: timeFrom: "now-24h" → "now-6h"',
        "RQ: overview / Failure rate over time: "
        'embeddableConfig.attributes.state.visualization.layers.0.yConfig.0.color: "#C1351D" → "#123456"',
        "RQ: overview / Failure rate over time: gridData.h: 9 → 20",
    ]


def test_a_list_says_what_came_and_went() -> None:
    export = exported(nothing).replace('"columns": ["rq.signal", ', '"columns": ["user.id", ')
    (found,) = edited.changes(build.from_sources(), export.replace('["user.id", ', '["user.id", "host.name", ', 1))
    assert str(found) == 'RQ: killed by a signal: columns: added ["user.id"], removed ["rq.signal"]'


def test_what_was_taken_back_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edited, "OVERRIDES", tmp_path / "overrides.json")
    export = exported(higher_and_red)
    assert len(edited.take_back(build.from_sources(), export)) == 3
    built = build.objects()
    assert edited.changes(built, export) == []
    (page,) = [one for one in built if one["id"] == PAGE]
    assert page["attributes"]["timeFrom"] == "now-6h"
    assert panel(json.loads(page["attributes"]["panelsJSON"]), "Failure rate over time")["gridData"]["h"] == 20
    edited.take_back(build.from_sources(), exported(nothing))
    assert not edited.OVERRIDES.exists()
    assert build.objects() == build.from_sources()


def test_a_panel_that_was_added_or_removed_is_named_and_left_to_the_source() -> None:
    def another(attributes: dict[str, Any], panels: list[dict[str, Any]]) -> None:
        panels.append({**panel(panels, "Failure rate over time"), "panelIndex": "new"})
        panels.remove(panel(panels, "What is dead now"))

    found = edited.changes(build.from_sources(), exported(another))
    assert len(found) == 2
    assert not any(edited.can_be_taken(one) for one in found)
    assert edited.overrides(found) == {}


def test_objects_are_the_same_when_opened_and_closed_again() -> None:
    for one in build.from_sources():
        assert edited.closed(edited.opened(one["attributes"])) == one["attributes"], one["id"]
