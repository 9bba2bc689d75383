"""Changes made by hand in Kibana, taken back: an export → `overrides.json`, which the build applies (`make kibana`).

    make kibana FROM=export.ndjson

An export (Stack Management, Saved Objects) is compared with what the sources build. Each change is one line: the page
and panel, the attribute, and both values. All of them are written to overrides.json, so that the next build has them;
that file is meant to be emptied, by moving each change to its source.

Kibana adds attributes of its own as it migrates and saves: what is empty or false in them says nothing, and is passed
over. A panel that was added or removed is named but cannot be taken back: a page's panels are made by its source.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .objects import PREFIX, Object

OVERRIDES = Path(__file__).with_name("overrides.json")
# Texts of JSON within the attributes.
_TEXTS = ("panelsJSON", "optionsJSON", "searchSourceJSON", "fieldFormatMap", "fieldAttrs", "runtimeFieldMap",
          "ignoreParentSettingsJSON")  # fmt: skip
# What Kibana writes by itself: versions, and references that stand once more on the page.
_ITS_OWN = frozenset({"references", "version", "panelRefName", "typeMigrationVersion", "coreMigrationVersion"})
# Colours of names that only an installation knows: its setup stored them (shipper/index/name_colours.py).
_OF_NAMES = ("colorMapping", "assignments")
_SAYS_NOTHING: tuple[Any, ...] = (None, False, "", [], {})


@dataclass(frozen=True)
class Change:
    """`path` within the object's attributes, texts of JSON opened, panels by their names; `ours` None: it is new."""

    object: str
    path: tuple[str | int, ...]
    ours: Any
    theirs: Any
    where: str = ""

    def __str__(self) -> str:
        at = ".".join(str(part) for part in self.path[2 if self.path[0] == "panelsJSON" else 0 :]) or "the panel"
        return f"{self.where}: {at}: {self._what()}"

    def _what(self) -> str:
        if not (isinstance(self.ours, list) and isinstance(self.theirs, list)):
            return f"{_short(self.ours)} → {_short(self.theirs)}"
        added = [one for one in self.theirs if one not in self.ours]
        removed = [one for one in self.ours if one not in self.theirs]
        said = [f"{word} {_short(some)}" for word, some in (("added", added), ("removed", removed)) if some]
        return ", ".join(said) or "in another order"


class _Gone:
    def __repr__(self) -> str:
        return "(not there)"


GONE = _Gone()


def _short(value: Any) -> str:
    written = repr(value) if value is GONE else json.dumps(value, ensure_ascii=False)
    return written if len(written) <= 80 else f"{written[:77]}…"


def changes(ours: Iterable[Object], exported: str) -> list[Change]:
    """What differs between the built objects and those of an export (lines of NDJSON), of any space."""
    lines = [json.loads(line) for line in exported.splitlines() if line.strip()]
    theirs = {(one["type"], _without_space(one["id"])): one for one in lines if "id" in one}
    found: list[Change] = []
    for one in ours:
        other = theirs.get((one["type"], one["id"]))
        if other:
            before, after = opened(one["attributes"]), opened(_ids_without_space(other))
            found += [_placed(one, before, after, *difference) for difference in _differences(before, after, ())]
    return found


def _placed(one: Object, before: Any, after: Any, path: tuple[str | int, ...], ours: Any, theirs: Any) -> Change:
    title = one["attributes"].get("title") or one["attributes"].get("name")
    if path[0] == "panelsJSON" and len(path) > 1:
        panel = before["panelsJSON"].get(path[1]) or after["panelsJSON"][path[1]]
        config = panel.get("embeddableConfig", {})
        title += f" / {config.get('title') or config.get('attributes', {}).get('title') or path[1]}"
    return Change(f"{one['type']} {one['id']}", path, ours, theirs, title)


def _without_space(identifier: str) -> str:
    """An id as the sources have it: `rqship-ops-view-jobs` → `rqship-view-jobs`."""
    for kind in ("view", "search", "query", "dashboard", "tag"):
        head, found, tail = identifier.partition(f"-{kind}")
        if found and head.startswith(PREFIX.rstrip("-")):
            return f"{PREFIX}{kind}{tail}"
    return identifier


def _ids_without_space(one: Mapping[str, Any]) -> Any:
    head = one["id"].partition("-dashboard")[0].partition("-view")[0].partition("-search")[0].partition("-query")[0]
    space = head.removeprefix(PREFIX.rstrip("-")).strip("-")
    kept = json.dumps(one["attributes"])
    return json.loads(kept.replace(f"{PREFIX}{space}-", PREFIX) if space and space != "tag" else kept)


def opened(attributes: Any) -> Any:
    """Attributes with their texts of JSON opened, and a list of panels as a mapping by name."""
    if isinstance(attributes, Mapping):
        return {name: opened(_parsed(name, value)) for name, value in attributes.items()}
    return [opened(one) for one in attributes] if isinstance(attributes, list) else attributes


def _parsed(name: str, value: Any) -> Any:
    if name not in _TEXTS or not isinstance(value, str):
        return value
    parsed = json.loads(value)
    return {one["panelIndex"]: one for one in parsed} if isinstance(parsed, list) else parsed


def closed(value: Any, name: str = "") -> Any:
    """`opened`, undone."""
    if isinstance(value, Mapping):
        inner: Any = {key: closed(one, key) for key, one in value.items()}
        if name == "panelsJSON" and inner and all("panelIndex" in one for one in inner.values()):
            inner = list(inner.values())
        return json.dumps(inner, ensure_ascii=False, separators=(",", ":")) if name in _TEXTS else inner
    return [closed(one) for one in value] if isinstance(value, list) else value


def _differences(ours: Any, theirs: Any, path: tuple[str | int, ...]) -> Iterator[tuple[Any, Any, Any]]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for name in [*ours, *(one for one in theirs if one not in ours)]:
            before, after = ours.get(name, GONE), theirs.get(name, GONE)
            if name in _ITS_OWN or (before is GONE and after in _SAYS_NOTHING):
                continue
            if after is GONE and before in _SAYS_NOTHING:
                continue
            yield from _differences(before, after, (*path, name))
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (before, after) in enumerate(zip(ours, theirs, strict=True)):
            yield from _differences(before, after, (*path, number))
    elif ours != theirs and not (path[-2:] == _OF_NAMES and not ours):
        yield path, ours, theirs


def can_be_taken(change: Change) -> bool:
    """Whether an override can say it: not a panel that was added or removed."""
    is_panel = change.path[0] == "panelsJSON" and len(change.path) == 2
    return not is_panel and change.theirs is not GONE


def overrides(found: Iterable[Change]) -> dict[str, list[dict[str, Any]]]:
    """What is written to overrides.json: for each object, paths and values."""
    kept: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        if can_be_taken(one):
            kept.setdefault(one.object, []).append({"where": one.where, "path": list(one.path), "value": one.theirs})
    return kept


def applied(built: Sequence[Object], kept: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Object]:
    """The objects with the overrides in them. Raises KeyError if one is about an object that is no more."""
    by_name = {f"{one['type']} {one['id']}": one for one in built}
    for name, some in kept.items():
        one = by_name[name]
        attributes = opened(one["attributes"])
        for override in some:
            *way, last = override["path"]
            part = attributes
            for step in way:
                part = part[step]
            part[last] = override["value"]
        by_name[name] = {**one, "attributes": closed(attributes)}
    return list(by_name.values())


def read() -> dict[str, list[dict[str, Any]]]:
    """The overrides of the sources; none if there is no such file."""
    found: dict[str, list[dict[str, Any]]] = json.loads(OVERRIDES.read_text("utf-8")) if OVERRIDES.exists() else {}
    return found


def take_back(built: Sequence[Object], exported: str) -> list[Change]:
    """Write the overrides for an export, or remove them if nothing differs from `built`. Returns all changes."""
    found = changes(built, exported)
    if kept := overrides(found):
        OVERRIDES.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        OVERRIDES.unlink(missing_ok=True)
    return found
