"""`python -m compose`: what the services `secrets` and `setup` of docker-compose.yml run."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
from redis import Redis, RedisError

from shipper import settings
from shipper.cli import logs
from shipper.errors import ShipperError
from shipper.settings import Settings

from . import credentials as store
from . import folders, server
from .credentials import Credentials

WAIT_S = 600.0  # for Elasticsearch: a minute where it is alone, ten times that on a busy machine

_root = click.option(
    "--keys",
    "root",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/keys"),
    show_default=True,
    help="The folder with a folder of credentials for each service.",
)


@click.group()
def cli() -> None:
    """Make, show and renew the credentials of docker-compose.yml's services."""


@cli.command()
@_root
def secrets(root: Path) -> None:
    """Make passwords and certificates that are missing, and renew certificates that end soon."""
    folders.prepare(root)
    credentials = store.load(root)
    made = store.complete(credentials)
    store.save(root, credentials)
    _write(root, credentials)
    _say("made", made)


@cli.command()
@_root
def setup(root: Path) -> None:
    """Install templates, roles and API keys, as soon as Elasticsearch is there."""
    config, credentials = _opened(root)
    administrator = server.wait(config, credentials, WAIT_S)
    made = server.make_all(administrator, credentials, root)
    store.save(root, credentials)
    _write(root, credentials)
    _say("made", made)
    if made:
        click.echo("How to log in: docker compose run --rm --no-deps setup login")


@cli.command()
@_root
def login(root: Path) -> None:
    """Show how to log in, with passwords: to a terminal, not into the log of a service."""
    config, credentials = _opened(root)
    click.echo(f"Kibana         {config.kibana_public_url or 'docker compose port kibana 5601'}")
    click.echo(f"  to look      user {server.READER}, password {credentials.passwords[server.READER]}")
    click.echo(f"  to change    user {server.ADMINISTRATOR}, password {credentials.passwords[server.ADMINISTRATOR]}")
    click.echo("Elasticsearch  https, the same users; its authority: docker compose exec watch cat /run/keys/ca.crt")
    click.echo(f"Redis          {store.redis_url(credentials)}")


@cli.command()
@_root
def rotate(root: Path) -> None:
    """Renew passwords, API keys, Kibana's token and the servers' certificates; the old ones become worthless.

    The certificate authority, the audit key and Kibana's encryption keys stay, as what was made with them has to be
    read. Redis takes the old password, too, until it is started again: running jobs have to end. So the services take
    the new ones with: docker compose stop && docker compose up --wait
    """
    config, credentials = _opened(root)
    administrator = server.wait(config, credentials, WAIT_S)
    credentials.new_password = store.password()
    store.save(root, credentials)  # before it is changed: after a crash one of the two is right
    server.set_administrator(administrator, credentials.new_password)
    credentials.passwords[server.ADMINISTRATOR], credentials.new_password = credentials.new_password, ""
    old_redis = store.redis_url(credentials)
    credentials.passwords.pop("redis")
    credentials.passwords.pop(server.READER)
    credentials.certificates.clear()
    credentials.kibana_token = ""
    store.complete(credentials)
    store.save(root, credentials)
    administrator = replace(administrator, password=credentials.passwords[server.ADMINISTRATOR])
    server.change_reader(administrator, credentials.passwords[server.READER])
    old = server.forget_keys(root)
    server.make_all(administrator, credentials, root)
    store.save(root, credentials)
    _write(root, credentials)
    _tell_redis(old_redis, credentials.passwords["redis"])
    server.revoke(administrator, old, [credentials.kibana_token])
    click.echo("All credentials are new. The services take them with: docker compose stop && docker compose up --wait")


def _tell_redis(url: str, password: str) -> None:
    """Make a running Redis take the new password beside the old one. When it starts, it reads its file."""
    try:
        with Redis.from_url(url) as redis:
            redis.acl_setuser("default", enabled=True, passwords=[f"+{password}"], keys=["*"], commands=["+@all"])
    except RedisError as error:
        click.echo(f"Redis was not told ({error}): it takes the new password when it starts.", err=True)


def _opened(root: Path) -> tuple[Settings, Credentials]:
    config, credentials = settings.load(), store.load(root)
    logs.begin(config)
    if not credentials.passwords:
        raise ShipperError(f"There are no credentials in {root} yet: docker compose up secrets")
    return replace(config, ca_file=root / "elasticsearch/ca.crt"), credentials


def _write(root: Path, credentials: Credentials) -> None:
    for file in store.files(credentials, server.api_keys(settings.load(), root)):
        folders.write(root, file)


def _say(what: str, made: list[str]) -> None:
    click.echo(f"{what} {', '.join(made)}" if made else "nothing was missing")


if __name__ == "__main__":
    try:
        cli(prog_name="python -m compose")
    except ShipperError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
