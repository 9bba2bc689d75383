"""Ways from one page to another: the row of links, a click on a value, a link in a cell.

All three keep what was chosen as far as Kibana lets them:

- the row of links and a click (a drilldown) take the time range along, and what is filtered as pills under the search
  bar, which is Kibana's only way to hand on what was chosen in a control;
- a link in a cell cannot know the range. It opens its page at the page's own, with the value chosen in the page's
  control, where another one can be chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from . import controls
from .saved import Reference, dashboard_id, reference

if TYPE_CHECKING:
    from .pages import Dashboard

VALUE = "{{value}}"
"""What Kibana puts a cell's value for, percent-encoded."""

# What is chosen on these pages means nothing on the others, and the other way round: that of one job would empty the
# pages about many, and no other page's data has the fields of the shipper's status.
ON_THEIR_OWN = frozenset({"job", "customer", "shipper", "start", "queuesnow", "workers", "redis", "cron"})
IN_A_ROW = 10
"""Links in one row: more would not fit a window of 1280 pixels, as Kibana breaks no row."""


def rows(page: str, pages: Sequence[Dashboard]) -> list[tuple[dict[str, Any], list[Reference]]]:
    """Panels with a link to every page, this one among them: so the rows look the same everywhere."""
    return [
        _row(f"{page}-links-{start // IN_A_ROW}", page, pages[start : start + IN_A_ROW])
        for start in range(0, len(pages), IN_A_ROW)
    ]


def _row(index: str, page: str, pages: Sequence[Dashboard]) -> tuple[dict[str, Any], list[Reference]]:
    links, references = [], []
    for order, other in enumerate(pages):
        target = f"link_{other.name}_dashboard"
        links.append(
            {
                "id": other.name,
                "type": "dashboardLink",
                "order": order,
                "label": other.label,
                "destinationRefName": target,
                "options": {
                    "useCurrentFilters": not {page, other.name} & ON_THEIR_OWN,
                    "useCurrentDateRange": True,
                    "openInNewTab": False,
                },
            }
        )
        references.append(reference("dashboard", dashboard_id(other.name), f"{index}:{target}"))
    panel = {
        "type": "links",
        "panelIndex": index,
        "embeddableConfig": {
            "attributes": {"layout": "horizontal", "links": links},
            "enhancements": {},
            "hidePanelTitles": True,
        },
    }
    return panel, references


def drilldowns(index: str, goto: Sequence[str]) -> tuple[list[dict[str, Any]], list[Reference]]:
    """What a click on a value of the panel `index` offers: the pages in `goto`, with that value as a filter."""
    events, references = [], []
    for name in goto:
        event = f"goto-{name}"
        # A job may be older than the range: its page looks back as far as it does by itself.
        config = {"useCurrentFilters": True, "useCurrentDateRange": name != "job", "openInNewTab": False}
        events.append(
            {
                "eventId": event,
                "triggers": ["FILTER_TRIGGER"],
                "action": {
                    "factoryId": "DASHBOARD_TO_DASHBOARD_DRILLDOWN",
                    "name": f"Go to {name}",
                    "config": config,
                },
            }
        )
        target = f"{index}:drilldown:DASHBOARD_TO_DASHBOARD_DRILLDOWN:{event}:dashboardId"
        references.append(reference("dashboard", dashboard_id(name), target))
    return events, references


def to_value(page: Dashboard, field: str) -> dict[str, Any]:
    """The format of a field whose values lead to `page`, with the value chosen in that page's control.

    The address is relative to Kibana's applications. Kibana puts its own address, its base path and the space before
    `../app` in each space; before an address that begins with `/app` only in the default one (UrlFormat of the plugin
    field_formats).
    """
    state = rison(controls.in_address(page.name, page.controls, field, VALUE))
    encoded = quote(state, safe="(),:!'-_.*~").replace(quote(VALUE), VALUE)
    address = f"../app/dashboards#/view/{dashboard_id(page.name)}?_a={encoded}"
    params = {"type": "a", "urlTemplate": address, "labelTemplate": VALUE, "openLinkInCurrentTab": True}
    return {"id": "url", "params": params}


_BARE = re.compile(r"[A-Za-z_.~][A-Za-z0-9_.~-]*")


def rison(value: Any) -> str:
    """A value in Rison, the form in which Kibana keeps state in addresses (https://github.com/Nanonid/rison)."""
    match value:
        case bool():
            return "!t" if value else "!f"
        case int():
            return str(value)
        case str():
            return value if _BARE.fullmatch(value) else "'" + re.sub(r"(['!])", r"!\1", value) + "'"
        case Mapping():
            return "(" + ",".join(f"{rison(name)}:{rison(one)}" for name, one in value.items()) + ")"
        case Sequence():
            return "!(" + ",".join(rison(one) for one in value) + ")"
    raise TypeError(f"no Rison for {value!r}")


def addressed(markdown: str) -> str:
    """Markdown whose `{page:NAME}` are addresses: of the same application, so they hold in every space."""
    return re.sub(r"\{page:([a-z]+)\}", lambda found: f"#/view/{dashboard_id(found[1])}", markdown)
