"""The index templates against the golden lines, and the rules that keep users' data from bouncing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper import settings
from shipper.index import setup

GOLDEN = sorted((Path(__file__).parent.parent / "golden").iterdir())
# The trimmed server of the tests lacks these, and so may others: they would make the template unusable there.
NOT_EVERYWHERE = {"match_only_text", "wildcard", "constant_keyword", "scaled_float"}

FREE_FORM = ("labels", "rq.args", "rq.kwargs", "rq.meta")


def parts(**variables: str) -> dict[str, Any]:
    made = settings.load(environment={"XDG_STATE_HOME": "/s", **variables})
    return {part.name: part.body for part in setup.wanted(made, pipeline=False)}


def fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, spec in node.get("properties", {}).items():
        if "properties" in spec:
            yield from fields(spec, f"{path}{name}.")
        else:
            yield f"{path}{name}", spec


def mapped(name: str) -> dict[str, dict[str, Any]]:
    found = dict(fields(parts()[name]["template"]["mappings"]))
    if name != "rq-state":
        found |= dict(fields(parts()["rq-common"]["template"]["mappings"]))
    return found


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_every_field_of_a_golden_line_is_mapped_with_a_type_that_holds_it(golden: Path) -> None:
    known = mapped("rq-job")
    for path, value in leaves(json.loads(golden.read_text())):
        free = next((name for name in FREE_FORM if path.startswith(f"{name}.")), None)
        if free:
            assert known[free]["type"] == "flattened"
            continue
        kind = known[path]["type"]
        if isinstance(value, bool):
            assert kind == "boolean", path
        elif isinstance(value, int):
            assert kind in ("long", "double"), path
        elif isinstance(value, float):
            assert kind == "double", path
        else:
            assert kind in ("keyword", "text", "date"), path


@pytest.mark.parametrize("name", setup.INDEX_TEMPLATES)
def test_no_template_needs_what_not_every_server_has(name: str) -> None:
    assert not {spec["type"] for spec in mapped(name).values()} & NOT_EVERYWHERE


@pytest.mark.parametrize("name", setup.INDEX_TEMPLATES)
def test_free_form_data_is_flattened_and_bounded(name: str) -> None:
    for path, spec in mapped(name).items():
        if spec["type"] == "flattened":
            assert spec["ignore_above"] == 1024, path
            assert spec["depth_limit"] == 10, path
        if spec["type"] == "keyword":
            assert spec["ignore_above"] == 1024, path


@pytest.mark.parametrize("name", setup.INDEX_TEMPLATES)
def test_every_dataset_has_a_template_that_wins_and_an_alias(name: str) -> None:
    body = parts()[name]
    assert body["index_patterns"] == [f"{name}-*"]
    assert body["priority"] == 500
    assert list(body["template"]["aliases"]) == [name]
    assert body["template"]["mappings"]["dynamic"] is False


def test_labels_of_the_user_s_own_get_a_keyword() -> None:
    runtime = parts(SHIPPER_LABELS="region,plan")["rq-common"]["template"]["mappings"]["runtime"]
    assert {name: field["type"] for name, field in runtime.items()} == {
        "label.region": "keyword",
        "label.plan": "keyword",
    }
