"""`shipper import`: old logs, once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from .. import settings
from ..errors import ShipperError
from ..read.timeline import parse_time
from . import logs, options


@click.command(name="import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option(
    "--format", type=click.Choice(["json", "legacy"]), required=True,
    help="json: a record on each line. legacy: RQ's text logs, and task loggers'.",
)  # fmt: skip
@click.option("--since", metavar="TIME", help='Leave out what is before: ISO 8601, an age (90d), "yesterday 14:00".')
@click.option(
    "--timezone", metavar="ZONE", help="Of times in text logs that name none (SHIPPER_TIMEZONE): Europe/Berlin."
)
@options.state
@options.elasticsearch
@options.namespace
def command(files: tuple[Path, ...], since: str | None, **flags: str | None) -> None:
    """Import logs that were written before there was a shipper. They may be compressed (.gz, .bz2, .xz).

    A second import of the same files sends only what is new in them, and what is sent twice is indexed once. Ended with
    Ctrl-C it goes on where it was. In text logs the start and the end of a job are put together.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    from ..ship import importer

    made = settings.load(flags)
    logs.begin(made)
    earliest = parse_time(since, datetime.now(UTC)) if since else None
    console = Console(stderr=True)
    with Progress(
        TextColumn("Importing"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("")
        done = importer.run(made, files, earliest, lambda read, total: bar.update(task, completed=read, total=total))
    counts = done.counts
    skipped = f", {done.skipped} left out (before {since})" if since else ""
    click.echo(
        f"{counts.indexed} records indexed, {counts.duplicates} were there already, "
        f"{counts.dead} dead letters{skipped}.",
        err=True,
    )
    if counts.dead:
        click.echo(f"See them: shipper deadletter list --state {made.state / importer.FOLDER}", err=True)
    if done.stopped:
        raise ShipperError("Ended before all was imported. The same command goes on from there.")
