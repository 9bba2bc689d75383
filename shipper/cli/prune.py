"""`shipper prune`: delete indices past their retention."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from .. import client, settings
from ..index import retention
from . import options


@click.command()
@options.elasticsearch
@options.namespace
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
def command(dry_run: bool, **flags: str | None) -> None:
    """Delete indices past their retention.

    The setting `retention` has the days for each dataset.
    """
    config = settings.load(flags)
    with client.connect(config) as cluster:
        past = retention.prune(cluster, config, datetime.now(UTC), dry_run=dry_run)
    for name in past:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {name}")
    if not past:
        kept = ", ".join(f"{name} {days}" for name, days in config.retention.items())
        click.echo(f"No index is past its days ({kept}).")
