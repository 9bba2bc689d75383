"""`shipper watch`: gauges, alarms, and closing records that no process could write."""

from __future__ import annotations

import logging
import signal
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
from redis import RedisError

from .. import settings
from ..errors import DestinationError, ShipperError
from ..live.connection import connect, unreachable
from ..settings import Settings
from . import logs, options

log = logging.getLogger("shipper")

if TYPE_CHECKING:
    from ..watch.reading import Reading
    from ..watch.watcher import Watch

PASS_EVERY_S = 60.0


@click.command(epilog=options.examples("shipper watch", "shipper watch --once"))
@click.option("--reconcile", is_flag=True, help="Only find jobs that expired, were lost, or vanished.")
@click.option("--once", is_flag=True, help="One pass, then exit.")
@click.option(
    "--grace",
    default=120,
    show_default=True,
    type=click.IntRange(0),
    help="Reconcile only jobs without a record for so many seconds.",
)
@options.elasticsearch
@options.namespace
@options.state
def command(reconcile: bool, once: bool, grace: int, **flags: str | None) -> None:
    """Watch queues, workers and Redis; tell before users do.

    Samples Redis, writes what it found as records, and opens an alarm where something is wrong: docs/watch.md. Compares
    the open jobs in Elasticsearch with Redis, and writes the closing records that are missing. All records are written
    to SHIPPER_LOG. Nothing in Redis is changed. Elasticsearch may be away: then the alarms that rest on it wait.
    """
    config = settings.load(flags)
    logs.begin(config)
    if reconcile:
        _reconcile(config, once, timedelta(seconds=grace))
    else:
        _watch(config, once, timedelta(seconds=grace))


def _watch(config: Settings, once: bool, grace: timedelta) -> None:
    from .. import client
    from ..emit.recorder import Recorder
    from ..watch import memory, notify
    from ..watch import options as rule_options
    from ..watch.reading import Reading
    from ..watch.watcher import Watch

    rules = rule_options.read(config)
    with ExitStack() as stack:
        stack.enter_context(memory.locked(config.state))
        search = stack.enter_context(client.connect_reader(config))
        remembered = memory.load(config.state)
        redis = stack.enter_context(connect(config))
        reading = Reading(search, redis, config, rules, Recorder(config), grace)
        couriers = [notify.Courier(spec) for spec in config.notify]
        for courier in couriers:
            for notice in remembered.notices.get(courier.name, []):
                courier.put(notice)
        watch = Watch(config, rules, redis, reading, couriers, remembered)
        stack.callback(watch.close)
        if once:
            _once(watch, reading)
        else:
            _until_stopped(watch, reading)


def _once(watch: Watch, reading: Reading) -> None:
    now = datetime.now(UTC)
    answer = reading.ask(now)
    watch.step(now, answer)
    if answer.error:
        raise ShipperError(answer.error)
    try:
        reading.reconcile()
    except RedisError as error:
        raise unreachable(error) from error


def _until_stopped(watch: Watch, reading: Reading) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    reader = threading.Thread(target=reading.run, args=(stop,), name="reading", daemon=True)
    reader.start()
    watch.run(stop)
    reader.join(5.0)


def _reconcile(config: Settings, once: bool, grace: timedelta) -> None:
    from .. import client
    from ..emit.recorder import Recorder
    from ..watch.reconciler import Reconciler

    with client.connect_reader(config) as search, connect(config) as redis:
        reconciler = Reconciler(search, redis, config, Recorder(config), grace)
        while True:
            try:
                findings = reconciler.run()
                log.log(
                    logging.INFO if findings or once else logging.DEBUG,
                    "%d findings.",
                    len(findings),
                    extra={"event.action": "reconciled"},
                )
            except (RedisError, DestinationError) as error:
                problem = error if isinstance(error, ShipperError) else unreachable(error)
                if once:
                    raise problem from error
                log.warning("%s Trying again in %.0f s.", problem, PASS_EVERY_S, extra={"event.action": "retrying"})
            if once:
                return
            time.sleep(PASS_EVERY_S)
