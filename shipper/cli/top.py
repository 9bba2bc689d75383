"""`shipper top`: show the functions and queues with the highest cost."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .. import settings
from ..fields import time_of
from ..printable import printable, printable_json
from ..read.clock import Clock
from . import options
from .lines import NOTHING
from .terminal import console

if TYPE_CHECKING:
    from rich.table import Table

    from ..read.reports import Report


@click.command(
    epilog=options.examples("shipper top --since 7d", "shipper top --executions --function shop.jobs.charge_card")
)
@options.filters(default_since="24h")
@options.elasticsearch
@options.namespace
@options.json
@click.option("--size", default=10, show_default=True, type=click.IntRange(1, 1000), help="Rows of each table.")
@click.option("--executions", is_flag=True, help="Show the single executions that took longest.")
def command(
    as_json: bool,
    executions: bool,
    utc: bool,
    size: int,
    since: str,
    until: str | None,
    elasticsearch: str | None,
    namespace: str | None,
    **restrictions: str | None,
) -> None:
    """Show slow functions and busy queues.

    Functions by total time, duration and payload size; queues by demand and lag.
    """
    from .. import client
    from ..read import reports

    zone = Clock.of(utc)
    config = settings.load({"elasticsearch": elasticsearch, "namespace": namespace})
    criteria = options.query_from(since, until, zone.zone, **restrictions)
    with client.connect_reader(config) as search:
        if executions:
            _show_executions(reports.executions(search, config, criteria, size), zone, as_json=as_json)
            return
        results = reports.run(search, config, criteria, size)
    if as_json:
        sys.stdout.buffer.write(printable_json(results, indent=True))
        return
    out = console()
    for number, (name, rows) in enumerate(results.items()):
        report = reports.REPORTS[name]
        out.print(f"{chr(10) * bool(number)}{report.title}", style="bold")
        out.print(table(report, rows))


def _show_executions(rows: list[dict[str, Any]], zone: Clock, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(printable_json({"executions": rows}, indent=True))
        return
    from rich.table import Table
    from rich.text import Text

    result = Table(show_edge=False, pad_edge=False)
    for name in ("ended", "duration s", "function", "queue", "job"):
        result.add_column(name, justify="right" if name == "duration s" else "left", overflow="fold")
    out = console()
    out.print("Executions that took longest", style="bold")
    for row in rows:
        shown = {**row, "ended": zone.full(time_of({"@timestamp": row["ended"]}))}
        result.add_row(*(Text(_shown(value)) for value in shown.values()))
    out.print(result)


def table(report: Report, rows: list[dict[str, Any]]) -> Table:
    """A report as a rich Table."""
    from rich.table import Table
    from rich.text import Text

    result = Table(show_edge=False, pad_edge=False)
    result.add_column("queue" if "destination" in report.by else "function", overflow="fold")
    for name, _, _ in report.columns:
        result.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        result.add_row(*(Text(_shown(value)) for value in row.values()))
    if not rows:
        result.add_row(Text("nothing yet", style="dim"))
    return result


def _shown(value: object) -> str:
    if value is None:  # no record of the row has it
        return NOTHING
    if isinstance(value, float):
        return f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else printable(value)
