"""`shipper watch`: what no process is left to tell."""

from __future__ import annotations

import time
from datetime import timedelta

import click
from redis import Redis, RedisError

from .. import client, settings
from ..errors import DestinationError, SettingsError, ShipperError
from . import logs, options

PASS_EVERY_S = 60.0


@click.command()
@click.option("--reconcile", is_flag=True, help="Find jobs that expired, were lost, or vanished.")
@click.option("--once", is_flag=True, help="One pass, then exit.")
@click.option("--grace", default=120, show_default=True, type=click.IntRange(0), help="Seconds without news of a job.")
@options.elasticsearch
@options.namespace
def command(reconcile: bool, once: bool, grace: int, **flags: str | None) -> None:
    """Hold what Elasticsearch knows against what Redis has; write records of what nobody could tell.

    The records go to SHIPPER_LOG, for the shipper to carry. No queue and no job is changed.
    """
    from ..emit.recorder import Recorder
    from ..watch.reconciler import Reconciler

    if not reconcile:
        raise SettingsError(["There is nothing to watch without --reconcile."])
    made = settings.load(flags)
    logs.begin(made)
    with client.connect_reader(made) as search, Redis.from_url(made.redis) as redis:
        reconciler = Reconciler(search, redis, made, Recorder(made), timedelta(seconds=grace))
        while True:
            try:
                found = reconciler.run()
                click.echo(f"{len(found)} findings.", err=True)
            except (RedisError, DestinationError) as error:
                problem = _said(error)
                if once:
                    raise problem from error
                click.echo(f"{problem} Trying again in {PASS_EVERY_S:.0f} s.", err=True)
            if once:
                return
            time.sleep(PASS_EVERY_S)


def _said(error: Exception) -> ShipperError:
    if isinstance(error, ShipperError):
        return error
    return ShipperError(f"Redis cannot be asked ({error}). Is it running, and is SHIPPER_REDIS right?")
