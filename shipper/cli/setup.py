"""`shipper setup`: install index templates, roles and API keys, and Kibana's dashboards."""

from __future__ import annotations

from pathlib import Path

import click
from elasticsearch import Elasticsearch

from .. import client, settings
from ..errors import SettingsError
from ..index import roles as index_roles
from ..index import setup
from ..settings import Settings
from . import options


@click.command()
@options.elasticsearch
@click.option("--kibana", metavar="URL", help="Also install the dashboards in this Kibana (SHIPPER_KIBANA).")
@click.option("--space", "kibana_space", metavar="NAME", help="The Kibana space for them (SHIPPER_KIBANA_SPACE).")
@click.option("--rules", is_flag=True, help="Also create the alert rules in Kibana.")
@click.option("--roles", is_flag=True, help="Also create roles of least privilege, and an API key for each.")
@click.option(
    "--keys",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="The folder for the API keys, one file of mode 0600 each. Default: keys/ in the state folder.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
def command(rules: bool, roles: bool, keys: Path | None, dry_run: bool, **flags: str | None) -> None:
    """Install index templates and Kibana dashboards.

    Also aliases, the ingest pipeline, data views and saved searches. Repeatable: our objects in Kibana are reset,
    existing alert rules are kept. Kibana's credentials are SHIPPER_KIBANA_API_KEY, or SHIPPER_KIBANA_USERNAME and
    SHIPPER_KIBANA_PASSWORD.
    """
    config = settings.load(flags)
    if not config.kibana and (rules or flags["kibana_space"]):
        raise SettingsError(["--rules and --space are about Kibana: say with --kibana where it is."])
    with client.connect(config) as elasticsearch:
        changes = setup.plan(elasticsearch, config)
        for change in changes:
            click.echo(str(change))
        if dry_run:
            for role in index_roles.wanted(config) if roles else []:
                click.echo(f"role   {role.name}: {role.description}")
        else:
            setup.apply(elasticsearch, config, changes)
            setup.update_state_mapping(elasticsearch, config)
            if roles:
                _make_roles(elasticsearch, config, keys or config.state / "keys")
    if config.kibana:
        from ..index import kibana

        for line in (kibana.planned if dry_run else kibana.install)(config, rules=rules):
            click.echo(line)
    if dry_run:
        click.echo("Nothing was changed (--dry-run).")


def _make_roles(elasticsearch: Elasticsearch, config: Settings, folder: Path) -> None:
    for role, file, is_new in index_roles.apply(elasticsearch, config, folder):
        click.echo(f"role   {role.name}: {role.description}")
        click.echo(f"  key  {file}{'' if is_new else ' (was there already)'}")
