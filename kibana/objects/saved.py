"""What all saved objects have in common: type, id, versions, and references to others.

One object is one line of the file. Versions are the floor at which 8.19 and every 9.x import them and migrate upward: a
version higher than the server's would have the whole file refused. Shapes and names of references follow Kibana's
saved-object types (index-pattern, search, query, tag, dashboard) as they were at those versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

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

TAG = f"{PREFIX}tag"

Reference = dict[str, str]
Object = dict[str, Any]


def view_id(name: str) -> str:
    return f"{PREFIX}view-{name}"


def search_id(name: str) -> str:
    return f"{PREFIX}search-{name}"


def dashboard_id(name: str) -> str:
    return f"{PREFIX}dashboard-{name}"


def saved(kind: str, identifier: str, attributes: Mapping[str, Any], references: Sequence[Reference] = ()) -> Object:
    return {
        "type": kind,
        "id": identifier,
        "attributes": dict(attributes),
        "references": list(references),
        "coreMigrationVersion": CORE_VERSION,
        "typeMigrationVersion": TYPE_VERSIONS[kind],
    }


def text(value: object) -> str:
    """JSON inside JSON: Kibana keeps several parts so."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def reference(kind: str, identifier: str, name: str) -> Reference:
    return {"type": kind, "id": identifier, "name": name}


TAGGED = reference("tag", TAG, f"tag-ref-{TAG}")


def tag() -> Object:
    """What all of ours have in common in Kibana's lists."""
    return saved("tag", TAG, {"name": "rq-shipper", "description": "RQ's jobs, by rq-shipper", "color": "#6092C0"})
