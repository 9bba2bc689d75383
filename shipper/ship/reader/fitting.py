"""Fits another program's object to the fields that Elasticsearch has mapped. Pure.

What would have the whole document refused (text where a field is an object, an object where it is text, a name that
no field can have) is moved aside, into the one flattened field `app`: searchable there as `app.user`, `app.event`.
Values stay the bytes that they were, so that numbers keep their digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from ...index.mapping import Field, Kind
from .repair import loads

ASIDE = "app"
NAME_LIMIT = 512  # characters of a name in a flattened field; Elasticsearch takes 32,766 bytes of name and value
DEPTH_LIMIT = 10  # objects within each other in a flattened field: what the templates say

Members = dict[str, bytes]
"""The members of a JSON object: name → JSON."""

_Raw = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_RawList = msgspec.json.Decoder(list[msgspec.Raw]).decode


def members(line: bytes) -> Members:
    """The members of a line that is known to be a JSON object. Of those with one name the last."""
    return {name: bytes(raw) for name, raw in _Raw(line).items()}


def once(raw: bytes) -> bytes:
    """A JSON value without members of one name in one object: of those the last stays. Raises ValueError."""
    if raw.startswith(b"{"):
        return joined({name: once(inner) for name, inner in members(raw).items()})
    if raw.startswith(b"["):
        return b"[%b]" % b",".join(once(bytes(inner)) for inner in _RawList(raw))
    return raw


def joined(parts: Mapping[str, bytes]) -> bytes:
    """Members as a JSON object."""
    return b"{%b}" % b",".join(b"%b:%b" % (orjson.dumps(name), raw) for name, raw in parts.items())


def fit(parts: Members, mapping: Field) -> tuple[Members, Members]:
    """(the members that fit, those moved aside by their whole name) of an object that is to be a document."""
    aside: Members = {}
    return _fit(parts, mapping, "", aside), aside


def with_aside(parts: Members, aside: Members) -> Members:
    """The members, with what was moved aside in `app`, beside what is there."""
    if not aside:
        return parts
    there = members(parts[ASIDE]) if parts.get(ASIDE, b"n").startswith(b"{") else {}
    for name, raw in aside.items():
        free = name.replace("\0", "")[:NAME_LIMIT]
        while free in there:
            free += "_"
        there[free] = raw if can_be_flattened(loads(raw), depth=1) else orjson.dumps(raw.decode())
    return {**parts, ASIDE: joined(there)}


def can_be_flattened(value: Any, depth: int = 0) -> bool:
    """Whether a value may stand in a flattened field."""
    if isinstance(value, dict):
        return depth < DEPTH_LIMIT and all(
            "\0" not in name and len(name) <= NAME_LIMIT and can_be_flattened(inner, depth + 1)
            for name, inner in value.items()
        )
    return not isinstance(value, list) or all(can_be_flattened(inner, depth) for inner in value)


def _fit(parts: Members, mapping: Field, path: str, aside: Members) -> Members:
    kept: Members = {}
    for name, raw in parts.items():
        if not _can_be_name(name, at_top=not path):
            aside[path + name] = raw
            continue
        field = _find(mapping, name)
        if field is not None and field.kind is Kind.OBJECT and raw.startswith(b"{"):
            kept[name] = joined(_fit(members(raw), field, f"{path}{name}.", aside))
        elif field is None or _takes(field, loads(raw)):
            kept[name] = raw
        else:
            aside[path + name] = raw
    return kept


def _can_be_name(name: str, *, at_top: bool) -> bool:
    """Whether Elasticsearch takes it for a field's name. At the top those with an underscore are its own."""
    if at_top and name.startswith("_"):
        return False
    parts = name.removesuffix(".").split(".")
    return all(part and not part.isspace() for part in parts)


def _find(mapping: Field, name: str) -> Field | None:
    """The field of a name, which may have several parts: `log.level`. None if none is mapped."""
    found: Field | None = mapping
    for part in name.removesuffix(".").split("."):
        if found is None or found.kind is Kind.FLATTENED:
            return None
        if found.kind is Kind.LEAF:
            return _NONE_THERE
        found = found.fields.get(part)
    return found


_NONE_THERE = Field(Kind.LEAF)  # a field within one that is no object: there can be none


def _takes(field: Field, value: Any) -> bool:
    if field is _NONE_THERE:
        return False
    if isinstance(value, list):
        return all(_takes(field, inner) for inner in value)
    if field.kind is Kind.LEAF:
        return not isinstance(value, dict)
    if value is None:
        return True
    if not isinstance(value, dict):
        return False
    if field.kind is Kind.FLATTENED:
        return can_be_flattened(value)
    return all(_fits_wholly(field, name, inner) for name, inner in value.items())


def _fits_wholly(mapping: Field, name: str, value: Any) -> bool:
    if not _can_be_name(name, at_top=False):
        return False
    field = _find(mapping, name)
    return field is None or _takes(field, value)
