"""`shipper setup`: install the index templates, and the roles and keys that work with them."""

from __future__ import annotations

from pathlib import Path

import click
from elasticsearch import Elasticsearch

from .. import client, settings
from ..index import roles as index_roles
from ..index import setup
from ..settings import Settings
from . import options


@click.command()
@options.elasticsearch
@options.namespace
@click.option("--roles", is_flag=True, help="Also make roles of least privilege, and an API key for each.")
@click.option(
    "--keys", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Where the keys go, each to a file of mode 0600. Default: keys/ in the state folder.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def command(roles: bool, keys: Path | None, dry_run: bool, **flags: str | None) -> None:
    """Install the index templates and aliases. Doing it again changes nothing."""
    made = settings.load(flags)
    with client.connect(made) as elasticsearch:
        changes = setup.plan(elasticsearch, made)
        for change in changes:
            click.echo(str(change))
        if dry_run:
            for role in index_roles.wanted(made) if roles else []:
                click.echo(f"role   {role.name}: {role.description}")
            click.echo("Nothing was changed (--dry-run).")
            return
        setup.apply(elasticsearch, made, changes)
        if roles:
            _make_roles(elasticsearch, made, keys or made.state / "keys")


def _make_roles(elasticsearch: Elasticsearch, made: Settings, folder: Path) -> None:
    for role, file, is_new in index_roles.apply(elasticsearch, made, folder):
        click.echo(f"role   {role.name}: {role.description}")
        click.echo(f"  key  {file}{'' if is_new else ' (was there already)'}")
