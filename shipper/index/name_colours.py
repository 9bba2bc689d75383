"""Colours of queues, releases, functions, hosts and errors in Kibana's panels: each name has its own at every load.

Kibana gives colours in the order in which values happen to come, unless a panel stores which value has which. Only an
installation knows these names, so `shipper setup` asks Elasticsearch for them and stores their colours as it installs
the panels. Repeating the setup gives new names theirs; those of before keep their own, as a colour follows from a name.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from elasticsearch import Elasticsearch

from ..client import translated_errors
from ..records import indices
from ..settings import Settings

NAMED = (
    "#66AAEE", "#774499", "#AA7744", "#3322AA", "#DD6688", "#999911", "#8866EE", "#663311", "#991155", "#DDCC66",
    "#BBCCEE", "#EEAA88",
)  # fmt: skip
"""All different also to people who are colour-blind, and unlike the colours of the outcomes (kibana/colours.py)."""

# Field → the datasets in whose records its names are looked for.
FIELDS = {
    "messaging.destination.name": ("rq.job",),
    "service.version": ("rq.job",),
    "code.function.name": ("rq.job",),
    "error.type": ("rq.job",),
    "host.name": ("rq.shipper", "rq.metric"),
}
LOOK_BACK = "now-30d"
SIZE = 50

Names = Mapping[str, Sequence[str]]


def assigned(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name: the same whatever other names there are, as long as no two want one colour.

    Two names that do get neighbouring ones, the first in the alphabet its own. From the 13th on colours come twice.
    """
    given: dict[str, str] = {}
    for name in sorted(set(names)):
        wanted = zlib.crc32(name.encode()) % len(NAMED)
        turn = [*NAMED[wanted:], *NAMED[:wanted]]
        given[name] = next((one for one in turn if one not in given.values()), turn[0])
    return given


def assignment(value: str, colour: str) -> dict[str, Any]:
    """One value's colour as Lens keeps it, in the form of before 9.1, which later versions convert."""
    return {
        "rule": {"type": "matchExactly", "values": [value]},
        "color": {"type": "colorCode", "colorCode": colour.lower()},
        "touched": True,
    }


def found(client: Elasticsearch, settings: Settings) -> dict[str, list[str]]:
    """The names of the last 30 days, by field: those with the most records. Raises DestinationError."""
    recent = {"range": {"@timestamp": {"gte": LOOK_BACK}}}
    names: dict[str, list[str]] = {}
    for dataset in sorted({dataset for its in FIELDS.values() for dataset in its}):
        fields = [field for field, its in FIELDS.items() if dataset in its]
        with translated_errors(settings):
            answer = client.search(
                index=indices(dataset, settings.namespace),
                ignore_unavailable=True,
                size=0,
                query=recent,
                aggs={field: {"terms": {"field": field, "size": SIZE}} for field in fields},
            )
        for field, one in answer.get("aggregations", {}).items():
            names.setdefault(field, []).extend(str(bucket["key"]) for bucket in one["buckets"])
    return names


def stored(lines: str, names: Names) -> str:
    """The saved objects (lines of NDJSON) with the colours of these names in each panel that their field splits."""
    if not any(names.values()):
        return lines
    colours = {field: [assignment(*one) for one in assigned(some).items()] for field, some in names.items()}
    return "".join(f"{_page(line, colours)}\n" for line in lines.splitlines())


def _page(line: str, colours: Mapping[str, list[dict[str, Any]]]) -> str:
    saved = json.loads(line)
    if saved["type"] != "dashboard":
        return line
    panels = json.loads(saved["attributes"]["panelsJSON"])
    for panel in panels:
        if panel["type"] == "lens":
            _panel(panel["embeddableConfig"]["attributes"]["state"], colours)
    saved["attributes"]["panelsJSON"] = _text(panels)
    return _text(saved)


def _panel(state: dict[str, Any], colours: Mapping[str, list[dict[str, Any]]]) -> None:
    layers = state["datasourceStates"]["formBased"]["layers"]
    for layer in state["visualization"].get("layers", []):
        if mapping := layer.get("colorMapping"):
            split = layer.get("splitAccessor") or layer["primaryGroups"][0]
            field = layers[layer["layerId"]]["columns"][split]["sourceField"]
            mapping["assignments"] += colours.get(field, [])


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
