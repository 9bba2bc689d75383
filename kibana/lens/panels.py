"""A panel as a whole, and the order in which Lens keeps its columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..words import TIME
from .columns import Column, kql
from .formulas import sortable_part

LAYER = "data"
LINE_LAYER = "line"

# By what Lens can order a group's values; a formula or a last value cannot be asked for within a terms aggregation.
SORTABLE = frozenset({"count", "sum", "average", "max", "min", "percentile", "unique_count"})


@dataclass(frozen=True, kw_only=True)
class Annotation:
    """Marks on a chart over time, one for each record of `view` that matches `where`, with the value of `text`.

    What is chosen above the page does not apply to it: an alarm is about all jobs.
    """

    name: str
    label: str
    view: str
    where: str
    text: str
    colour: str
    icon: str

    def layer(self) -> dict[str, Any]:
        """The layer as Lens keeps it (event_annotation's QueryPointEventAnnotationConfig)."""
        mark = {
            "type": "query",
            "id": self.name,
            "label": self.label,
            "key": {"type": "point_in_time"},
            "timeField": TIME,
            "filter": {"type": "kibana_query", **kql(self.where)},
            # Names that stand close together would lie upon each other: they are shown as the mouse rests on a mark.
            "textVisibility": False,
            "textField": self.text,
            "color": self.colour,
            "icon": self.icon,
            "lineStyle": "dashed",
            "lineWidth": 1,
            "isHidden": False,
        }
        return {
            "layerId": self.name,
            "layerType": "annotations",
            "persistanceType": "byValue",
            "ignoreGlobalFilters": True,
            "annotations": [mark],
        }


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A Lens panel: `view` is a data view's name, `layers` each layer's columns, `goto` the pages of its drilldowns.

    `description` is shown beside the title, as an (i). `view_of` names the data views of layers that ask another one.
    """

    title: str
    view: str
    kind: str
    layers: Mapping[str, Mapping[str, dict[str, Any]]]
    visualization: Mapping[str, Any]
    where: str = ""
    goto: tuple[str, ...] = ()
    show_title: bool = True
    description: str = ""
    view_of: Mapping[str, str] | None = None
    annotated: tuple[Annotation, ...] = ()

    def view_for(self, layer: str) -> str:
        return (self.view_of or {}).get(layer, self.view)


def attributes(panel: Panel) -> dict[str, Any]:
    """What Lens keeps of a panel, references apart."""
    layers = {
        name: {"columnOrder": list(columns), "columns": dict(columns), "incompleteColumns": {}}
        for name, columns in panel.layers.items()
    }
    return {
        "title": panel.title,
        "description": panel.description,
        "visualizationType": panel.kind,
        "state": {
            "datasourceStates": {"formBased": {"layers": layers}},
            "visualization": dict(panel.visualization),
            "query": kql(panel.where),
            "filters": [],
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }


def columns_of(groups: Sequence[Column], figures: Sequence[Column]) -> dict[str, dict[str, Any]]:
    """The states of all columns in Lens's order: groups before figures, each group ordered by the first that can."""
    order = _order(figures)
    return _merged([*(_grouped(group, order).states() for group in groups), *(one.states() for one in figures)])


def _order(figures: Sequence[Column]) -> dict[str, Any]:
    """By what a group's values are ordered: the first figure; of a formula its first part, of a last value the largest.

    Elasticsearch cannot order by the latter two themselves.
    """
    first = figures[0]
    if first.formula and (part := sortable_part(first.formula, SORTABLE)):
        return _by_own(part, first)
    if first.operation == "last_value" and first.type == "number":
        return _by_own(replace(first, operation="max", params={"emptyAsNull": True}), first)
    weight = next((one for one in figures if one.operation in SORTABLE), None)
    if weight is None:
        return {"orderBy": {"type": "alphabetical"}}
    return {"orderBy": {"type": "column", "columnId": weight.id}}


def _by_own(weight: Column, first: Column) -> dict[str, Any]:
    """An order by a figure that is not shown. Lens passes over a filter of it, so it has none."""
    (state,) = replace(weight, where="").states().values()
    return {"orderBy": {"type": "custom"}, "orderAgg": {**state, "label": f"Order of {first.label}"}}


def _grouped(group: Column, order: Mapping[str, Any]) -> Column:
    if group.operation != "terms":
        return group
    params = {
        "size": group.params["size"],
        **order,
        "orderDirection": "asc" if order["orderBy"]["type"] == "alphabetical" else "desc",
        "otherBucket": False,
        "missingBucket": False,
        "parentFormat": {"id": "terms"},
    }
    return replace(group, params=params)


def _merged(states: Iterable[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for some in states:
        if twice := merged.keys() & some.keys():
            raise ValueError(f"two columns of one panel are called {sorted(twice)}")
        merged |= some
    return merged
