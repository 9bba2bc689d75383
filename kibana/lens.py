"""Panels as Lens keeps them: columns, which are questions to Elasticsearch, and a picture of them.

What Lens keeps is not validated by an import, so a mistake shows only as a broken panel. The shapes here are those of
Kibana's own types (kbn-lens-common: datasources and visualizations), and tests/unit/test_kibana_objects.py holds the
built file against each rule that Kibana would otherwise check in front of the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .words import (
    AMBER,
    BLUE,
    DEAD,
    FINISHED,
    GREEN,
    GREY,
    PINK,
    RED,
    RETRIED,
    TAKEN_AWAY,
    TIME,
    VIOLET,
)

RECORDS = "___records___"  # Lens's name for "no field: count the records"
LAYER = "data"
LINE_LAYER = "line"
TIME_WIDTH = 130  # pixels: a date in one line, its time in the next

Bands = tuple[tuple[float, str], ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a Lens layer. `where` is KQL; `parts` are the columns that a formula is made of."""

    label: str
    operation: str
    of: str | None = None
    type: str = "number"
    bucketed: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)
    where: str = ""
    colour: str | None = None
    bands: Bands = ()
    per_minute: bool = False
    parts: tuple[Column, ...] = ()
    text: str = ""

    @property
    def id(self) -> str:
        return re.sub(r"[^a-z0-9]+", "_", self.label.lower()).strip("_")

    def states(self) -> dict[str, dict[str, Any]]:
        """The column as Lens keeps it, by its id; a formula's parts come after it."""
        if self.parts:
            return self._formula()
        state: dict[str, Any] = {
            "label": self.label,
            "customLabel": True,
            "dataType": self.type,
            "operationType": self.operation,
            "isBucketed": self.bucketed,
            "scale": _scale(self),
            "params": dict(self.params),
        }
        if self.of:
            state["sourceField"] = self.of
        if self.where:
            state["filter"] = kql(self.where)
        if self.per_minute:
            state["timeScale"] = "m"
        if self.operation == "static_value":
            state |= {"isStaticValue": True, "references": []}
        return {self.id: state}

    def _formula(self) -> dict[str, dict[str, Any]]:
        """A quotient: Lens keeps the formula's text, and beside it the columns that it was read into."""
        ids = [f"{self.id}X{number}" for number in range(len(self.parts))]
        quotient = f"{self.id}X{len(ids)}"
        tree = {
            "type": "function",
            "name": "divide",
            "args": ids,
            "location": {"min": 0, "max": len(self.text)},
            "text": self.text,
        }
        common = {"dataType": "number", "isBucketed": False, "scale": "ratio"}
        part_of = {"label": f"Part of {self.label}", "customLabel": True, **common}
        states: dict[str, dict[str, Any]] = {
            self.id: {
                "label": self.label,
                "customLabel": True,
                **common,
                "operationType": "formula",
                "params": {"formula": self.text, "isFormulaBroken": False, **self.params},
                "references": [quotient],
            }
        }
        for name, part in zip(ids, self.parts, strict=True):
            states[name] = {**next(iter(part.states().values())), "label": f"Part of {self.label}"}
        states[quotient] = {
            **part_of,
            "operationType": "math",
            "params": {"tinymathAst": tree},
            "references": ids,
        }
        return states


def _scale(column: Column) -> str:
    if column.operation == "date_histogram":
        return "interval"
    return "ratio" if column.type in ("number", "date") and not column.bucketed else "ordinal"


def kql(query: str) -> dict[str, str]:
    """A query as Kibana keeps it."""
    return {"query": query, "language": "kuery"}


# --- columns: what is counted and measured ---


def count(
    label: str, where: str = "", *, colour: str | None = None, per_minute: bool = False, bands: Bands = ()
) -> Column:
    """How many records. None at all is shown as 0: that is an answer, too."""
    return Column(
        label=label,
        operation="count",
        of=RECORDS,
        where=where,
        colour=colour,
        per_minute=per_minute,
        bands=bands,
        params={"emptyAsNull": False},
    )


def total(label: str, of: str, where: str = "") -> Column:
    """The sum of a field."""
    return Column(label=label, operation="sum", of=of, where=where, params={"emptyAsNull": True})


def mean(label: str, of: str, where: str = "") -> Column:
    return Column(label=label, operation="average", of=of, where=where, params={"emptyAsNull": True})


def largest(label: str, of: str, *, bands: Bands = ()) -> Column:
    return Column(label=label, operation="max", of=of, bands=bands, params={"emptyAsNull": True})


def newest(label: str) -> Column:
    """The time of the last record."""
    return Column(label=label, operation="max", of=TIME, type="date", params={"emptyAsNull": True})


def share(percent: int, of: str, *, label: str = "", bands: Bands = ()) -> Column:
    """A percentile, p50 to p99. Those three have a colour each as series, the same everywhere."""
    colour = None if label else {50: BLUE, 95: VIOLET, 99: PINK}.get(percent)
    params = {"percentile": percent}
    return Column(
        label=label or f"p{percent}", operation="percentile", of=of, params=params, colour=colour, bands=bands
    )


def distinct(label: str, of: str) -> Column:
    return Column(label=label, operation="unique_count", of=of, params={"emptyAsNull": False})


def latest(label: str, of: str, *, type: str = "number", where: str = "") -> Column:
    """The value of the last record that has one."""
    there = f'"{of}" : *'
    return Column(
        label=label,
        operation="last_value",
        of=of,
        type=type,
        params={"sortField": TIME},
        where=f"{there} and {where}" if where else there,
    )


def ratio(label: str, part: str, *, whole: str = "", bands: Bands = (), colour: str | None = None) -> Column:
    """What share of the records matches `part`, of those that match `whole`: 0 to 1, written as percent."""

    if "'" in part + whole:
        raise ValueError(f"a formula puts KQL between single quotes: {part!r}, {whole!r}")

    def counting(where: str) -> str:
        return f"count(kql='{where}')" if where else "count()"

    return Column(
        label=label,
        operation="formula",
        bands=bands,
        colour=colour,
        params={"format": {"id": "percent", "params": {"decimals": 1}}},
        parts=(count("part", part), count("whole", whole)),
        text=f"{counting(part)} / {counting(whole)}",
    )


def by_outcome(*, per_minute: bool = False) -> tuple[Column, ...]:
    """Four series, one for each way in which an attempt ends. Their colours mean the same on every page."""
    return (
        count("finished", FINISHED, colour=GREEN, per_minute=per_minute),
        count("retried", RETRIED, colour=AMBER, per_minute=per_minute),
        count("dead", DEAD, colour=RED, per_minute=per_minute),
        count("taken away", TAKEN_AWAY, colour=GREY, per_minute=per_minute),
    )


# --- columns: what they are grouped by ---


def by(of: str, label: str, *, size: int = 10, missing: bool = False) -> Column:
    """A row, bar or slice for each value of a field: the `size` that weigh most by the panel's first figure.

    With `missing`, also one for the records without a value, and one for all the others.
    """
    params = {"size": size, "missingBucket": missing}
    return Column(label=label, operation="terms", of=of, type="string", bucketed=True, params=params)


def over_time(label: str = "time") -> Column:
    params = {"interval": "auto", "includeEmptyRows": True, "dropPartials": False}
    return Column(label=label, operation="date_histogram", of=TIME, type="date", bucketed=True, params=params)


# --- panels ---


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A Lens panel: `view` is a data view's name, `layers` each layer's columns, `goto` the pages of its drilldowns."""

    title: str
    view: str
    kind: str
    layers: Mapping[str, Mapping[str, dict[str, Any]]]
    visualization: Mapping[str, Any]
    where: str = ""
    goto: tuple[str, ...] = ()
    show_title: bool = True


def figure(view: str, column: Column, *, where: str = "") -> Panel:
    """One large figure. Its label is its title. There is nothing to click on, and so no way to another page."""
    picture: dict[str, Any] = {"layerId": LAYER, "layerType": "data", "metricAccessor": column.id}
    if column.bands:
        picture["palette"] = _palette(column.bands)
    elif column.colour:
        picture["color"] = column.colour
    return Panel(
        title=column.label,
        view=view,
        kind="lnsMetric",
        layers={LAYER: column.states()},
        visualization=picture,
        where=where,
        show_title=False,
    )


def table(
    title: str,
    view: str,
    groups: Sequence[Column],
    figures: Sequence[Column],
    *,
    across: Column | None = None,
    where: str = "",
    goto: Sequence[str] = (),
) -> Panel:
    """A table, ordered by its first figure. `across` sets its values side by side, each with all figures."""
    columns = [_table_column(column) for column in (*groups, *figures)]
    picture: dict[str, Any] = {
        "layerId": LAYER,
        "layerType": "data",
        "columns": columns,
        "paging": {"size": 10, "enabled": True},
        # A name or a time that is wider than its column goes on in a second line; otherwise it would be cut off.
        "rowHeight": "auto",
        "headerRowHeight": "auto",
    }
    if across:
        columns.append({"columnId": across.id, "isTransposed": True})
        groups = [*groups, across]
    else:
        picture["sorting"] = {"columnId": figures[0].id, "direction": "desc"}
    return Panel(
        title=title,
        view=view,
        kind="lnsDatatable",
        layers={LAYER: _columns(groups, figures)},
        visualization=picture,
        where=where,
        goto=tuple(goto),
    )


def chart(
    title: str,
    view: str,
    figures: Sequence[Column],
    *,
    x: Column | None = None,
    split: Column | None = None,
    series: str = "bar_stacked",
    where: str = "",
    goto: Sequence[str] = (),
    line_at: tuple[str, float] | None = None,
) -> Panel:
    """Bars or lines: over time unless `x` says otherwise. `line_at` draws a labelled line at a value."""
    x = x or over_time()
    # Over time the split goes first: the heaviest of the whole range, not those of each moment.
    groups = ([split, x] if x.operation == "date_histogram" else [x, split]) if split else [x]
    # Where a split makes the series, each has a colour of Kibana's own. A lone series has none of those: they are given
    # out in the order in which a page's panels happen to come, so that it would be another colour each time.
    alone = BLUE if len(figures) == 1 else None
    coloured = [] if split else [(one.id, one.colour or alone) for one in figures]
    colours = [{"forAccessor": name, "color": colour} for name, colour in coloured if colour]
    layer: dict[str, Any] = {
        "layerId": LAYER,
        "layerType": "data",
        "seriesType": series,
        "xAccessor": x.id,
        "accessors": [column.id for column in figures],
        "yConfig": colours,
    }
    if split:
        layer["splitAccessor"] = split.id
    layers = {LAYER: _columns(groups, figures)}
    pictures = [layer]
    if line_at:
        label, value = line_at
        line = Column(label=label, operation="static_value", params={"value": str(value)})
        layers[LINE_LAYER] = line.states()
        drawn = {
            "forAccessor": line.id,
            "color": RED,
            "lineStyle": "dashed",
            "textVisibility": True,
            "axisMode": "left",
        }
        pictures.append(
            {"layerId": LINE_LAYER, "layerType": "referenceLine", "accessors": [line.id], "yConfig": [drawn]}
        )
    several = split is not None or len(figures) > 1
    picture = {
        "preferredSeriesType": series,
        "legend": {"isVisible": several, "position": "bottom"},
        "valueLabels": "show" if series == "bar_horizontal" else "hide",
        "fittingFunction": "Linear" if series == "line" else "None",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "layers": pictures,
    }
    return Panel(
        title=title, view=view, kind="lnsXY", layers=layers, visualization=picture, where=where, goto=tuple(goto)
    )


def ranking(
    title: str, view: str, x: Column, figures: Sequence[Column], *, where: str = "", goto: Sequence[str] = ()
) -> Panel:
    """Horizontal bars, the longest on top."""
    return chart(title, view, figures, x=x, series="bar_horizontal", where=where, goto=goto)


def lines(title: str, view: str, figures: Sequence[Column], **more: Any) -> Panel:
    return chart(title, view, figures, series="line", **more)


def donut(title: str, view: str, group: Column, of: Column, *, where: str = "", goto: Sequence[str] = ()) -> Panel:
    """The parts of a whole."""
    layer = {
        "layerId": LAYER,
        "layerType": "data",
        "primaryGroups": [group.id],
        "metrics": [of.id],
        "numberDisplay": "value",
        "categoryDisplay": "default",
        "legendDisplay": "default",
        "nestedLegend": False,
    }
    return Panel(
        title=title,
        view=view,
        kind="lnsPie",
        layers={LAYER: _columns([group], [of])},
        visualization={"shape": "donut", "layers": [layer]},
        where=where,
        goto=tuple(goto),
    )


def attributes(panel: Panel) -> dict[str, Any]:
    """What Lens keeps of a panel, references apart."""
    layers = {
        name: {"columnOrder": list(columns), "columns": dict(columns), "incompleteColumns": {}}
        for name, columns in panel.layers.items()
    }
    return {
        "title": panel.title,
        "description": "",
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


def _columns(groups: Sequence[Column], figures: Sequence[Column]) -> dict[str, dict[str, Any]]:
    """The states of all columns in Lens's order: groups before figures, each group ordered by the first that can."""
    weight = next((one for one in figures if one.operation in SORTABLE), None)
    return _merged([*(_grouped(group, weight).states() for group in groups), *(one.states() for one in figures)])


# By what Lens can order a group's values; a formula or a last value cannot be asked for within a terms aggregation.
SORTABLE = frozenset({"count", "sum", "average", "max", "min", "percentile", "unique_count"})


def _grouped(group: Column, weight: Column | None) -> Column:
    if group.operation != "terms":
        return group
    order: dict[str, Any] = {"type": "column", "columnId": weight.id} if weight else {"type": "alphabetical"}
    params = {
        "size": group.params["size"],
        "orderBy": order,
        "orderDirection": "desc" if weight else "asc",
        # Lens asks for the records without a value only where it also asks for the rest beyond `size`.
        "otherBucket": group.params["missingBucket"],
        "missingBucket": group.params["missingBucket"],
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


def _table_column(column: Column) -> dict[str, Any]:
    state: dict[str, Any] = {"columnId": column.id}
    if column.type == "date" and not column.bucketed:
        state["width"] = TIME_WIDTH
    if column.bands:
        state |= {"colorMode": "text", "palette": _palette(column.bands)}
    return state


def _palette(bands: Bands) -> dict[str, Any]:
    """Colours from a value on. Lens keeps each band's start, and its end once more; the last goes on above its own."""
    starts = [{"color": colour, "stop": start} for start, colour in bands]
    ends = [*(start for start, _ in bands[1:]), bands[-1][0] + 1]
    return {
        "name": "custom",
        "type": "palette",
        "params": {
            "name": "custom",
            "steps": len(bands),
            "maxSteps": 5,
            "reverse": False,
            "progression": "fixed",
            "continuity": "above",
            "rangeType": "number",
            "rangeMin": bands[0][0],
            "rangeMax": None,
            "colorStops": starts,
            "stops": [{"color": colour, "stop": end} for (_, colour), end in zip(bands, ends, strict=True)],
        },
    }
