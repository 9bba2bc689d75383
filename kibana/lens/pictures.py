"""The pictures that our pages have: large figures, tables, bars, lines, donuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..colours import BLUE, RED, palette, stored
from .columns import Column, over_time
from .panels import LAYER, LINE_LAYER, Annotation, Panel, columns_of

TIME_WIDTH = 170  # pixels: a date and its time in one line


def figure(view: str, column: Column, *, where: str = "", subtitle: str = "", description: str = "") -> Panel:
    """One large figure. Its label is its title. There is nothing to click on, and so no way to another page.

    `subtitle` says of when it is: "now", or of the page's time range.
    """
    picture: dict[str, Any] = {"layerId": LAYER, "layerType": "data", "metricAccessor": column.id}
    if column.bands:
        picture["palette"] = palette(column.bands)
    if subtitle:
        picture["subtitle"] = subtitle
    return Panel(
        title=column.label,
        view=view,
        kind="lnsMetric",
        layers={LAYER: column.states()},
        visualization=picture,
        where=where,
        show_title=False,
        description=description,
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
    description: str = "",
) -> Panel:
    """A table, ordered by its first figure. `across` sets its values side by side, each with all figures."""
    columns = [_table_column(column) for column in (*groups, *figures)]
    picture: dict[str, Any] = {
        "layerId": LAYER,
        "layerType": "data",
        "columns": columns,
        "paging": {"size": 10, "enabled": True},
        # One line for each row: a long name ends in an ellipsis, and is whole as the mouse rests on it.
        "rowHeight": "custom",
        "rowHeightLines": 1,
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
        layers={LAYER: columns_of(groups, figures)},
        visualization=picture,
        where=where,
        goto=tuple(goto),
        description=description,
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
    log: bool = False,
    description: str = "",
    annotated: Sequence[Annotation] = (),
) -> Panel:
    """Bars or lines: over time unless `x` says otherwise. `line_at` draws a labelled line at a value.

    `log`: a logarithmic axis, on which what is usual can be read beside what is rare.
    """
    x = x or over_time()
    # Over time the split goes first: the heaviest of the whole range, not those of each moment.
    groups = ([split, x] if x.operation == "date_histogram" else [x, split]) if split else [x]
    layer: dict[str, Any] = {
        "layerId": LAYER,
        "layerType": "data",
        "seriesType": series,
        "xAccessor": x.id,
        "accessors": [column.id for column in figures],
    }
    if split:
        layer |= {"splitAccessor": split.id, "colorMapping": stored(str(split.of)), "yConfig": []}
    else:
        alone = BLUE if len(figures) == 1 else None
        layer["yConfig"] = [
            {"forAccessor": one.id, "color": colour} for one in figures if (colour := one.colour or alone)
        ]
    layers = {LAYER: columns_of(groups, figures)}
    pictures = [layer]
    if line_at:
        line, drawn = _reference_line(*line_at)
        layers[LINE_LAYER] = line.states()
        pictures.append(drawn)
    pictures += [one.layer() for one in annotated]
    several = split is not None or len(figures) > 1
    picture = {
        "preferredSeriesType": series,
        "legend": {"isVisible": several, "position": "bottom", "shouldTruncate": False},
        "valueLabels": "show" if series == "bar_horizontal" else "hide",
        "fittingFunction": "Linear" if series == "line" else "None",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "layers": pictures,
    }
    if log:
        picture["yLeftScale"] = "log"
    return Panel(
        title=title,
        view=view,
        kind="lnsXY",
        layers=layers,
        visualization=picture,
        where=where,
        goto=tuple(goto),
        description=description,
        annotated=tuple(annotated),
    )


def _reference_line(label: str, value: float) -> tuple[Column, dict[str, Any]]:
    line = Column(label=label, operation="static_value", params={"value": f"{value:g}"})
    drawn = {
        "forAccessor": line.id,
        "color": RED,
        "lineStyle": "dashed",
        "textVisibility": True,
        "axisMode": "left",
    }
    return line, {"layerId": LINE_LAYER, "layerType": "referenceLine", "accessors": [line.id], "yConfig": [drawn]}


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
        "colorMapping": stored(str(group.of)),
    }
    return Panel(
        title=title,
        view=view,
        kind="lnsPie",
        layers={LAYER: columns_of([group], [of])},
        visualization={"shape": "donut", "layers": [layer]},
        where=where,
        goto=tuple(goto),
    )


def _table_column(column: Column) -> dict[str, Any]:
    state: dict[str, Any] = {"columnId": column.id}
    if column.type == "date" and not column.bucketed:
        state["width"] = TIME_WIDTH
    elif column.width:
        state["width"] = column.width
    if column.bands:
        state |= {"colorMode": "cell", "palette": palette(column.bands)}
    return state
