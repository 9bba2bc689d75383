"""`shipper timeline`: show records in order."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import fields, settings
from ..errors import ShipperError
from ..printable import printable, printable_json
from ..read.entry import entry
from ..records import Record
from . import options

if TYPE_CHECKING:
    from rich.text import Text

_COLOURS = {"success": "green", "failure": "red"}


@click.command(
    epilog=options.examples(
        "shipper timeline --customer 42 --since 2h",
        "shipper timeline --user ann --since 'yesterday 14:00' --html day.html",
        "shipper timeline --follow",
    )
)
@options.filters(default_since="24h")
@options.elasticsearch
@options.namespace
@options.json
@click.option("--follow", "-f", is_flag=True, help="Also show new records as they are indexed, until Ctrl-C.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a self-contained HTML page, grouped by request and job, with a chart.",
)
def command(
    as_json: bool,
    follow: bool,
    html: Path | None,
    since: str,
    until: str | None,
    elasticsearch: str | None,
    namespace: str | None,
    **restrictions: Any,
) -> None:
    """Show records in order, oldest first.

    Audit records, job records and application logs are on one timeline.
    """
    if html and (follow or as_json):
        raise click.UsageError("--html excludes --follow and --json: a page has an end.")
    from .. import client
    from ..read import timeline

    config = settings.load({"elasticsearch": elasticsearch, "namespace": namespace})
    criteria = options.query_from(since, until, **restrictions)
    with client.connect_reader(config) as search:
        if html:
            _write_page(html, timeline.query(search, config, criteria), _title(restrictions, since, until))
            return
        records = (timeline.follow if follow else timeline.query)(search, config, criteria)
        try:
            _print(records, as_json=as_json)
        except KeyboardInterrupt:
            return


def _title(restrictions: dict[str, Any], since: str, until: str | None) -> str:
    given = {name: value for name, value in restrictions.items() if value}
    shown = ", ".join(
        f"{name} {', '.join(f'{k}={v}' for k, v in value.items()) if isinstance(value, dict) else value}"
        for name, value in given.items()
    )
    return f"Timeline of {shown or 'everything'}, since {since}{f' until {until}' if until else ''}"


def _write_page(file: Path, records: Iterator[Record], title: str) -> None:
    """Write the page with mode 0600, also over a file of another mode, as it contains personal data."""
    from ..read.page import render

    page = render(records, title)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as out:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.fchmod(descriptor, 0o600)  # it may have been there, with another mode
            out.write(page)
    except OSError as error:
        raise ShipperError(f"The page cannot be written to {file}: {error.strerror}.") from error
    click.echo(f"The page is {file}.", err=True)


def _print(records: Iterator[Record], *, as_json: bool) -> None:
    if as_json:
        for record in records:
            sys.stdout.buffer.write(printable_json(record))
            sys.stdout.buffer.flush()
        return
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    first = next(records, None)
    if first is None:
        console.print("No records. A wider --since, or another filter, may find some.", style="dim")
        return
    for record in chain([first], records):
        console.print(line(record))


def line(record: Record) -> Text:
    """A record as one line: time, action, queue, message."""
    from rich.text import Text

    one = entry(record)
    queue = fields.text(record, "messaging", "destination", "name") or ""
    text = Text(f"{one.at:%Y-%m-%d %H:%M:%S}.{one.at.microsecond // 1000:03}", style="dim")
    text.append(f"  {printable(one.action or one.dataset):14}", style=_COLOURS.get(one.outcome or "", "default"))
    text.append(f"  {printable(queue):10}  ", style="cyan")
    text.append(printable(one.message.split("\n", 1)[0]), style="default")
    return text
