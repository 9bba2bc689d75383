"""Everything but Lens's own state as Kibana keeps it.

saved.py       what all objects have in common: type, id, versions, references
data.py        data views, saved searches, saved queries
pages.py       dashboards
controls.py    the lists of values above a page's panels
links.py       ways from one page to another
"""

from __future__ import annotations

from .controls import Control
from .data import Computed, Query, Search, View
from .links import to_value
from .pages import GRID_COLUMNS, LINKS_HEIGHT, Dashboard, Row, Shown, Text
from .saved import PREFIX, TYPE_VERSIONS, Object, dashboard_id, tag

__all__ = [
    "GRID_COLUMNS", "LINKS_HEIGHT", "PREFIX", "TYPE_VERSIONS", "Computed", "Control", "Dashboard", "Object", "Query",
    "Row", "Search", "Shown", "Text", "View", "dashboard_id", "tag", "to_value",
]  # fmt: skip
