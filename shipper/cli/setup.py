"""`shipper setup`: install index templates, roles and API keys, and Kibana's dashboards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from .. import settings
from ..errors import DestinationError, SettingsError
from ..settings import Settings
from . import logs, options


@click.command(
    epilog=options.examples("shipper setup --dry-run", "shipper setup --kibana https://kibana.example:5601 --rules")
)
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
@click.option(
    "--wait",
    "wait_s",
    type=click.IntRange(0),
    default=0,
    metavar="SECONDS",
    help="Wait so long for Elasticsearch, and then for Kibana, to be reachable.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
def command(rules: bool, roles: bool, keys: Path | None, wait_s: int, dry_run: bool, **flags: str | None) -> None:
    """Install index templates and Kibana dashboards.

    Also aliases, the ingest pipeline, data views and saved searches. Repeatable: our objects in Kibana are reset,
    existing alert rules are kept. Kibana's credentials are SHIPPER_KIBANA_API_KEY, or SHIPPER_KIBANA_USERNAME and
    SHIPPER_KIBANA_PASSWORD.
    """
    from .. import client
    from ..index import conformity, setup

    config = settings.load(flags)
    if not config.kibana and (rules or flags["kibana_space"]):
        raise SettingsError(["--rules and --space are about Kibana: say with --kibana where it is."])
    logs.begin(config)
    with client.connect(config) as cluster:
        changes = client.patiently(lambda: setup.plan(cluster, config), wait_s)
        for change in changes:
            click.echo(str(change))
        if not dry_run:
            setup.apply(cluster, changes)
            setup.update_state_mapping(cluster, config)
            setup.attach_policies(cluster, config)
        _warn_of_doubled(setup.doubled(cluster, config), config)
        for deviation in conformity.deviations_by(cluster, config):
            click.echo(f"warning: {deviation}", err=True)
    if roles and dry_run:
        _print_roles(config)
    elif roles:
        _make_roles(config, keys or config.state / "keys")
    if config.kibana:
        from ..index import kibana

        client.patiently(lambda: kibana.check(config), wait_s)
        for line in _of_kibana(config, rules=rules, dry_run=dry_run):
            click.echo(line)
    if dry_run:
        click.echo("Nothing was changed (--dry-run).")


def _create_first_indices(config: Settings) -> None:
    """Create the indices that Kibana's data views need; without the privilege the pages work once records arrive."""
    from .. import client
    from ..index import setup

    try:
        with client.connect(config) as cluster:
            for name in setup.create_first_indices(cluster, config, datetime.now(UTC)):
                click.echo(f"create empty index {name}")
    except DestinationError as error:
        click.echo(
            f"warning: Kibana's pages show errors until there are records of all kinds, as empty indices could not be "
            f"created: {error}",
            err=True,
        )


def _of_kibana(config: Settings, *, rules: bool, dry_run: bool) -> Iterator[str]:
    from ..index import kibana

    if dry_run:
        return kibana.planned(config, rules=rules)
    _create_first_indices(config)
    return kibana.install(config, rules=rules, names=_names(config))


def _names(config: Settings) -> Mapping[str, Sequence[str]] | None:
    """The names that Kibana's panels store a colour for; None if they cannot be read: the panels work all the same."""
    from .. import client
    from ..index import name_colours

    try:
        with client.connect_reader(config) as elasticsearch:
            return name_colours.found(elasticsearch, config)
    except DestinationError as error:
        click.echo(f"warning: Queues and releases have no colours of their own in Kibana: {error}", err=True)
        return None


def _warn_of_doubled(indices: list[str], config: Settings) -> None:
    if indices:
        click.echo(
            f"warning: {len(indices)} indices, such as {indices[0]}, hold records that go elsewhere by "
            f"SHIPPER_INDEX_PERIOD={config.index_period}. A line that is read again will be there twice. "
            f"Name a month that has not begun as the first one: month since 2027-01.",
            err=True,
        )


def _print_roles(config: Settings) -> None:
    from ..index import roles

    for role in roles.wanted(config):
        click.echo(f"role   {role.name}: {role.description}")


def _make_roles(made: Settings, folder: Path) -> None:
    from .. import client
    from ..index import roles

    with client.connect_reader(made) as elasticsearch:
        for role, file, is_new in roles.apply(elasticsearch, made, folder):
            click.echo(f"role   {role.name}: {role.description}")
            click.echo(f"  key  {file}{'' if is_new else ' (was there already)'}")
