"""`shipper setup`: the index templates, the roles and keys that work with them, and what Kibana shows."""

from __future__ import annotations

from pathlib import Path

import click

from .. import client, settings
from ..errors import SettingsError
from ..index import setup
from ..settings import Settings
from . import options


@click.command()
@options.elasticsearch
@click.option("--kibana", metavar="URL", help="Install the dashboards there, too (SHIPPER_KIBANA).")
@click.option("--space", "kibana_space", metavar="NAME", help="Kibana's space for them (SHIPPER_KIBANA_SPACE).")
@click.option("--rules", is_flag=True, help="Create the alert rules, too.")
@click.option("--roles", is_flag=True, help="Also make roles of least privilege, and an API key for each.")
@click.option(
    "--keys", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
    help="Where the keys go, each to a file of mode 0600. Default: keys/ in the state folder.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def command(rules: bool, roles: bool, keys: Path | None, dry_run: bool, **flags: str | None) -> None:
    """Install the index templates and aliases, and in Kibana the data views, saved searches and dashboards.

    Doing it again changes nothing: objects of ours in Kibana become what they were, alert rules that are there are
    left alone. Kibana's credentials are SHIPPER_KIBANA_API_KEY, or SHIPPER_KIBANA_USERNAME and SHIPPER_KIBANA_PASSWORD.
    """
    made = settings.load(flags)
    if not made.kibana and (rules or flags["kibana_space"]):
        raise SettingsError(["--rules and --space are about Kibana: say with --kibana where it is."])
    with client.connect(made) as cluster:
        changes = setup.plan(cluster, made)
        for change in changes:
            click.echo(str(change))
        if dry_run:
            if roles:
                _say_roles(made)
        else:
            setup.apply(cluster, made, changes)
            setup.widen_states(cluster, made)
            if roles:
                _make_roles(made, keys or made.state / "keys")
    if made.kibana:
        from ..index import kibana

        for line in (kibana.planned if dry_run else kibana.install)(made, rules=rules):
            click.echo(line)
    if dry_run:
        click.echo("Nothing was changed (--dry-run).")


def _say_roles(made: Settings) -> None:
    from ..index import roles

    for role in roles.wanted(made):
        click.echo(f"role   {role.name}: {role.description}")


def _make_roles(made: Settings, folder: Path) -> None:
    from ..index import roles

    with client.connect_reader(made) as elasticsearch:
        for role, file, is_new in roles.apply(elasticsearch, made, folder):
            click.echo(f"role   {role.name}: {role.description}")
            click.echo(f"  key  {file}{'' if is_new else ' (was there already)'}")
