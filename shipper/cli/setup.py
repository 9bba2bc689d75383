"""`shipper setup`: install the index templates."""

from __future__ import annotations

import click

from .. import client, settings
from ..index import setup
from . import options


@click.command()
@options.elasticsearch
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def command(dry_run: bool, **flags: str | None) -> None:
    """Install the index templates and aliases. Doing it again changes nothing."""
    made = settings.load(flags)
    with client.connect(made) as elasticsearch:
        changes = setup.plan(elasticsearch, made)
        for change in changes:
            click.echo(str(change))
        if dry_run:
            click.echo("Nothing was changed (--dry-run).")
        else:
            setup.apply(elasticsearch, made, changes)
