"""The pictures that our pages have: large figures, tables, bars, lines, donuts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..colours import BLUE, RED, palette, stored
from ..words import DEPENDS_ON, FUNCTION, JOB, PARENT, ROOT
from .columns import Column, over_time
from .panels import LAYER, LINE_LAYER, Annotation, Panel, columns_of

# Widths of columns in pixels. Figures have what their numbers and the longest word of their heading need, so that names
# have all the rest: Kibana would give each column the same, and cut the names.
TIME_WIDTH = 170  # a date and its time in one line
TO_THE_MILLISECOND = 200
BOOLEAN_WIDTH = 84
ID_WIDTH = 272  # a UUID
NUMBER_WIDTH = 90
_CHARACTER, _AROUND, _ARROW = 8, 36, 24  # of a heading: a bold character, space with its menu, the arrow of the order

IDS = frozenset({JOB, PARENT, ROOT, DEPENDS_ON})


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
    alone = sum(1 for one in (*groups, *figures) if one.type == "string" and not one.width) == 1
    columns = [_table_column(column, view, ordered=column is figures[0], alone=alone) for column in (*groups, *figures)]
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
    many = split is not None or len(figures) > 3  # below a chart are two lines of names, others have to be scrolled to
    picture = {
        "preferredSeriesType": series,
        "legend": {
            "isVisible": several,
            "position": "right" if many else "bottom",
            "shouldTruncate": False,
            # Kibana would break a function's name inside a word.
            **({"legendSize": "xlarge"} if split and split.of == FUNCTION else {}),
        },
        "valueLabels": "show" if series == "bar_horizontal" else "hide",
        "fittingFunction": "Linear" if series == "line" else "None",
        "axisTitlesVisibilitySettings": {"x": False, "yLeft": False, "yRight": False},
        "layers": pictures,
    }
    if log:
        # By the values alone: an axis that has to hold 0 begins at 1 instead, and hides whatever is less.
        picture |= {"yLeftScale": "log", "yLeftExtent": {"mode": "dataBounds"}}
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


def _table_column(column: Column, view: str, *, ordered: bool, alone: bool) -> dict[str, Any]:
    state: dict[str, Any] = {"columnId": column.id}
    if width := column.width or _width(column, view, ordered, alone):
        state["width"] = width
    if column.bands:
        state |= {"colorMode": "cell", "palette": palette(column.bands)}
    return state


def _width(column: Column, view: str, ordered: bool, alone: bool) -> int | None:
    if column.bucketed or column.type == "string":
        return None if alone or column.of not in IDS else ID_WIDTH
    if column.type == "date":
        return TO_THE_MILLISECOND if view == "records" else TIME_WIDTH
    word = max(len(one) for one in column.label.split())
    heading = word * _CHARACTER + _AROUND + (_ARROW if ordered else 0)
    return max(heading, BOOLEAN_WIDTH if column.type == "boolean" else NUMBER_WIDTH)
