"""`shipper doctor`: what is wrong with this installation, and what to do about it."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from .. import settings
from ..printable import printable, printable_json
from . import options, terminal

if TYPE_CHECKING:
    from ..doctor.finding import Report

_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@click.command(epilog=options.examples("shipper doctor", "shipper doctor --json"))
@options.state
@options.elasticsearch
@options.namespace
@options.redis
@click.option("--kibana", metavar="URL", help="Also check the objects in this Kibana (SHIPPER_KIBANA).")
@options.json
def command(as_json: bool, **flags: str | None) -> None:
    """Find what is wrong, and say what to do about it.

    Checks settings, folders and accounts, disks, clocks, RQ, the module in C, the shipper and its backlog, Redis, who
    works on which queue, Elasticsearch with its templates, privileges, shards and disks, Kibana's objects, and jobs
    without a user or customer. Nothing is changed or unpickled, and no secret is shown. Run it as the account, and with
    the settings, of the process that does not do what it should.

    Exit status: 0 if there are only notes, 1 if there is a warning or an error, 2 for a wrong flag.
    """
    settings.load(flags, {settings.CONFIG_VARIABLE: os.devnull})  # raises SettingsError, of the flags alone
    problems: list[str] = []
    config = settings.load(flags, complain=problems.append)
    from ..doctor.examination import examine

    report = examine(config, problems)
    if as_json:
        click.echo(printable_json(_content(report), indent=True), nl=False)
    else:
        _print(report)
    if not report.is_well:
        sys.exit(1)


def _content(report: Report) -> dict[str, object]:
    return {
        "status": "ok" if report.is_well else "findings",
        "findings": [asdict(one) for one in report.findings],
        "checked": list(report.checked),
        "not_checked": dict(report.not_checked),
    }


def _print(report: Report) -> None:
    from rich.text import Text

    console = terminal.console()
    for one in report.findings:
        head = Text.assemble((one.severity, _STYLES[one.severity]), f"  {one.subject}: {printable(one.what)}")
        console.print(head, soft_wrap=not console.is_terminal)
        console.print(Text(f"         {printable(one.do)}", style="dim"), soft_wrap=not console.is_terminal)
    for subject, why in report.not_checked.items():
        console.print(Text(f"not checked: {subject}. {printable(why)}", style="dim"), soft_wrap=not console.is_terminal)
    well = [name for name in report.checked if name not in {one.subject for one in report.findings}]
    if well:
        console.print(Text.assemble(("good", "green"), f"  {', '.join(well)}"), soft_wrap=not console.is_terminal)
