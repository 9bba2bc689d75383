"""`shipper status`: how far each file is, and what is wrong."""

from __future__ import annotations

import json as json_module
import time
from datetime import datetime
from typing import Any

import click

from .. import settings
from ..errors import StateError
from . import options


@click.command()
@options.state
@options.json
def command(as_json: bool, **flags: str | None) -> None:
    """What the shipper of this state folder does now, or did last. Exit status 1 if it does not run."""
    from ..emit import instrument
    from ..ship import status

    made = settings.load(flags)
    found = status.read(made.state)
    if found is None:
        raise StateError(f"No shipper has run with the state folder {made.state} yet. Start one with `shipper run`.")
    age_s = time.time() - datetime.fromisoformat(found["at"]).timestamp()
    found["running"] = found["state"] != "stopped" and age_s < status.STALE_S
    found["rq_problems"] = [problem.text for problem in instrument.problems()]
    if as_json:
        click.echo(json_module.dumps(found))
    else:
        _print(found, age_s)
    if not found["running"]:
        raise SystemExit(1)


def _print(found: dict[str, Any], age_s: float) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    how = found["state"] if found["running"] else f"not running (last heard of {_span(age_s)} ago)"
    console.print(f"[bold]{how}[/] · process {found['pid']} · to {found['elasticsearch']}")
    console.print(
        f"{found['indexed']} indexed, {found['duplicates']} there already, {found['dead_letters']} dead letters, "
        f"{found['retries']} retries since {found['started_at']}"
    )
    lag = "" if found["lag_ms"] is None else f", {found['lag_ms']} ms behind its record's time"
    console.print(
        f"{found['records_per_s']:g} records/s, {_bytes(found['bytes_per_s'])}/s{lag}; {_bytes(found['memory_bytes'])} "
        f"of memory; lines are checked in {found.get('checked_in', 'an unknown way')}"
    )
    if found["last_error"]:
        now = f"for {_span(found['retrying_s'])}" if found["retrying_s"] else f"last at {found['last_error_at']}"
        console.print(f"[red]{found['last_error']}[/] ({now})", soft_wrap=True)
    for problem in found["rq_problems"]:
        console.print(f"[red]{escape(problem)}[/]", soft_wrap=True)
    table = Table("file", "position", "size", "backlog", "for", box=None, pad_edge=False)
    for file in found["files"]:
        behind = (_bytes(file["backlog_bytes"]), _span(file["backlog_age_s"])) if file["backlog_bytes"] else ("-", "")
        table.add_row(file["path"], str(file["position"]), str(file["size"]), *behind)
    console.print(table)


def _bytes(number: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number:.0f} {unit}"
        number /= 1024
    return f"{number:.1f} GiB"


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
