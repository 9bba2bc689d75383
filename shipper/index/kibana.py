"""Installs data views, saved searches, dashboards and, optionally, alert rules in Kibana.

Saved objects are imported with `overwrite`, so repeating it resets them. Rules are only created, as users add actions
to them in Kibana. `make kibana` builds both files.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from ..settings import Settings
from . import name_colours
from .kibana_client import DEFAULT_SPACE, ID_PREFIX, Kibana
from .name_colours import Names


def check(settings: Settings) -> None:
    """Return if Kibana is reachable and accepts the credentials. Raises DestinationError."""
    kibana = Kibana(settings)
    try:
        kibana.version()
    finally:
        kibana.close()


def install(settings: Settings, *, rules: bool, names: Names | None = None) -> Iterator[str]:
    """Install everything. Yields a line of text for each step. Raises DestinationError.

    `names`: what panels store a colour for, by field; None if unknown. Without any there are no records yet, and the
    page to open is the one that says what to check.
    """
    kibana = Kibana(settings)
    try:
        version = kibana.version()
        kibana.check_space()
        count = kibana.import_objects(name_colours.stored(objects(kibana.space), names or {}))
        yield f"import {count} objects into Kibana {version} at {kibana.where}, space {kibana.space}"
        for identifier, payload in alert_rules(kibana.space) if rules else []:
            created = kibana.create_rule(identifier, payload)
            yield f"{'create' if created else 'keep':6} alert rule {payload['name']!r}"
        is_empty = names is not None and not any(names.values())
        yield f"open   {kibana.page('start' if is_empty else 'overview')}"
    finally:
        kibana.close()


def planned(settings: Settings, *, rules: bool) -> Iterator[str]:
    """The lines of text of what `install` would do. Raises DestinationError."""
    kibana = Kibana(settings)
    try:
        version = kibana.version()
        kibana.check_space()
        count = len(objects(kibana.space).splitlines())
        yield f"import {count} objects into Kibana {version} at {kibana.where}, space {kibana.space}"
        for _, payload in alert_rules(kibana.space) if rules else []:
            yield f"create alert rule {payload['name']!r}, unless it is there"
    finally:
        kibana.close()


def objects(space: str) -> str:
    """The NDJSON to import into a space.

    Ids are unique in all of Kibana. In a second space, an import would create random ids and update references to them,
    but not the URLs in field formats that link a job's id to its dashboard. So each space has ids of its own.
    """
    lines = _read("objects.ndjson")
    return lines if space == DEFAULT_SPACE else lines.replace(ID_PREFIX, f"{ID_PREFIX}{space}-")


def alert_rules(space: str) -> list[tuple[str, dict[str, Any]]]:
    """(id, payload) of each rule for a space."""
    return [(_rule_id(rule["id"], space), rule["payload"]) for rule in json.loads(_read("rules.json"))]


def _rule_id(identifier: str, space: str) -> str:
    if space == DEFAULT_SPACE:
        return identifier
    digest = hashlib.sha256(f"{identifier} {space}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))


def _read(name: str) -> str:
    return files(__package__).joinpath(f"saved_objects/{name}").read_text(encoding="utf-8")
