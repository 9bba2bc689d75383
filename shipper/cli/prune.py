"""`shipper prune`: delete indices past their retention."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from .. import settings
from ..errors import DestinationError, ShipperError
from ..settings import Settings
from . import logs, options, progress

if TYPE_CHECKING:
    from ..client import Cluster

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

    Indices whose days are over, and the states of jobs that ended so long ago. The setting `retention` has the days for
    each dataset, and for states. With `SHIPPER_LIFECYCLE=ilm`, only the states: Elasticsearch deletes the indices.
    """
    from .. import client
    from ..index import state_retention

    config = settings.load(flags)
    if daily:
        logs.begin(config)
        while True:
            time.sleep(DAY_S if _prune_and_log(client.with_current_credentials(config)) else RETRY_S)
    now, verb = datetime.now(UTC), "would delete" if dry_run else "deleted"
    with client.connect(config) as cluster:
        past = _prune_indices(cluster, config, now, dry_run=dry_run)
        for name in past:
            click.echo(f"{verb} {name}")
        states = state_retention.count(cluster, config, now) if dry_run else _prune_states(cluster, config, now)
    if states:
        click.echo(f"{verb} {states} states of jobs that ended more than {config.retention['state']} days ago")
    if config.lifecycle == "ilm":
        click.echo("Elasticsearch's ILM deletes the indices (SHIPPER_LIFECYCLE=ilm).")
    elif not past and not states:
        kept = ", ".join(f"{name} {days}" for name, days in config.retention.items())
        click.echo(f"No index is past its days ({kept}).")


def _prune_indices(cluster: Cluster, config: Settings, now: datetime, *, dry_run: bool) -> list[str]:
    """Delete the indices, with a bar on a terminal."""
    from ..index import retention

    try:
        with progress.bar("Deleting indices") as moved:
            return retention.prune(cluster, config, now, moved, dry_run=dry_run)
    except KeyboardInterrupt:
        raise ShipperError("Interrupted. The same command goes on with the rest.") from None


def _prune_states(cluster: Cluster, config: Settings, now: datetime) -> int:
    """Delete the ended states, with a bar on a terminal. Ctrl-C ends only the waiting."""
    from ..index import state_retention

    task = state_retention.begin(cluster, config, now)
    try:
        with progress.bar("Deleting states") as moved:
            return state_retention.wait(cluster, task, moved)
    except KeyboardInterrupt:
        raise ShipperError("Interrupted. Elasticsearch goes on deleting the states by itself.") from None


def _prune_and_log(config: Settings) -> bool:
    """Whether it succeeded."""
    from .. import client
    from ..index import retention, state_retention

    try:
        with client.connect(config) as cluster:
            past = retention.prune(cluster, config, datetime.now(UTC))
            for name in past:
                log.info("Deleted %s: its period is past.", name, extra={"event.action": "index-pruned"})
            states = state_retention.wait(cluster, state_retention.begin(cluster, config, datetime.now(UTC)))
    except DestinationError as error:
        log.warning(
            "Not all that is past its retention could be deleted: %s Trying again in %.0f minutes.",
            error,
            RETRY_S / 60,
            extra={"event.action": "prune-failed"},
        )
        return False
    if states:
        log.info("Deleted %d states of jobs that ended long ago.", states, extra={"event.action": "states-pruned"})
    if not past:
        log.info("No index is past its days.", extra={"event.action": "pruned"})
    return True
