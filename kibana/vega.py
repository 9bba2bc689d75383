"""Panels that Lens cannot draw, as Vega specifications: bars from one time to another, cards, before and after.

Kibana asks Elasticsearch for each data source whose `url` is an object, puts the answer in its place, and lets Vega
draw it (vis_types/vega: es_query_parser, vega_parser). Everything here stays within what it does without settings: no
other address is asked, expressions are interpreted (its content security policy allows no eval), and text is drawn as
text, so nothing that stands in a record is obeyed.

Each mark that says something has a description, which is what a screen reader reads, and what the tests read:
tests/vega.py asks a real Elasticsearch and has Vega itself draw the panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shipper.state import CLOSING_ACTIONS

from .colours import MEANINGS
from .words import ACTION, TIME

SCHEMA = "https://vega.github.io/schema/vega/v5.json"  # an identifier: no browser loads it
# Kibana replaces each by the clauses of what is chosen above the page.
MUST, FILTER, MUST_NOT = (f"%dashboard_context-{name}_clause%" for name in ("must", "filter", "must_not"))
CLOCK = {"hours": "%H:%M", "minutes": "%H:%M", "date": "%b %d", "day": "%b %d", "month": "%b", "year": "%Y"}
"""How an axis of times is written."""
MONOSPACE = "Roboto Mono, Menlo, Consolas, monospace"
ENDINGS = {action: colour for action, colour in MEANINGS[ACTION].items() if action in CLOSING_ACTIONS}
"""How executions end, and in which colour."""

Spec = Mapping[str, Any]

_PADDING = 8
_BELOW = 2 * _PADDING
_AXIS = 22  # pixels: its ticks and numbers


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A Vega panel: `data`, `signals`, `scales`, `axes` and `marks` as Vega has them."""

    title: str
    data: Sequence[Spec]
    marks: Sequence[Spec]
    signals: Sequence[Spec] = ()
    scales: Sequence[Spec] = ()
    axes: Sequence[Spec] = ()
    legends: Sequence[Spec] = ()
    description: str = ""

    def spec(self) -> dict[str, Any]:
        """The specification, as it stands in a saved object.

        Kibana puts an SVG into a line of text, which makes its box some pixels higher than the drawing. It draws again
        as high as the box, and so on, until the lower end with the axis lies outside of the panel. So the drawing stays
        lower than its box by a negative padding, and a mark that nobody sees keeps the others away from there. A panel
        has to be 7 units high: at first the SVG has no size, which makes the box 153 pixels high.
        """
        below = _BELOW + (_AXIS if self.axes else 0)
        edge = mark(
            "rect", x=value(0), y=value(0), x2=f"width + {_PADDING}", y2=f"height + {below}", opacity=value(0)
        )  # fmt: skip
        return {
            "$schema": SCHEMA,
            "description": self.description or self.title,
            "padding": {"left": _PADDING, "top": _PADDING, "right": -_PADDING, "bottom": -_BELOW},
            "autosize": {"type": "fit", "contains": "content"},
            # As SVG, for text in it can be marked and copied.
            "config": {"kibana": {"renderer": "svg", "hideWarnings": True}},
            "signals": list(self.signals),
            "data": list(self.data),
            "scales": list(self.scales),
            "axes": list(self.axes),
            "legends": list(self.legends),
            "marks": [edge, *self.marks],
        }


def ask(
    name: str,
    indices: str,
    *,
    where: Sequence[Spec] = (),
    timed: bool = True,
    chosen: bool = True,
    **body: Any,
) -> dict[str, Any]:
    """A data source: one search, whose whole answer is its one datum.

    `where`: filters of its own. `timed`: within the page's time range. `chosen`: of what is chosen above the page.
    """
    filters: list[Any] = [*where]
    if timed:
        filters.append({"range": {TIME: {"%timefilter%": True}}})
    query: dict[str, Any] = {"filter": filters}
    if chosen:
        query = {"must": [MUST], "filter": [FILTER, *filters], "must_not": [MUST_NOT]}
    url = {"index": indices, "ignore_unavailable": True, "body": {"query": {"bool": query}, **body}}
    return {"name": name, "url": url}


def derived(name: str, source: str | Sequence[str], *transform: Spec) -> dict[str, Any]:
    """A data source made of others."""
    steps: list[Spec] = []
    for step in transform:
        if str(step.get("fields", [""])[0]).startswith("aggregations."):
            # Where there is no index yet, the answer has no aggregations.
            steps.append(only("datum.aggregations"))
        steps.append(step)
    return {"name": name, "source": source if isinstance(source, str) else list(source), "transform": steps}


def unfold(path: str, name: str) -> dict[str, Any]:
    """A row for each element of an array of the answer."""
    return {"type": "flatten", "fields": [path], "as": [name]}


def formula(name: str, expression: str) -> dict[str, Any]:
    return {"type": "formula", "as": name, "expr": expression}


def only(expression: str) -> dict[str, Any]:
    return {"type": "filter", "expr": expression}


def signal(name: str, expression: str) -> dict[str, Any]:
    return {"name": name, "update": expression}


def span(ms: str) -> str:
    """An expression that writes so many milliseconds as people do: 346 ms, 1.5 s, 2.0 min."""
    return (
        f"({ms}) == null ? '' : ({ms}) < 1000 ? format({ms}, '.0f') + ' ms' : "
        f"({ms}) < 60000 ? format(({ms}) / 1000, '.1f') + ' s' : "
        f"({ms}) < 3600000 ? format(({ms}) / 60000, '.1f') + ' min' : "
        f"({ms}) < 172800000 ? format(({ms}) / 3600000, '.1f') + ' h' : format(({ms}) / 86400000, '.1f') + ' d'"
    )


def either(cases: Mapping[str, str], of: str, otherwise: str) -> str:
    """An expression: what `cases` has for the value of `of`."""
    chain = "".join(f"{of} == '{value}' ? '{then}' : " for value, then in cases.items())
    return f"({chain}'{otherwise}')"


def mark(kind: str, source: str | None = None, *, style: str | None = None, **encoding: Any) -> dict[str, Any]:
    """A mark. Each value of the encoding is a channel as Vega has it, or a string: an expression."""
    update = {name: {"signal": channel} if isinstance(channel, str) else channel for name, channel in encoding.items()}
    made: dict[str, Any] = {"type": kind, "encode": {"update": update}}
    if source:
        made["from"] = {"data": source}
    if style:
        made["style"] = style
    elif kind == "text":
        made["style"] = "guide-label"  # the one whose colour Kibana sets to fit its theme
    return made


def value(constant: Any) -> dict[str, Any]:
    return {"value": constant}


def scaled(scale: str, field: str, **more: Any) -> dict[str, Any]:
    return {"scale": scale, "field": field, **more}
