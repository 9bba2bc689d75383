"""Fields that carry an ECS name have ECS's type family and allowed values; the exceptions are listed here.

Held against the published table of fields where it lies beside the checkout, and always against the part of it
that is copied here (Elastic Common Schema, https://github.com/elastic/ecs, Apache-2.0).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper import settings
from shipper.index import setup

ROOT = Path(__file__).parent.parent.parent
PUBLISHED = ROOT.parent / "shared/data/ecs-fields.csv"
GOLDEN = sorted((ROOT / "tests/golden").iterdir())

# Types that do the same for a reader (https://www.elastic.co/docs/reference/elasticsearch/mapping-reference).
FAMILIES = {
    "match_only_text": "text",
    "constant_keyword": "keyword",
    "wildcard": "keyword",
    "scaled_float": "float",
    "double": "float",
    "half_float": "float",
    "long": "integer",
    "unsigned_long": "integer",
    "nested": "object",
}
# Where we differ from ECS, and why.
EXCEPTIONS = {
    "error.stack_trace": "a wildcard in ECS, which not every server has; as text it can be searched by its words",
    "labels": "an object in ECS; flattened, so that no label can add a field to the mapping",
}
COPIED = {
    "@timestamp": "date", "message": "match_only_text", "tags": "keyword", "labels": "object", "ecs.version": "keyword",
    "event.id": "keyword", "event.kind": "keyword", "event.category": "keyword", "event.type": "keyword",
    "event.action": "keyword", "event.outcome": "keyword", "event.reason": "keyword", "event.dataset": "keyword",
    "rule.name": "keyword", "rule.description": "keyword", "rule.category": "keyword", "rule.reference": "keyword",
    "event.created": "date", "event.start": "date", "event.end": "date", "event.duration": "long",
    "event.sequence": "long", "service.name": "keyword", "service.version": "keyword",
    "service.environment": "keyword", "host.name": "keyword", "process.pid": "long", "process.exit_code": "long",
    "trace.id": "keyword", "span.id": "keyword", "user.id": "keyword", "user.name": "keyword",
    "user.roles": "keyword", "user.effective.id": "keyword", "user.target.id": "keyword",
    "organization.id": "keyword", "error.type": "keyword", "error.message": "match_only_text",
    "error.stack_trace": "wildcard", "log.level": "keyword", "log.logger": "keyword", "source.ip": "ip",
    "user_agent.original": "keyword", "http.request.id": "keyword", "url.path": "wildcard",
}  # fmt: skip
ALLOWED = {
    "event.kind": {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"},
    "event.category": {
        "api", "authentication", "configuration", "database", "driver", "email", "file", "host", "iam",
        "intrusion_detection", "library", "malware", "network", "package", "process", "registry", "session",
        "threat", "vulnerability", "web",
    },
    "event.type": {
        "access", "admin", "allowed", "change", "connection", "creation", "deletion", "denied", "device", "end",
        "error", "group", "indicator", "info", "installation", "protocol", "start", "user",
    },
    "event.outcome": {"failure", "success", "unknown"},
}  # fmt: skip


def ours() -> dict[str, str]:
    """Every mapped field of every template, and its type."""
    found: dict[str, str] = {}
    for part in setup.wanted(settings.load(environment={"XDG_STATE_HOME": "/s"}), pipeline=False):
        found |= dict(_fields(part.body.get("template", {}).get("mappings", {})))
    return found


def _fields(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, spec in node.get("properties", {}).items():
        if "properties" in spec:
            yield from _fields(spec, f"{path}{name}.")
        else:
            yield f"{path}{name}", spec["type"]


def published() -> dict[str, str]:
    with PUBLISHED.open(newline="", encoding="utf-8") as table:
        return {row["Field"]: row["Type"] for row in csv.DictReader(table)}


def family(kind: str) -> str:
    return FAMILIES.get(kind, kind)


def differences(table: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {
        name: (kind, table[name])
        for name, kind in ours().items()
        if name in table and family(kind) != family(table[name]) and name not in EXCEPTIONS
    }


def test_types_are_those_of_ecs() -> None:
    assert differences(COPIED) == {}


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published table of fields is not beside this checkout")
def test_types_are_those_of_the_published_table() -> None:
    assert differences(published()) == {}


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published table of fields is not beside this checkout")
def test_the_copied_part_is_as_published() -> None:
    table = published()
    assert {name: table.get(name) for name in COPIED} == COPIED


def test_every_exception_is_one() -> None:
    mine = ours()
    assert all(family(mine[name]) != family(COPIED[name]) for name in EXCEPTIONS)


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.stem)
def test_values_are_those_that_ecs_allows(golden: Path) -> None:
    event = json.loads(golden.read_text())["event"]
    for field, allowed in ALLOWED.items():
        if (value := event.get(field.removeprefix("event."))) is None:
            continue
        assert set(value if isinstance(value, list) else [value]) <= allowed, field
