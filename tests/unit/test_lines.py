"""Records as lines: what each shows, in a pipe and at terminals of several widths and encodings."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from shipper.cli import jobs, lines, top
from shipper.cli.lines import Layout, short_id
from shipper.live.jobs import JobState
from shipper.read import reports
from shipper.read.clock import Clock
from tests.programs import LIMIT_S

ID = "3f2b8c1e-6d3a-4b52-9e0f-0a1b2c3d4e5f"
UTC_CLOCK = Clock(UTC)


def record(at: str = "2026-11-21T03:17:31.545928Z", **fields: Any) -> dict[str, Any]:
    return {
        "@timestamp": at,
        "event": {"dataset": "rq.job", "action": "job-dead", "outcome": "failure"},
        "message": "shop.jobs.charge_card failed for good after 346 ms: shop.jobs.CardDeclined: order 33 declined",
        "messaging": {"destination": {"name": "payments"}, "message": {"id": ID}},
        "user": {"id": "bob"},
        "service": {"name": "shop"},
        "host": {"name": "worker-1"},
        **fields,
    }


def shown(layout: Layout, *records: dict[str, Any]) -> list[str]:
    layout.look_at(records)
    return [text.plain for one in records for text in layout.texts(one)]


def test_in_a_pipe_a_record_is_one_line_with_what_leads_on() -> None:
    (line,) = shown(Layout(UTC_CLOCK), record())
    day, at, action, job, user, queue, message = line.split(maxsplit=6)
    assert (day, at, action, job) == ("2026-11-21", "03:17:31.545Z", "job-dead", "3f2b8c1e")
    assert (user, queue) == ("bob", "payments")
    assert message.startswith("shop.jobs.charge_card failed")


def test_what_a_record_lacks_keeps_its_place() -> None:
    (line,) = shown(Layout(UTC_CLOCK), {"@timestamp": "2026-11-21T03:17:31Z", "message": "hello"})
    assert line.split()[2:] == ["-", "-", "-", "-", "hello"]


def test_service_and_host_are_shown_where_they_differ() -> None:
    other = record(service={"name": "mails"})
    assert not any("shop " in line or "worker-1" in line for line in shown(Layout(UTC_CLOCK), record(), record()))
    first, second = shown(Layout(UTC_CLOCK), record(), other)
    assert (first.split()[6], second.split()[6]) == ("shop", "mails")
    assert "worker-1" not in first


def test_a_later_record_of_another_host_says_so() -> None:
    layout = Layout(UTC_CLOCK)
    shown(layout, record())
    (text,) = layout.texts(record(host={"name": "worker-2"}))
    assert "worker-2" in text.plain


def test_only_ids_whose_beginning_tells_them_apart_are_shortened() -> None:
    assert short_id(ID) == "3f2b8c1e"
    assert short_id("report:2026-11-21:customer-42") == "report:2026-11-21:customer-42"


@pytest.mark.parametrize("width", [40, 80, 100, 130, 200])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    one = record()
    said = shown(Layout(UTC_CLOCK, width), one)
    assert said[0] == "Sat 2026-11-21, UTC"
    assert max(map(len, said)) <= width
    words = " ".join(said).split()
    assert {"3f2b8c1e", "bob", "payments", "job-dead"} <= set(words)
    assert " ".join(words).endswith(one["message"])


def test_what_is_longer_than_a_line_is_broken_and_not_cut() -> None:
    long = "report-" + "0123456789" * 12
    said = shown(Layout(UTC_CLOCK, 60), record(messaging={"message": {"id": long}}))
    assert max(map(len, said)) <= 60
    assert long in "".join(line.strip() for line in said)


def test_at_80_columns_the_message_stands_below_and_indented() -> None:
    _, head, *message = shown(Layout(UTC_CLOCK, 80), record())
    assert head == "03:17:31.545  job-dead        3f2b8c1e  bob       payments"
    assert all(line.startswith(" " * lines.INDENT) for line in message)


JOB = JobState(
    job_id=ID, state="dead", live=True, queue="payments", function="shop.jobs.charge_card", user="bob",
    updated_at=datetime(2026, 11, 21, 3, 17, tzinfo=UTC), error="shop.jobs.CardDeclined: " + "order 33 declined " * 5,
)  # fmt: skip


def test_a_listed_job_is_one_line_in_a_pipe_and_fits_on_a_terminal() -> None:
    (line,) = jobs.texts(JOB, UTC_CLOCK, None)
    assert line.plain.split("  ")[0] == "2026-11-21 03:17:00.000Z"
    words = line.plain.split()
    for width in (50, 80, 120):
        said = [text.plain for text in jobs.texts(JOB, UTC_CLOCK, width)]
        assert max(map(len, said)) <= width
        assert " ".join(said).split() == words


def test_the_day_is_said_once() -> None:
    said = shown(Layout(UTC_CLOCK, 200), record(), record(), record("2026-11-22T00:00:00Z"))
    assert [line for line in said if line.endswith("UTC")] == ["Sat 2026-11-21, UTC", "Sun 2026-11-22, UTC"]


@pytest.fixture
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_berlin")
def test_times_are_those_of_this_machine_in_winter_and_summer() -> None:
    here = Clock()
    winter, summer = datetime(2026, 11, 21, 3, 17, tzinfo=UTC), datetime(2026, 7, 1, 23, tzinfo=UTC)
    assert here.full(winter) == "2026-11-21 04:17:00.000+01:00"
    assert here.day(winter) == "Sat 2026-11-21, CET (UTC+01:00)"
    assert here.day(summer) == "Thu 2026-07-02, CEST (UTC+02:00)"
    assert UTC_CLOCK.full(winter) == "2026-11-21 03:17:00.000Z"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00+00:00", "9999-12-31T23:59+00:00"])
@pytest.mark.usefixtures("_berlin")
def test_a_time_at_the_end_of_the_calendar_is_shown(moment: str) -> None:
    assert Clock().full(datetime.fromisoformat(moment)).startswith(moment[:10])


def _print(code: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", f"from shipper.cli import terminal\nterminal.prepare()\n{code}"],
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
        env={**os.environ, **environment},
    )


def test_an_ascii_terminal_gets_ascii_and_no_exception() -> None:
    text = "Zoë → 3 × 4 … 東"
    for printing in (f"print({text!r})", f"terminal.console().print({text!r})"):
        done = _print(printing, PYTHONIOENCODING="ascii")
        assert done.returncode == 0, done.stderr
        assert done.stdout == b"Zo\\xeb -> 3 x 4 ... \\u6771\n"
    done = _print(f"import click; click.echo({text!r})", PYTHONIOENCODING="iso-8859-1")
    assert done.stdout == b"Zo\xeb -> 3 \xd7 4 ... \\u6771\n"


def test_a_table_on_an_ascii_terminal_has_lines_of_ascii() -> None:
    code = "from rich.table import Table; t = Table('a'); t.add_row('b'); terminal.console().print(t)"
    done = _print(code, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()
    assert b"\\u" not in done.stdout


def test_what_no_record_of_a_row_has_is_a_dash() -> None:
    report = reports.REPORTS["queues_by_lag"]
    row = {"name": "mails", **{name: None for name, _, _ in report.columns}, "jobs": 3}
    table = top.table(report, [row])
    assert [str(next(iter(column.cells))) for column in table.columns] == ["mails", "3", "-", "-", "-"]


def test_no_color_has_none_and_a_terminal_has_some() -> None:
    from rich.text import Text

    from shipper.cli import terminal

    code = "import sys; from rich.text import Text; terminal.console().print(Text('x', style='red'))"
    assert _print(code, FORCE_COLOR="1", TERM="xterm").stdout == b"\x1b[31mx\x1b[0m\n"
    assert _print(code, FORCE_COLOR="1", NO_COLOR="1", TERM="xterm").stdout == b"x\n"
    assert _print(code, TERM="xterm").stdout == b"x\n"
    console = terminal.console()
    console.file = out = io.StringIO()
    console.print(Text("[red]as it is[/] :smile:"))
    assert out.getvalue() == "[red]as it is[/] :smile:\n"
