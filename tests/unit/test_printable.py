"""What a record says is shown and never obeyed, and records of odd types end no command."""

from __future__ import annotations

import io
import logging
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from rich.console import Console

from shipper import jobs
from shipper.cli import logs, top
from shipper.cli.lines import Layout
from shipper.errors import ShipperError
from shipper.printable import printable, printable_json, printable_lines
from shipper.read import page as html
from shipper.read import reports
from shipper.read.clock import Clock
from shipper.read.entry import entry
from shipper.read.timeline import parse_time

HOSTILE = "a\x1b]0;title\x07b \x1b[31mc \x1b]8;;http://x\x07d \x1b[2J \x9b31m \u202ee \u2066f \x00\x7f\u200b\ufeff"
MARKUP = "[bold red] [/x] [link=http://x]y[/link] :smile:"
OBEYED = [*"\x1b\x07\x9b\u202e\u2066\x00\x7f\u200b\ufeff"]
NOW = datetime(2026, 11, 26, tzinfo=UTC)


def record(**fields: Any) -> dict[str, Any]:
    return {"@timestamp": "2026-11-26T10:00:00.123456Z", "event": {"dataset": "rq.job"}, **fields}


def hostile_record(text: str) -> dict[str, Any]:
    return record(
        message=text,
        event={"dataset": "rq.audit", "action": text, "outcome": text, "id": text},
        code={"function": {"name": text}},
        messaging={"destination": {"name": text}, "message": {"id": text}},
        user={"id": text},
        audit={"resource": {"type": text, "id": text}, "chain": {"id": text}},
        trace={"id": text},
    )


def shown(*what: Any) -> str:
    out = io.StringIO()
    console = Console(file=out, width=500, highlight=False)
    for one in what:
        console.print(one)
    return out.getvalue()


def render(records: list[dict[str, Any]], title: str) -> str:
    with html.lay_out(records) as page:
        return "".join(html.chunks(page, title))


def laid_out(made: dict[str, Any]) -> list[Any]:
    return [text for width in (None, 80, 500) for text in Layout(Clock(), width).texts(made)]


def test_control_characters_are_shown_as_escapes() -> None:
    assert printable("\x1b[31m\u202e\x9b\n") == "\\x1b[31m\\u202e\\x9b\\n"
    assert printable("Grüße, 日本語 🙂") == "Grüße, 日本語 🙂"
    assert printable_lines("a\n\tb\x1b") == "a\n\tb\\x1b"
    assert printable("\ud800") == "\\ud800"


def test_json_says_the_same_without_literal_control_characters() -> None:
    value = {"a": HOSTILE + "\U000e0041ü", "b": [1]}
    for indent in (False, True):
        line = printable_json(value, indent=indent)
        assert orjson.loads(line) == value
        assert not [one for one in OBEYED if one in line.decode()]
    assert printable_json({"a": "ü"}) == '{"a":"ü"}\n'.encode()


@pytest.mark.parametrize("text", [HOSTILE, MARKUP], ids=["controls", "markup"])
def test_a_line_of_the_timeline(text: str) -> None:
    out = shown(*laid_out(hostile_record(text)))
    assert not [one for one in OBEYED if one in out]
    assert printable(text) in out


@pytest.mark.parametrize("text", [HOSTILE, MARKUP, "f[/nope]"], ids=["controls", "markup", "closing"])
def test_a_table_of_top(text: str) -> None:
    report = next(iter(reports.REPORTS.values()))
    row = {"name": text, **{name: 1 for name, _, _ in report.columns}}
    out = shown(top.table(report, [row]))
    assert not [one for one in OBEYED if one in out]
    assert printable(text) in out


def test_the_page() -> None:
    page = render([hostile_record(HOSTILE), hostile_record("<b>$x")], HOSTILE)
    assert not [one for one in OBEYED if one in page]
    assert "<b>" not in page


def test_the_log_on_a_terminal() -> None:
    made = logs._Terminal("%(message)s").format(logging.makeLogRecord({"msg": "%s", "args": (HOSTILE,)}))
    assert not [one for one in OBEYED if one in made]


ODD: list[Any] = [None, [], [1, "x"], 7, 1e300, True, {}, {"a": [1]}, "text"]
FIELDS = ("@timestamp", "message", "event", "messaging", "user", "organization", "code", "trace", "audit", "rq", "http")


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_an_odd_type_ends_no_command(field: str, odd: Any) -> None:
    made = hostile_record("x") | {field: odd}
    shown(*laid_out(made))
    render([made], "x")
    assert entry(made).at.tzinfo is UTC


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize("name", ["action", "outcome", "dataset", "duration", "id", "reason"])
def test_so_does_a_part_of_the_event(name: str, odd: Any) -> None:
    made = record(event={"dataset": "rq.job", name: odd}, messaging={"destination": odd, "message": odd})
    shown(*laid_out(made))
    render([made], "x")


@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_and_a_part_of_a_state(odd: Any) -> None:
    names = ("state", "job_type", "user", "organization", "attempt", "created_at", "updated_at", "error", "progress")
    for name in names:
        jobs._state("j1", {"state": "dead", name: odd})


@pytest.mark.parametrize("given", ["99999999999d", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "9" * 400 + "w"])
def test_a_time_beyond_all_times_is_a_clear_error(given: str) -> None:
    with pytest.raises(ShipperError, match="beyond what a time can be"):
        parse_time(given, NOW)
