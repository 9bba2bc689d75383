"""`shipper run`: tail and ship."""

from __future__ import annotations

from functools import partial

import click

from .. import settings
from ..errors import SettingsError
from . import logs, options


@click.command()
@click.option("--files", metavar="GLOB", help="What to tail, commas between globs (SHIPPER_FILES).")
@options.state
@options.elasticsearch
@options.namespace
@click.option(
    "--format",
    type=click.Choice(["json", "legacy"]),
    help="What is in them: JSON records, or RQ's text logs (SHIPPER_FORMAT).",
)
@click.option("--timezone", metavar="ZONE", help="Of times in text logs that name none (SHIPPER_TIMEZONE).")
@click.option("--once", is_flag=True, help="Ship all there is, then exit.")
@click.option("--stdin", is_flag=True, help="Ship what is piped in, then exit.")
def command(once: bool, stdin: bool, **flags: str | None) -> None:
    """Tail the files and index every line exactly once.

    Runs until SIGTERM or Ctrl-C. While Elasticsearch is away it waits, says so once a minute, and loses nothing.
    """
    from ..ship import daemon

    if once and stdin:
        raise SettingsError(["--once and --stdin exclude each other: a pipe is always read to its end."])
    made = settings.load(flags)
    if made.format == "legacy" and not stdin and made.files == (f"{made.log}*",):
        raise SettingsError(["--format legacy needs --files: which text logs? SHIPPER_LOG has the JSON records."])
    logs.begin(made)
    made_again = partial(settings.load, flags)
    if stdin:
        counts = daemon.run_stream(made)
    elif once:
        counts = daemon.run_once(made)
    else:
        counts = daemon.run(made_again)
    click.echo(
        f"{counts.indexed} records indexed, {counts.duplicates} were there already, {counts.dead} dead letters.",
        err=True,
    )
