"""`shipper setup`: install the index templates, and what Kibana shows."""

from __future__ import annotations

import click

from .. import client, settings
from ..errors import SettingsError
from ..index import setup
from . import options


@click.command()
@options.elasticsearch
@click.option("--kibana", metavar="URL", help="Install the dashboards there, too (SHIPPER_KIBANA).")
@click.option("--space", "kibana_space", metavar="NAME", help="Kibana's space for them (SHIPPER_KIBANA_SPACE).")
@click.option("--rules", is_flag=True, help="Create the alert rules, too.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def command(rules: bool, dry_run: bool, **flags: str | None) -> None:
    """Install the index templates and aliases, and in Kibana the data views, saved searches and dashboards.

    Doing it again changes nothing: objects of ours in Kibana become what they were, alert rules that are there are
    left alone. Kibana's credentials are SHIPPER_KIBANA_API_KEY, or SHIPPER_KIBANA_USERNAME and SHIPPER_KIBANA_PASSWORD.
    """
    made = settings.load(flags)
    if not made.kibana and (rules or flags["kibana_space"]):
        raise SettingsError(["--rules and --space are about Kibana: say with --kibana where it is."])
    with client.connect(made) as elasticsearch:
        changes = setup.plan(elasticsearch, made)
        for change in changes:
            click.echo(str(change))
        if not dry_run:
            setup.apply(elasticsearch, made, changes)
            setup.widen_states(elasticsearch, made)
    if made.kibana:
        from ..index import kibana

        for line in (kibana.planned if dry_run else kibana.install)(made, rules=rules):
            click.echo(line)
    if dry_run:
        click.echo("Nothing was changed (--dry-run).")
