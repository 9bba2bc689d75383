"""Each object against the attributes and types that Kibana's saved-object schemas have at the versions we write.

From Kibana's sources, read for 8.19 and 9.x (docs/kibana.md says which files): `dashboard` schema v1, which is that of
8.9.0 and which v2 to v4 only extend; `search` SCHEMA_SEARCH_V8_8_0, which the model versions extend; `query`
SCHEMA_QUERY_V8_8_0. Data views and tags have no schema there; theirs is that of the content management (data_views
plugin) and of the tag's attributes. An unknown attribute is refused.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.saved_objects import computed, mapped, of_type, panels

_QUERY = {"query": str, "language": str}
SCHEMAS: dict[str, dict[str, Any]] = {
    "dashboard": {
        "title": str, "description": str, "version": int, "timeRestore": bool, "timeFrom": str, "timeTo": str,
        "refreshInterval": {"pause": bool, "value": int}, "optionsJSON": str, "panelsJSON": str,
        "kibanaSavedObjectMeta": {"searchSourceJSON": str},
        "controlGroupInput": {
            "panelsJSON": str, "controlStyle": str, "chainingSystem": str, "ignoreParentSettingsJSON": str,
        },
    },
    "search": {
        "title": str, "description": str, "columns": [str], "sort": [[str]], "grid": {"columns": dict},
        "hideChart": bool, "isTextBasedQuery": bool, "rowHeight": int, "timeRestore": bool,
        "timeRange": {"from": str, "to": str},
        "kibanaSavedObjectMeta": {"searchSourceJSON": str},
    },
    "query": {"title": str, "description": str, "query": _QUERY, "filters": [dict]},
    "index-pattern": {
        "title": str, "name": str, "timeFieldName": str, "fieldFormatMap": str, "fieldAttrs": str,
        "runtimeFieldMap": str,
    },
    "tag": {"name": str, "description": str, "color": str},
}  # fmt: skip


def wrong(value: Any, schema: Any, path: str = "") -> list[str]:
    """Where a value is not as a schema says."""
    if isinstance(schema, dict):
        if not isinstance(value, dict):
            return [f"{path}: no object"]
        unknown = [f"{path}.{name}: unknown" for name in value if name not in schema]
        known = [name for name in value if name in schema]
        return unknown + [one for name in known for one in wrong(value[name], schema[name], f"{path}.{name}")]
    if isinstance(schema, list):
        if not isinstance(value, list):
            return [f"{path}: no list"]
        return [one for part in value for one in wrong(part, schema[0], f"{path}[]")]
    return [] if type(value) is schema else [f"{path}: {type(value).__name__} instead of {schema.__name__}"]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_object_is_as_the_schema_of_its_type_says(kind: str) -> None:
    assert of_type(kind)
    for one in of_type(kind):
        assert wrong(one["attributes"], SCHEMAS[kind]) == [], one["id"]


def test_what_a_schema_does_not_know_is_seen() -> None:
    assert wrong({"name": "x", "colour": "red"}, SCHEMAS["tag"]) == [".colour: unknown"]
    assert wrong({"sort": [["a", 1]]}, SCHEMAS["search"]) == [".sort[][]: int instead of str"]


def test_colours_are_in_the_form_that_every_version_reads_or_converts() -> None:
    """Up to 9.0 an assignment has `rule`; from 9.1 on `rules`, and one with `rule` is converted as it is opened."""
    seen = 0
    for one in panels("lens"):
        for layer in one.attributes["state"]["visualization"].get("layers", []):
            for given in layer.get("colorMapping", {}).get("assignments", []):
                assert set(given) == {"rule", "color", "touched"}
                assert given["rule"]["type"] == "matchExactly"
                assert given["color"]["type"] == "colorCode"
                seen += 1
    assert seen


def test_no_field_that_is_computed_is_mapped() -> None:
    """Kibana would pass over what the data view computes (`getRuntimeMappings`), and ask the mapped field."""
    for one in of_type("index-pattern"):
        assert not set(computed(one)) & set(mapped(one["attributes"]["title"])), one["id"]


def test_a_field_that_is_computed_has_a_type_that_kibana_knows() -> None:
    known = {"keyword", "long", "double", "date", "ip", "boolean"}
    for one in of_type("index-pattern"):
        for name, field in json.loads(one["attributes"].get("runtimeFieldMap", "{}")).items():
            assert field["type"] in known, name
            assert set(field) == {"type", "script"}
