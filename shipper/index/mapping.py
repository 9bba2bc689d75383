"""The fields that an index maps, as the shipper needs them: so that it sends no document that would be refused.

Read from the templates, which are what Elasticsearch gets: there is no second list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from importlib.resources import files
from typing import Any

import orjson


class Kind(IntEnum):
    """What a field takes. An OBJECT takes objects, FLATTENED one object of anything, a LEAF anything but objects."""

    OBJECT = 1
    FLATTENED = 2
    LEAF = 3


@dataclass(frozen=True, slots=True)
class Field:
    """A mapped field, and the fields in it by name."""

    kind: Kind
    fields: Mapping[str, Field] = field(default_factory=dict)


@cache
def mapped(dataset: str) -> Field:
    """The fields of a dataset's indices (`rq.app`) as one object."""
    template = _read(f"{dataset.replace('.', '-')}.json")
    properties: dict[str, Any] = {}
    for component in template.get("composed_of", []):
        properties |= _properties(_read(f"{component}.json"))
    return _object(properties | _properties(template))


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(files(__package__).joinpath("templates", name).read_bytes())
    return found


def _properties(template: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = template["template"].get("mappings", {}).get("properties", {})
    return found


def _object(properties: Mapping[str, Any]) -> Field:
    return Field(Kind.OBJECT, {name: _field(told) for name, told in properties.items()})


def _field(mapping: Mapping[str, Any]) -> Field:
    if "properties" in mapping:
        return _object(mapping["properties"])
    return Field(Kind.FLATTENED if mapping["type"] == "flattened" else Kind.LEAF)
