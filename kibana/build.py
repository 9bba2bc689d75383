"""All sources → the two files that are committed. Pure, but for `write`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import edited
from .dashboards import DASHBOARDS
from .objects import Object, tag
from .rules import RULES
from .searches import QUERIES, SEARCHES
from .views import VIEWS

FOLDER = Path(__file__).resolve().parent.parent / "shipper/index/saved_objects"
OBJECTS, RULES_FILE = FOLDER / "objects.ndjson", FOLDER / "rules.json"


def objects() -> list[Object]:
    """Every saved object, with what was changed by hand in Kibana and taken back (`edited.py`)."""
    return edited.applied(from_sources(), edited.read())


def from_sources() -> list[Object]:
    """Every saved object; what is referred to comes before what refers to it, dashboards apart: they form a ring."""
    return [
        tag(),
        *(view.built() for view in VIEWS),
        *(search.built() for search in SEARCHES),
        *(query.built() for query in QUERIES),
        *(page.built(DASHBOARDS) for page in DASHBOARDS),
    ]


def rules() -> list[dict[str, Any]]:
    """Every alert rule: its id and its payload."""
    return [rule.built() for rule in RULES]


def files() -> dict[Path, str]:
    """What each built file holds."""
    lines = [json.dumps(one, ensure_ascii=False, separators=(",", ":")) for one in objects()]
    return {
        OBJECTS: "".join(f"{line}\n" for line in lines),
        RULES_FILE: json.dumps(rules(), indent=2, ensure_ascii=False) + "\n",
    }


def write() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
