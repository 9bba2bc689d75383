"""`shipper status`: show the position in each file, and errors."""

from __future__ import annotations

import json as json_module
import time
from datetime import datetime
from typing import Any

import click

from .. import settings
from ..errors import StateError
from ..printable import printable
from . import options, terminal
from .shown import size, span


@click.command(epilog=options.examples("shipper status", "shipper status --json"))
@options.state
@options.json
def command(as_json: bool, **flags: str | None) -> None:
    """Show the shipper's status.

    It is the current or last status of the shipper with this state folder. Exit status 1 if it is not running.
    """
    from ..emit import instrument
    from ..ship import status

    config = settings.load(flags)
    data = status.read(config.state)
    if data is None:
        raise StateError(f"No shipper has run with the state folder {config.state} yet. Start one with `shipper run`.")
    age_s = time.time() - datetime.fromisoformat(data["at"]).timestamp()
    data["running"] = data["state"] not in ("stopped", "stuck") and age_s < status.STALE_S
    data["rq_problems"] = [problem.text for problem in instrument.problems()]
    if as_json:
        click.echo(json_module.dumps(data))
    else:
        _print(data, age_s)
    if not data["running"]:
        raise SystemExit(1)


def _print(data: dict[str, Any], age_s: float) -> None:
    from rich.table import Table
    from rich.text import Text

    console = terminal.console(markup=True)
    how = data["state"]
    if how == "stuck":
        how = f"stuck: its main loop has done nothing for {span(data['pulse_age_s'])}"
    elif not data["running"]:
        how = f"not running (last heard of {span(age_s)} ago)"
    console.print(
        Text.assemble((printable(how), "bold"), f" · process {data['pid']} · to {printable(data['elasticsearch'])}")
    )
    console.print(
        f"{data['indexed']} indexed, {data['duplicates']} there already, {data['dead_letters']} dead letters, "
        f"{data['retries']} retries since {data['started_at']}"
    )
    if not_listening := data.get("not_listening"):
        text = f"no metrics and health at {printable(not_listening)}: what answers there is another process"
        console.print(Text(text, style="red"), soft_wrap=True)
    if waiting := data.get("waiting_bytes"):
        console.print(f"[yellow]{size(waiting)} of documents whose index takes none now[/]")
    if not_indexed := data.get("not_indexed"):
        console.print(f"[yellow]{not_indexed} records were taken and not indexed: by a pipeline or a failure store[/]")
    lag = "" if data["lag_ms"] is None else f", {data['lag_ms']} ms behind its record's time"
    console.print(
        f"{data['records_per_s']:g} records/s, {size(data['bytes_per_s'])}/s{lag}; {size(data['memory_bytes'])} "
        f"of memory; lines are checked in {data.get('checked_in', 'an unknown way')}"
    )
    if data["last_error"]:
        now = f"for {span(data['retrying_s'])}" if data["retrying_s"] else f"last at {data['last_error_at']}"
        console.print(Text.assemble((printable(data["last_error"]), "red"), f" ({now})"), soft_wrap=True)
    for problem in data["rq_problems"]:
        console.print(Text(printable(problem), style="red"), soft_wrap=True)
    table = Table("file", "position", "size", "backlog", "for", box=None, pad_edge=False)
    for file in data["files"]:
        behind = (size(file["backlog_bytes"]), span(file["backlog_age_s"])) if file["backlog_bytes"] else ("-", "")
        table.add_row(Text(printable(file["path"])), str(file["position"]), str(file["size"]), *behind)
    console.print(table)
