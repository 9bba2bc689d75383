"""`shipper run`: the daemon."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from .. import settings
from ..errors import SettingsError
from ..settings import Settings
from . import logs, options

if TYPE_CHECKING:
    from ..audit.writer import Trail


@click.command(
    epilog=options.examples(
        "shipper run --elasticsearch https://search.example:9200", "shipper run --files '/var/log/shop/*.jsonl' --once"
    )
)
@click.option("--files", metavar="GLOB", help="Globs of the files to tail, separated by commas (SHIPPER_FILES).")
@click.option(
    "--trusted-files",
    metavar="GLOB",
    help="Globs of files that may hold records of jobs, beside SHIPPER_LOG (SHIPPER_TRUSTED_FILES).",
)
@options.state
@options.elasticsearch
@options.namespace
@click.option(
    "--format",
    type=click.Choice(["json", "legacy"]),
    help="The format of the files: JSON records, or RQ's text logs (SHIPPER_FORMAT).",
)
@click.option("--timezone", metavar="ZONE", help="The zone of times without one in text logs (SHIPPER_TIMEZONE).")
@click.option("--once", is_flag=True, help="Ship what the files have now, then exit.")
@click.option("--stdin", is_flag=True, help="Ship standard input, then exit.")
def command(once: bool, stdin: bool, **flags: str | None) -> None:
    """Tail the files, and index every line exactly once.

    Runs until SIGTERM or Ctrl-C. While Elasticsearch is not available it retries, logs that once a minute, and loses
    nothing.
    """
    from ..ship import daemon

    if once and stdin:
        raise SettingsError(["--once and --stdin exclude each other: a pipe is always read to its end."])
    config = settings.load(flags)
    if config.format == "legacy" and not stdin and config.files == (f"{config.log}*",):
        raise SettingsError(["--format legacy needs --files: which text logs? SHIPPER_LOG has the JSON records."])
    from ..audit.seals import Kind

    logs.begin(config)
    reload_settings = partial(settings.load, flags)
    if stdin:
        from ..ship.stdin import run_stream

        counts = run_stream(config)
    elif once:
        _seals_of(config).seal(Kind())
        counts = daemon.run_once(config)
    else:
        counts = daemon.run(reload_settings, _sealing)
    click.echo(
        f"{counts.indexed} records indexed, {counts.duplicates} were there already, {counts.dead} dead letters.",
        err=True,
    )


def _seals_of(config: Settings) -> Trail:
    """What seals the audit chain of the log. It creates nothing: the log has to belong to those who write it."""
    from ..audit.writer import Trail

    return Trail(config, create=False)


def _sealing(config: Settings) -> Callable[[bool], bool]:
    from ..audit.seals import Kind
    from ..records import SEAL_EVERY_S

    trail, going_on = _seals_of(config), Kind(next_s=SEAL_EVERY_S)
    return lambda closing: trail.seal(Kind(closing=True) if closing else going_on)
