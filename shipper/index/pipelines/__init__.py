"""The ingest pipeline `rq-legacy`: converts lines of RQ's text logs to records in Elasticsearch.

It expects documents whose `message` is a line, with its traceback if it has one. `@timestamp` is the reference for
times without a date, and `event.timezone` the zone of times without one. Any program can send such documents, such as
Filebeat. Job records are moved from the index `rq-app-…` to the corresponding `rq-job-…`.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from ...legacy import dates, grammar, grok, lines
from ...records import ECS_VERSION
from ...redact import REDACTED

NAME = "rq-legacy"
VERSION = 1
CLEAN = "rq_clean"  # true on documents that were redacted before they were sent; removed by the pipeline


def body() -> dict[str, Any]:
    """The pipeline as the body for Elasticsearch's API."""
    meanings = grammar.meanings()
    return {
        "version": VERSION,
        "description": "A line of an RQ text log becomes a job record, or a record of the application.",
        "processors": [
            # The shipper redacts before it sends, and sets CLEAN: redaction takes longer than everything else here.
            _gsub("\\r\\n?", "\n"),
            _gsub(lines.COLORS.replace("\\x1b", "\u001b"), ""),
            _gsub(lines.SECRET, f"$1$2{REDACTED}"),
            _grok("message", grok.heads()),
            _grok("rq_body", grok.lines()),
            {
                "script": {
                    "source": files(__package__).joinpath("rq-legacy.painless").read_text(encoding="utf-8"),
                    "params": {
                        **{name: meanings[name] for name in ("phrases", "signals", "levels")},
                        "months": dates.MONTHS,
                        "ecs": ECS_VERSION,
                    },
                }
            },
        ],
        "on_failure": [
            {"set": {"field": "tags", "value": ["legacy", "unparsed"]}},
            {"set": {"field": "error.message", "value": "{{{_ingest.on_failure_message}}}"}},
            {"set": {"field": "event.dataset", "value": "rq.app"}},
        ],
    }


def _gsub(pattern: str, replacement: str) -> dict[str, Any]:
    return {
        "gsub": {
            "field": "message",
            "pattern": pattern,
            "replacement": replacement,
            "ignore_missing": True,
            "if": f"ctx.{CLEAN} != true",
        }
    }


def _grok(field: str, names: list[str]) -> dict[str, Any]:
    return {
        "grok": {
            "field": field,
            "patterns": [f"%{{{name}}}" for name in names],
            "pattern_definitions": dict(grok.patterns()),
            "ignore_missing": True,
        }
    }
