"""Everything but Lens's own state as Kibana keeps it: data views, searches, saved queries, tags, dashboards.

One object is one line of the file. Versions are the floor at which 8.19 and every 9.x import them and migrate upward: a
version higher than the server's would have the whole file refused. Shapes and names of references follow Kibana's
saved-object types (index-pattern, search, query, tag, dashboard) as they were at those versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .lens import Panel, attributes, kql
from .vega import Drawing

PREFIX = "rqship-"
"""Every id begins so, and nothing else does: `shipper setup --space` makes a space's own ids by it."""

CORE_VERSION = "8.8.0"
TYPE_VERSIONS = {
    "index-pattern": "8.0.0",
    "tag": "8.0.0",
    "search": "8.0.0",
    "query": "8.0.0",
    "dashboard": "8.9.0",
}
GRID_COLUMNS = 48
LINKS_HEIGHT = 3
REFRESH_MS = 60_000
_ON_THEIR_OWN = {"job", "customer", "shipper"}

TAG = f"{PREFIX}tag"

Reference = dict[str, str]
Object = dict[str, Any]


def view_id(name: str) -> str:
    return f"{PREFIX}view-{name}"


def search_id(name: str) -> str:
    return f"{PREFIX}search-{name}"


def dashboard_id(name: str) -> str:
    return f"{PREFIX}dashboard-{name}"


def _object(kind: str, identifier: str, attributes: Mapping[str, Any], references: Sequence[Reference] = ()) -> Object:
    return {
        "type": kind,
        "id": identifier,
        "attributes": dict(attributes),
        "references": list(references),
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": TYPE_VERSIONS[kind],
    }


def _text(value: object) -> str:
    """JSON inside JSON: Kibana keeps several parts so."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _reference(kind: str, identifier: str, name: str) -> Reference:
    return {"type": kind, "id": identifier, "name": name}


_TAGGED = _reference("tag", TAG, f"tag-ref-{TAG}")


def tag() -> Object:
    """What all of ours have in common in Kibana's lists."""
    return _object("tag", TAG, {"name": "rq-shipper", "description": "RQ's jobs, by rq-shipper", "color": "#6092C0"})


@dataclass(frozen=True, kw_only=True)
class View:
    """A data view. Without `time` the time range of a page does not apply to it: what it holds is of now."""

    name: str
    title: str
    indices: str
    time: str | None = "@timestamp"
    formats: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    computed: Mapping[str, str] = field(default_factory=dict)
    """Keyword fields that no record has, with the Painless script that tells their values."""

    def built(self) -> Object:
        kept: dict[str, Any] = {"title": self.indices, "name": self.title, "fieldFormatMap": _text(self.formats)}
        if self.time:
            kept["timeFieldName"] = self.time
        if self.computed:
            kept["runtimeFieldMap"] = _text(
                {name: {"type": "keyword", "script": {"source": script}} for name, script in self.computed.items()}
            )
        return _object("index-pattern", view_id(self.name), kept)


@dataclass(frozen=True, kw_only=True)
class Search:
    """A saved search: columns of records, sorted. Alone in Discover, and as a panel."""

    name: str
    title: str
    description: str
    view: str
    columns: tuple[str, ...]
    where: str = ""
    sort: tuple[tuple[str, str], ...] = (("@timestamp", "desc"),)

    def built(self) -> Object:
        index = "kibanaSavedObjectMeta.searchSourceJSON.index"
        source = {"query": kql(self.where), "filter": [], "indexRefName": index}
        kept = {
            "title": self.title,
            "description": self.description,
            "columns": list(self.columns),
            "sort": [list(one) for one in self.sort],
            "grid": {},
            "hideChart": False,
            "isTextBasedQuery": False,
            "kibanaSavedObjectMeta": {"searchSourceJSON": _text(source)},
        }
        references = [_reference("index-pattern", view_id(self.view), index), _TAGGED]
        return _object("search", search_id(self.name), kept, references)


@dataclass(frozen=True, kw_only=True)
class Query:
    """A saved query: a part of KQL to pick in the search bar."""

    name: str
    title: str
    where: str

    def built(self) -> Object:
        kept = {"title": self.title, "description": "", "query": kql(self.where), "filters": []}
        return _object("query", f"{PREFIX}query-{self.name}", kept)


@dataclass(frozen=True, kw_only=True)
class Control:
    """A list of a field's values to choose from, above the panels."""

    field: str
    title: str
    view: str
    single: bool = False


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A saved search as a panel of a page, with a title of its own there."""

    search: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """A word to the reader, in Markdown."""

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
        controls, control_references = _controls(self)
        kept = {
            "title": self.title,
            "description": self.description,
            "version": 1,
            "timeRestore": True,
            "timeFrom": self.since,
            "timeTo": "now",
            "refreshInterval": {"pause": False, "value": REFRESH_MS},
            "optionsJSON": _text(
                {
                    "useMargins": True,
                    "syncColors": True,
                    "syncCursor": True,
                    "syncTooltips": False,
                    "hidePanelTitles": False,
                }
            ),
            "kibanaSavedObjectMeta": {"searchSourceJSON": _text({"query": kql(self.where), "filter": []})},
            "panelsJSON": _text(panels),
            "controlGroupInput": {
                "controlStyle": "oneLine",
                "chainingSystem": "HIERARCHICAL",
                "ignoreParentSettingsJSON": _text(
                    {"ignoreFilters": False, "ignoreQuery": False, "ignoreTimerange": False, "ignoreValidations": False}
                ),
                "panelsJSON": _text(controls),
            },
        }
        return _object("dashboard", dashboard_id(self.name), kept, [*references, *control_references, _TAGGED])


def _placed(page: Dashboard, pages: Sequence[Dashboard]) -> tuple[list[dict[str, Any]], list[Reference]]:
    # Kibana keeps a panel on the screen as somebody goes from page to page, where both have one of that name.
    links, references = _links(page, pages)
    panels = [{**links, "gridData": {"x": 0, "y": 0, "w": GRID_COLUMNS, "h": LINKS_HEIGHT, "i": links["panelIndex"]}}]
    y = LINKS_HEIGHT
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


def _links(page: Dashboard, pages: Sequence[Dashboard]) -> tuple[dict[str, Any], list[Reference]]:
    """The way to every page, this one among them: so the row looks the same everywhere.

    Filters go along where they mean something on the other side: that of one job would empty the pages about many.
    """
    index, links, references = f"{page.name}-links", [], []
    for order, other in enumerate(pages):
        target = f"link_{other.name}_dashboard"
        carried = not {page.name, other.name} & _ON_THEIR_OWN
        keep = {"useCurrentFilters": carried, "useCurrentDateRange": False, "openInNewTab": False}
        links.append(
            {
                "id": other.name,
                "type": "dashboardLink",
                "order": order,
                "label": other.label,
                "destinationRefName": target,
                "options": keep,
            }
        )
        references.append(_reference("dashboard", dashboard_id(other.name), f"{index}:{target}"))
    content = {"layout": "horizontal", "links": links}
    panel = {
        "type": "links",
        "panelIndex": index,
        "embeddableConfig": {"attributes": content, "enhancements": {}, "hidePanelTitles": True},
    }
    return panel, references


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
            return panel, [_reference("search", search_id(content.search), f"{index}:{name}")]
        case Drawing():
            params: dict[str, Any] = {"spec": _text(content.spec())}
            return _visualization("vega", content.title, params, index, titled=True), []
        case Text():
            params = {"fontSize": 12, "openLinksInNewTab": False, "markdown": content.markdown}
            return _visualization("markdown", "", params, index, titled=False), []


def _lens(panel: Panel, index: str) -> tuple[dict[str, Any], list[Reference]]:
    """A panel by value. Its references stand inside it, and once more on the page with the panel's name before them."""
    inner = [
        _reference("index-pattern", view_id(panel.view), f"indexpattern-datasource-layer-{layer}")
        for layer in panel.layers
    ]
    outer = [{**one, "name": f"{index}:{one['name']}"} for one in inner]
    events = []
    for name in panel.goto:
        event = f"goto-{name}"
        events.append(
            {
                "eventId": event,
                "triggers": ["FILTER_TRIGGER"],
                "action": {
                    "factoryId": "DASHBOARD_TO_DASHBOARD_DRILLDOWN",
                    "name": f"Go to {name}",
                    # A job's own page looks back as far as it does by itself: the job may be older than the range.
                    "config": {"useCurrentFilters": True, "useCurrentDateRange": name != "job"},
                },
            }
        )
        target = f"{index}:drilldown:DASHBOARD_TO_DASHBOARD_DRILLDOWN:{event}:dashboardId"
        outer.append(_reference("dashboard", dashboard_id(name), target))
    kept = {**attributes(panel), "type": "lens", "references": inner}
    config: dict[str, Any] = {"attributes": kept, "enhancements": {"dynamicActions": {"events": events}}}
    if panel.show_title:
        config["title"] = panel.title
    else:
        config["hidePanelTitles"] = True
    return {"type": "lens", "panelIndex": index, "embeddableConfig": config}, outer


def _visualization(kind: str, title: str, params: Mapping[str, Any], index: str, *, titled: bool) -> dict[str, Any]:
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
    config |= {"title": title} if titled else {"hidePanelTitles": True}
    return {"type": "visualization", "panelIndex": index, "embeddableConfig": config}


def _controls(page: Dashboard) -> tuple[dict[str, Any], list[Reference]]:
    controls, references = {}, []
    for order, control in enumerate(page.controls):
        name = f"{page.name}_{control.field.replace('.', '_')}"
        controls[name] = {
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
        target = f"controlGroup_{name}:optionsListDataView"
        references.append(_reference("index-pattern", view_id(control.view), target))
    return controls, references
