"""`shipper import`: ship old logs once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from .. import settings
from ..errors import ShipperError
from ..read.clock import Clock
from . import logs, options, progress


@click.command(
    name="import", epilog=options.examples("shipper import --format legacy --timezone Europe/Berlin /var/log/rq/*.log")
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option(
    "--format",
    type=click.Choice(["json", "legacy"]),
    required=True,
    help="json: one JSON object per line. legacy: text logs of RQ and of task loggers.",
)
@click.option("--since", metavar="TIME", help='Skip older records: ISO 8601, an age (90d), or "yesterday 14:00".')
@click.option(
    "--timezone", metavar="ZONE", help="The zone of times without one in text logs (SHIPPER_TIMEZONE): Europe/Berlin."
)
@click.option(
    "--past-days",
    metavar="DAYS",
    help="Import records of up to this age (SHIPPER_PAST_DAYS, 730). Older ones become dead letters.",
)
@options.state
@options.elasticsearch
@options.namespace
@options.utc
def command(files: tuple[Path, ...], since: str | None, utc: bool, **flags: str | None) -> None:
    """Import old logs, once.

    The files may be compressed (.gz, .bz2, .xz). A second import of the same files ships only new lines, and
    nothing is indexed twice. After Ctrl-C, the same command continues. In text logs, the start and end of a job are
    combined.
    """
    from ..read.timeline import parse_time
    from ..ship import importer

    config = settings.load(flags)
    logs.begin(config)
    earliest = parse_time(since, datetime.now(UTC), Clock.of(utc).zone) if since else None
    with progress.bar("Importing") as moved:
        result = importer.run(config, files, earliest, moved)
    counts = result.counts
    skipped = f", {result.skipped} left out (before {since})" if since else ""
    click.echo(
        f"{counts.indexed} records indexed, {counts.duplicates} were there already, "
        f"{counts.dead} dead letters{skipped}.",
        err=True,
    )
    if counts.dead:
        click.echo(f"See them: shipper deadletter list --state {config.state / importer.FOLDER}", err=True)
        click.echo(
            f"If they are older than {config.past_days} days: replay them, and import, with --past-days or "
            "SHIPPER_PAST_DAYS.",
            err=True,
        )
    if result.stopped:
        raise ShipperError("Ended before all was imported. The same command goes on from there.")
