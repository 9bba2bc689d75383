"""The ingest pipeline `rq-legacy`: converts lines of RQ's text logs to records in Elasticsearch.

It expects documents whose `message` is a line, with its traceback if it has one. `@timestamp` is the reference for
times without a date, and `event.timezone` the zone of times without one. Any program can send such documents, such as
Filebeat. Job records are moved from the index `rq-app-…` to the corresponding `rq-job-…`.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from ...legacy import dates, grammar, grok, lines
from ...records import ECS_VERSION
from ...redact.rules import REDACTED, table

NAME = "rq-legacy"
VERSION = 2
CLEAN = "rq_clean"  # true on documents that were redacted before they were sent; removed by the pipeline
CARD_START, CARD_END = "\ue000", "\ue001"  # for private use (Unicode 16, chapter 23.5)


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
            *redaction(),
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


def redaction() -> Iterator[dict[str, Any]]:
    """The processors that redact `message`, by the built-in rules.

    An expression cannot check the digits of a card's number: it marks them, and a script decides.
    """
    for rule in table():
        if not rule.luhn:
            yield _gsub(rule.pattern, f"$1{REDACTED}")
            continue
        yield _gsub(rule.pattern, f"$1{CARD_START}$0{CARD_END}")
        yield {
            "script": {
                "if": f"ctx.{CLEAN} != true && ctx.message instanceof String && ctx.message.contains('{CARD_START}')",
                "source": files(__package__).joinpath("cards.painless").read_text(encoding="utf-8"),
                "params": {"start": CARD_START, "end": CARD_END, "redacted": REDACTED},
            }
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
