"""Controls: the lists of values above a page's panels, as Kibana keeps them in a page and in an address."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .saved import Reference, reference, text, view_id

_NOTHING_IGNORED = {
    "ignoreFilters": False,
    "ignoreQuery": False,
    "ignoreTimerange": False,
    "ignoreValidations": False,
}


@dataclass(frozen=True, kw_only=True)
class Control:
    """A list of a field's values to choose from, above the panels."""

    field: str
    title: str
    view: str
    single: bool = False


def control_id(page: str, control: Control) -> str:
    return f"{page}_{control.field.replace('.', '_')}"


def kept(page: str, controls: Sequence[Control]) -> tuple[dict[str, Any], list[Reference]]:
    """A page's `controlGroupInput`, and its references."""
    panels, references = {}, []
    for order, control in enumerate(controls):
        name = control_id(page, control)
        panels[name] = {
            "type": "optionsListControl",
            "order": order,
            "width": "small",
            "grow": True,
            "explicitInput": {
                "id": name,
                "fieldName": control.field,
                "title": control.title,
                "singleSelect": control.single,
                "selectedOptions": [],
                "enhancements": {},
            },
        }
        references.append(reference("index-pattern", view_id(control.view), f"controlGroup_{name}:optionsListDataView"))
    group = {
        "controlStyle": "oneLine",
        "chainingSystem": "HIERARCHICAL",
        "ignoreParentSettingsJSON": text(_NOTHING_IGNORED),
        "panelsJSON": text(panels),
    }
    return group, references


def in_address(page: str, controls: Sequence[Control], field: str, value: str) -> dict[str, Any]:
    """The state of a page (`_a` of its address) in which `value` is chosen in the control for `field`.

    An address replaces all controls of the page, so it has all of them. Kibana from 8.16 on reads `controlGroupState`;
    older ones, and from 8.19 on where that is missing, `controlGroupInput.panels` (dashboard plugin,
    `dashboard_app/url/bwc`). Raises ValueError if the page has no such control.
    """
    if field not in {control.field for control in controls}:
        raise ValueError(f"the page {page!r} has no control for {field}")
    flat, nested = {}, {}
    for order, control in enumerate(controls):
        name = control_id(page, control)
        placed = {"type": "optionsListControl", "order": order, "width": "small", "grow": True}
        asked = {
            "dataViewId": view_id(control.view),
            "fieldName": control.field,
            "title": control.title,
            "singleSelect": control.single,
            "selectedOptions": [value] if control.field == field else [],
        }
        flat[name] = {**placed, **asked}
        nested[name] = {**placed, "explicitInput": {"id": name, **asked, "enhancements": {}}}
    group = {"chainingSystem": "HIERARCHICAL", "ignoreParentSettings": _NOTHING_IGNORED}
    return {
        "controlGroupState": {
            "initialChildControlState": flat,
            "autoApplySelections": True,
            "labelPosition": "oneLine",
            **group,
        },
        "controlGroupInput": {"controlStyle": "oneLine", "panels": nested, **group},
    }
