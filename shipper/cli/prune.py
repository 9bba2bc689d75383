"""`shipper prune`: retention."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from .. import client, settings
from ..index import retention
from . import options


@click.command()
@options.elasticsearch
@options.namespace
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def command(dry_run: bool, **flags: str | None) -> None:
    """Delete the indices whose period is past (the setting `retention`, in days for each dataset)."""
    made = settings.load(flags)
    with client.connect(made) as cluster:
        past = retention.prune(cluster, made, datetime.now(UTC), dry_run=dry_run)
    for name in past:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {name}")
    if not past:
        kept = ", ".join(f"{name} {days}" for name, days in made.retention.items())
        click.echo(f"No index is past its days ({kept}).")
