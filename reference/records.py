"""docs/reference/fields.md: each field of each dataset, with type, unit, source of its name, and an example."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from .markdown import code, page, table

ROOT = Path(__file__).resolve().parent.parent
TITLE = "Fields of records"
# Template → what its indices hold.
DATASETS = {
    "rq-common": "Every record",
    "rq-job": "Records of jobs (`rq-job`)",
    "rq-audit": "Audit records (`rq-audit`)",
    "rq-metric": "Gauges of `shipper watch` (`rq-metric`)",
    "rq-alert": "Alarms of `shipper watch` (`rq-alert`)",
    "rq-app": "Lines of applications (`rq-app`)",
    "rq-shipper": "The shipper's status (`rq-shipper`)",
    "rq-state": "States of jobs (`rq-state`), documents that change",
}
UNITS = {  # by the end of a field's name; the longer ones first
    "bytes_per_s": "bytes per second",
    "_per_s": "per second",
    "_ms": "milliseconds",
    "_s": "seconds",
    "bytes": "bytes",
    "_kb": "KiB",
    "percent": "%",
}
NAMED = {  # where the name does not say it
    "event.duration": "nanoseconds",
    "messaging.message.body.size": "bytes",
    "rq.queue.utilization": "0 to 1",
    "rq.redis.fragmentation": "ratio",
}
LONGEST_EXAMPLE = 60


def fields(properties: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(dotted name, mapping) of all fields of a mapping."""
    for name, found in properties.items():
        if "properties" in found:
            yield from fields(found["properties"], f"{above}{name}.")
        else:
            yield f"{above}{name}", found


def unit(name: str, kind: str) -> str:
    """The unit of a field by its name and type."""
    if kind == "date":
        return "UTC"
    if name in NAMED:
        return NAMED[name]
    if kind not in ("long", "double", "integer", "float"):
        return ""
    if ".bytes_by_kind." in name:
        return "bytes"
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def source(name: str) -> str:
    """Who has defined a field's name."""
    top = name.partition(".")[0]
    if top in ("messaging", "code"):
        return "OpenTelemetry"
    return "rq-shipper" if top in ("rq", "audit", "shipper", "app") else "ECS"


def made() -> str:
    """The page."""
    return page(
        TITLE,
        "Every field that can be searched, by the dataset that has it, from the index templates. Names are those of "
        "the [Elastic Common Schema](https://www.elastic.co/docs/reference/ecs) (ECS), else OpenTelemetry's, else "
        "begin with `rq.`, `audit.`, `app.` or `shipper.`. What they mean: [records.md](../records.md), "
        "[audit.md](../audit.md), [watch.md](../watch.md). Examples are from the tests' golden records.",
        *(_dataset(template, about) for template, about in DATASETS.items()),
    )


def _dataset(template: str, about: str) -> str:
    described = json.loads(files("shipper.index.templates").joinpath(f"{template}.json").read_text(encoding="utf-8"))
    mapped = described["template"].get("mappings", {}).get("properties", {})
    states = template == "rq-state"
    rows = [
        (
            code(name),
            f"{kind['type']} of `{kind['path']}`" if kind["type"] == "alias" else kind["type"],
            unit(name, kind["type"]),
            "rq-shipper" if states and "." not in name and name != "@timestamp" else source(name),
            "" if states else code(examples().get(name, "")),
        )
        for name, kind in fields(mapped)
    ]
    return f"## {about}\n\n" + table(("field", "type", "unit", "name of", "example"), rows)


@cache
def examples() -> dict[str, str]:
    """A value of each field that a golden record has: the first that is short enough to show."""
    found: dict[str, str] = {}
    for file in (*sorted((ROOT / "tests/golden").iterdir()), *sorted((ROOT / "tests/golden_watch").iterdir())):
        for line in file.read_text(encoding="utf-8").splitlines():
            for name, value in _values(json.loads(line)):
                shown = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
                if len(shown) <= LONGEST_EXAMPLE and "\n" not in shown and "`" not in shown:
                    found.setdefault(name, shown)
    return found


def _values(record: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its dotted name; of an object itself, too, as some fields are objects."""
    for name, value in record.items():
        yield f"{above}{name}", value
        if isinstance(value, dict):
            yield from _values(value, f"{above}{name}.")
