"""`shipper watch --reconcile`: write closing records that no process could write."""

from __future__ import annotations

import logging
import time
from datetime import timedelta

import click
from redis import RedisError

from .. import client, settings
from ..errors import DestinationError, SettingsError, ShipperError
from ..live.connection import connect, unreachable
from . import logs, options

log = logging.getLogger("shipper")

PASS_EVERY_S = 60.0


@click.command()
@click.option("--reconcile", is_flag=True, help="Find jobs that expired, were lost, or vanished.")
@click.option("--once", is_flag=True, help="One pass, then exit.")
@click.option(
    "--grace",
    default=120,
    show_default=True,
    type=click.IntRange(0),
    help="Only jobs without a record for so many seconds.",
)
@options.elasticsearch
@options.namespace
def command(reconcile: bool, once: bool, grace: int, **flags: str | None) -> None:
    """Find jobs that have no closing record.

    Compares the open jobs in Elasticsearch with Redis, and writes the closing records that are missing. They are
    written to SHIPPER_LOG. Queues and jobs are not changed.
    """
    from ..emit.recorder import Recorder
    from ..watch.reconciler import Reconciler

    if not reconcile:
        raise SettingsError(["There is nothing to watch without --reconcile."])
    config = settings.load(flags)
    logs.begin(config)
    with client.connect_reader(config) as search, connect(config) as redis:
        reconciler = Reconciler(search, redis, config, Recorder(config), timedelta(seconds=grace))
        while True:
            try:
                findings = reconciler.run()
                log.log(
                    logging.INFO if findings or once else logging.DEBUG,
                    "%d findings.", len(findings), extra={"event.action": "reconciled"},
                )  # fmt: skip
            except (RedisError, DestinationError) as error:
                problem = _as_shipper_error(error)
                if once:
                    raise problem from error
                log.warning("%s Trying again in %.0f s.", problem, PASS_EVERY_S, extra={"event.action": "retrying"})
            if once:
                return
            time.sleep(PASS_EVERY_S)


def _as_shipper_error(error: Exception) -> ShipperError:
    if isinstance(error, ShipperError):
        return error
    return unreachable(error)
