"""Dashboards, as Kibana keeps them: rows of panels in its grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..lens import Panel, attributes, kql
from ..vega import Drawing
from . import controls, links
from .controls import Control
from .saved import TAGGED, Object, Reference, dashboard_id, reference, saved, search_id, text, view_id

GRID_COLUMNS = 48
LINKS_HEIGHT = 2
REFRESH_MS = 60_000


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A saved search as a panel of a page, with a title of its own there."""

    search: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """A word to the reader, in Markdown. `{page:NAME}` in it becomes the address of that page."""

    markdown: str


Content = Panel | Drawing | Shown | Text


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels side by side: `height` in Kibana's units (20 px), each panel with its width of the grid's 48 columns."""

    height: int
    panels: tuple[tuple[int, Content], ...]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """A page. `rows` from the top; the links to its sisters come first by themselves.

    `where`: what is in the search bar at first.
    """

    name: str
    title: str
    label: str
    description: str
    rows: tuple[Row, ...]
    controls: tuple[Control, ...] = ()
    since: str = "now-24h"
    where: str = ""

    def built(self, pages: Sequence[Dashboard]) -> Object:
        """The object. `pages` are all dashboards, in the order of the links."""
        panels, references = _placed(self, pages)
        group, control_references = controls.kept(self.name, self.controls)
        kept = {
            "title": self.title,
            "description": self.description,
            "version": 1,
            "timeRestore": True,
            "timeFrom": self.since,
            "timeTo": "now",
            "refreshInterval": {"pause": False, "value": REFRESH_MS},
            "optionsJSON": text(
                {
                    "useMargins": True,
                    "syncColors": True,
                    "syncCursor": True,
                    "syncTooltips": False,
                    "hidePanelTitles": False,
                }
            ),
            "kibanaSavedObjectMeta": {"searchSourceJSON": text({"query": kql(self.where), "filter": []})},
            "panelsJSON": text(panels),
            "controlGroupInput": group,
        }
        return saved("dashboard", dashboard_id(self.name), kept, [*references, *control_references, TAGGED])


def _placed(page: Dashboard, pages: Sequence[Dashboard]) -> tuple[list[dict[str, Any]], list[Reference]]:
    # Kibana keeps a panel on the screen as somebody goes from page to page, where both have one of that name.
    panels: list[dict[str, Any]] = []
    references: list[Reference] = []
    y = 0
    for of_links, targets in links.rows(page.name, pages):
        grid = {"x": 0, "y": y, "w": GRID_COLUMNS, "h": LINKS_HEIGHT, "i": of_links["panelIndex"]}
        panels.append({**of_links, "gridData": grid})
        references += targets
        y += LINKS_HEIGHT
    for row in page.rows:
        x = 0
        for width, content in row.panels:
            index = f"{page.name}-{len(panels)}"
            panel, own = _panel(content, index)
            panels.append({**panel, "gridData": {"x": x, "y": y, "w": width, "h": row.height, "i": index}})
            references += own
            x += width
        y += row.height
    return panels, references


def _panel(content: Content, index: str) -> tuple[dict[str, Any], list[Reference]]:
    match content:
        case Panel():
            return _lens(content, index)
        case Shown():
            name = f"panel_{index}"
            panel = {
                "type": "search",
                "panelIndex": index,
                "embeddableConfig": {"title": content.title, "enhancements": {}},
                "panelRefName": name,
            }
            return panel, [reference("search", search_id(content.search), f"{index}:{name}")]
        case Drawing():
            return _visualization("vega", content.title, {"spec": text(content.spec())}, index), []
        case Text():
            params = {"fontSize": 12, "openLinksInNewTab": False, "markdown": links.addressed(content.markdown)}
            return _visualization("markdown", "", params, index), []


def _lens(panel: Panel, index: str) -> tuple[dict[str, Any], list[Reference]]:
    """A panel by value. Its references stand inside it, and once more on the page with the panel's name before them."""
    inner = [
        reference("index-pattern", view_id(panel.view_for(layer)), f"indexpattern-datasource-layer-{layer}")
        for layer in panel.layers
    ]
    inner += [
        reference("index-pattern", view_id(one.view), f"xy-visualization-layer-{one.name}") for one in panel.annotated
    ]
    events, targets = links.drilldowns(index, panel.goto)
    outer = [*({**one, "name": f"{index}:{one['name']}"} for one in inner), *targets]
    kept = {**attributes(panel), "type": "lens", "references": inner}
    config: dict[str, Any] = {"attributes": kept, "enhancements": {"dynamicActions": {"events": events}}}
    if panel.description:
        config["description"] = panel.description
    if panel.show_title:
        config["title"] = panel.title
    else:
        config["hidePanelTitles"] = True
    return {"type": "lens", "panelIndex": index, "embeddableConfig": config}, outer


def _visualization(kind: str, title: str, params: Mapping[str, Any], index: str) -> dict[str, Any]:
    """A panel of one of the older kinds, by value: what it asks and shows stands in its parameters."""
    kept = {
        "title": title,
        "description": "",
        "type": kind,
        "params": dict(params),
        "uiState": {},
        "data": {"aggs": [], "searchSource": {"query": kql(""), "filter": []}},
    }
    config: dict[str, Any] = {"savedVis": kept, "enhancements": {"dynamicActions": {"events": []}}}
    config |= {"title": title} if title else {"hidePanelTitles": True}
    return {"type": "visualization", "panelIndex": index, "embeddableConfig": config}
