"""The application's own lines, outside of any job and whatever they are called with."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

import shipper
from shipper import context
from shipper.index.mapping import mapped
from shipper.records import ID_AT, LINE_START, TIME_AT
from shipper.ship.reader import fitting


def formatted(message: str, args: tuple[Any, ...], **changes: Any) -> dict[str, Any]:
    record = logging.LogRecord("shop", logging.INFO, __file__, 1, message, args, changes.pop("exc_info", None))
    vars(record).update(changes)
    line = shipper.JsonFormatter().format(record)
    assert "\n" not in line
    assert line.encode().startswith(LINE_START)
    made: dict[str, Any] = json.loads(line)
    assert line.encode()[TIME_AT].decode() == made["@timestamp"]
    assert line.encode()[ID_AT].decode() == made["event"]["id"]
    return made


def test_a_line_is_a_record_of_the_application() -> None:
    made = formatted("hello %s", ("world",))
    assert made["message"] == "hello world"
    assert made["event"]["dataset"] == "rq.app"
    assert "messaging" not in made


def test_the_context_is_on_the_line() -> None:
    with shipper.log_context(user="bob", trace_id="t1", region="eu"):
        made = formatted("hello", ())
    assert (made["user"], made["trace"], made["labels"]) == ({"id": "bob"}, {"id": "t1"}, {"region": "eu"})


def test_an_extra_of_any_name_bounces_nothing() -> None:
    made = formatted("hello", (), user="bob", event=1, rq={"a": 1})
    assert made["labels"] == {"user": "bob", "event": 1, "rq": {"a": 1}}


@pytest.mark.parametrize(("message", "args"), [("%s %s", ("one",)), ("%d", ("x",)), ("\ud800", ()), ("a\nb", ())])
def test_a_mistaken_call_is_a_line_all_the_same(message: str, args: tuple[Any, ...]) -> None:
    assert formatted(message, args)["message"]


def test_an_exception_is_told() -> None:
    try:
        raise ValueError("no")
    except ValueError:
        made = formatted("lost it", (), exc_info=sys.exc_info())
    assert (made["error"]["type"], made["error"]["message"]) == ("ValueError", "no")
    assert "Traceback" in made["error"]["stack_trace"]


def test_structlog_s_events_get_the_same() -> None:
    running = context.RunningJob("j1", "shop.jobs.charge", "payments", 2, "e1", "j0")
    token = context.running.set(running)
    try:
        with shipper.log_context(user="bob"):
            event = shipper.structlog_context(None, "info", {"event": "hello", "order": 7})
    finally:
        context.running.reset(token)
    assert event["message"] == "hello"
    assert event["event"] == {"dataset": "rq.app", "kind": "event"}
    assert event["messaging"]["message"]["id"] == "j1"
    assert (event["rq"]["attempt"], event["rq"]["root_job_id"], event["user"]) == (2, "j0", {"id": "bob"})


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_an_exception_without_a_text_costs_no_line() -> None:
    try:
        raise Unspeakable
    except Unspeakable:
        made = formatted("lost it", (), exc_info=sys.exc_info())
    assert (made["message"], made["error"]["type"]) == ("lost it", "Unspeakable")
    assert made["error"]["message"] == "<Unspeakable that cannot be shown>"


@pytest.mark.parametrize("args", [(Unspeakable(),), (1, Unspeakable())])
def test_an_argument_without_a_text_costs_no_line(args: tuple[Any, ...]) -> None:
    assert "lost it" in formatted("lost it %s", args)["message"]


OWN_KEYS = {"service": "table", "user": {"id": {"a": 1}}, "message": "mine", "labels": "x", "error": "boom", "host": 1}


def test_structlog_s_own_keys_that_are_fields_of_ecs_go_under_labels() -> None:
    with shipper.log_context(user="bob", region="eu"):
        event = shipper.structlog_context(None, "info", {"event": "hello", "order": 7, **OWN_KEYS})
    assert (event["message"], event["user"], event["order"]) == ("hello", {"id": "bob"}, 7)
    assert event["labels"] == {"region": "eu", **OWN_KEYS}
    json.dumps(event)


def test_what_our_formatters_write_fits_the_fields_that_are_mapped() -> None:
    event = shipper.structlog_context(None, "info", {"event": "hello", **OWN_KEYS})
    lines = [
        json.dumps(dict(event)),
        json.dumps(formatted("hello", (), **{k: v for k, v in OWN_KEYS.items() if k != "message"})),
    ]
    for line in lines:
        kept, aside = fitting.fit(fitting.members(line.encode()), mapped("rq.app"))
        assert not aside
        assert kept
