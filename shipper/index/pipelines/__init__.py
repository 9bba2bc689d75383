"""The ingest pipeline `rq-legacy`: converts lines of RQ's text logs to records in Elasticsearch.

The shipper sends what the file tells (time, host, level, logger) as fields, and the rest of the line in `rq_body`.
Other programs, such as Filebeat, send a line with its traceback in `message`; `@timestamp` is then the reference for
times without a date, and `event.timezone` the zone of times without one. Job records are moved from the index
`rq-app-…` to the corresponding `rq-job-…`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from ...legacy import carriers, grok, multiline
from ...legacy.tables import tables
from ...records import ECS_VERSION
from ...redact.rules import REDACTED, table

NAME = "rq-legacy"
VERSION = 5
BODY = "rq_body"  # a line without its head, from the shipper: its secrets are redacted already

CARD_START, CARD_END = "\ue000", "\ue001"  # for private use (Unicode 16, chapter 23.5)

_FROM_OTHERS = f"ctx.{BODY} == null"
_HAS_TRACEBACK = f"ctx.{BODY} != null && ctx.{BODY}.contains('Traceback (most')"
_WITHOUT_CAPTURES = "for (name in new ArrayList(ctx.keySet())) { if (name.startsWith('rq_')) { ctx.remove(name) } }"
_JSON = f"{_FROM_OTHERS} && ctx.message instanceof String && ctx.message.startsWith('{{')"


def body(job_ids: str | None = None) -> dict[str, Any]:
    """The pipeline as the body for Elasticsearch's API. `job_ids`: the setting, for ids that are no UUIDs."""
    definitions = dict(grok.with_own_ids(job_ids))
    return {
        "version": VERSION,
        "description": "A line of an RQ text log becomes a job record, or a record of the application.",
        "processors": [
            {"json": {"field": "message", "target_field": "rq_json", "if": _JSON, "ignore_failure": True}},
            _script("rq-legacy-json", {
                "messages": carriers.MESSAGES, "times": carriers.TIMES, "levels": carriers.LEVELS,
                "loggers": carriers.LOGGERS, "hosts": carriers.HOSTS, "pids": carriers.PIDS, "stacks": carriers.STACKS,
            }, "ctx.rq_json != null"),
            _gsub("\\r\\n?", "\n"),
            _gsub(multiline.COLORS.replace("\\x1b", "\u001b"), ""),
            _gsub("\u0000|\\s+\\z", ""),
            *redaction(),
            _grok("rq_time", ["RQ_SENT_TIME"], definitions, "ctx.rq_time != null"),
            _grok("message", grok.names("RQ_CARRIER_"), definitions, _FROM_OTHERS),
            _grok("rq_line", grok.names("RQ_HEAD_"), definitions, _FROM_OTHERS),
            _grok(BODY, grok.names("RQ_LINE_"), definitions, f"ctx.{BODY} != null && ctx.{BODY} != ''"),
            _grok(BODY, grok.names("RQ_ERROR_"), definitions, _HAS_TRACEBACK),
            _script("rq-legacy", {
                **{name: tables()[name] for name in ("phrases", "signals", "levels", "months", "zones")},
                "ecs": ECS_VERSION,
            }),
        ],
        "on_failure": [
            {"set": {"field": "message", "copy_from": BODY, "override": False, "ignore_empty_value": True}},
            {"script": {"source": _WITHOUT_CAPTURES}},
            {"set": {"field": "tags", "value": ["legacy", "unparsed"]}},
            {"set": {"field": "error.message", "value": "{{{_ingest.on_failure_message}}}"}},
            {"set": {"field": "event.dataset", "value": "rq.app"}},
        ],
    }  # fmt: skip


def redaction() -> Iterator[dict[str, Any]]:
    """The processors that redact `message`, by the built-in rules.

    An expression cannot check the digits of a card's number: it marks them, and a script decides.
    """
    for rule in table():
        if not rule.luhn:
            yield _gsub(rule.pattern, f"$1{REDACTED}")
            continue
        yield _gsub(rule.pattern, f"$1{CARD_START}$0{CARD_END}")
        yield _script(
            "cards",
            {"start": CARD_START, "end": CARD_END, "redacted": REDACTED},
            f"{_FROM_OTHERS} && ctx.message instanceof String && ctx.message.contains('{CARD_START}')",
        )


def _gsub(pattern: str, replacement: str) -> dict[str, Any]:
    return {
        "gsub": {
            "field": "message", "pattern": pattern, "replacement": replacement, "ignore_missing": True,
            "if": _FROM_OTHERS,
        }
    }  # fmt: skip


def _grok(field: str, names: list[str], definitions: Mapping[str, str], condition: str | None = None) -> dict[str, Any]:
    processor: dict[str, Any] = {
        "field": field,
        "patterns": [f"%{{{name}}}" for name in names],
        "pattern_definitions": definitions,
        "ignore_missing": True,
    }
    if condition:
        processor["if"] = condition
    if names[-1] not in ("RQ_CARRIER_NONE", "RQ_HEAD_NONE", "RQ_LINE_OTHER"):
        processor["ignore_failure"] = True  # it is no exception, or no time
    return {"grok": processor}


def _script(name: str, params: Mapping[str, Any], condition: str | None = None) -> dict[str, Any]:
    source = files(__package__).joinpath(f"{name}.painless").read_text(encoding="utf-8")
    return {"script": {"source": source, "params": params} | ({"if": condition} if condition else {})}
