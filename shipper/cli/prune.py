"""`shipper prune`: delete indices past their retention."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

import click

from .. import settings
from ..errors import DestinationError
from ..settings import Settings
from . import logs, options

log = logging.getLogger("shipper")

DAY_S = 86_400.0
RETRY_S = 3600.0  # after a failure


@click.command(epilog=options.examples("shipper prune --dry-run", "SHIPPER_RETENTION=job=30,app=7 shipper prune"))
@options.elasticsearch
@options.namespace
@click.option("--dry-run", is_flag=True, help="Only show what would be deleted.")
@click.option("--daily", is_flag=True, help="Stay, and repeat it every day. Failures are logged.")
def command(dry_run: bool, daily: bool, **flags: str | None) -> None:
    """Delete what is past its retention.

    The setting `retention` has the days for each dataset.
    """
    from .. import client
    from ..index import retention

    config = settings.load(flags)
    if daily:
        logs.begin(config)
        while True:
            time.sleep(DAY_S if _prune_and_log(client.with_current_credentials(config)) else RETRY_S)
    with client.connect(config) as cluster:
        past = retention.prune(cluster, config, datetime.now(UTC), dry_run=dry_run)
    for name in past:
        click.echo(f"{'would delete' if dry_run else 'deleted'} {name}")
    if not past:
        kept = ", ".join(f"{name} {days}" for name, days in config.retention.items())
        click.echo(f"No index is past its days ({kept}).")


def _prune_and_log(config: Settings) -> bool:
    """Whether it succeeded."""
    from .. import client
    from ..index import retention

    try:
        with client.connect(config) as cluster:
            past = retention.prune(cluster, config, datetime.now(UTC))
    except DestinationError as error:
        log.warning(
            "Old indices could not be deleted: %s Trying again in %.0f minutes.",
            error,
            RETRY_S / 60,
            extra={"event.action": "prune-failed"},
        )
        return False
    for name in past:
        log.info("Deleted %s: its period is past.", name, extra={"event.action": "index-pruned"})
    if not past:
        log.info("No index is past its days.", extra={"event.action": "pruned"})
    return True
