"""The life of the shipper: start, look, ship, save, rest; and an orderly end."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from .. import client
from ..errors import DestinationError, SourceError
from ..index import retention
from ..settings import Settings
from .backoff import EveryMinute
from .deadletter import DeadLetters
from .discover import Discovery, check_folders
from .pipeline import Counts, Pipeline, Stopped
from .registry import Registry
from .tail import Block, Stream

log = logging.getLogger("shipper")

REST_S = 0.1  # between two looks at files that had nothing new
LOOK_EVERY_S = 1.0  # between two looks at the globs
SAVE_EVERY_S = 1.0  # positions may lag by this after a crash; ids absorb what is sent again
PRUNE_EVERY_S = 86_400.0
PATIENCE_S = 30.0  # of a run that is meant to end


def run(settings: Settings) -> Counts:
    """Tail and ship until SIGTERM or SIGINT. Raises StateError."""
    stop = _stop_on_signals()
    registry = Registry(settings.state)
    discovery = Discovery(settings.files, registry.entries)
    pipeline = Pipeline(settings, DeadLetters(settings.state), stop, patience_s=None)
    log.info(
        "Shipping %s to %s; positions in %s.", ", ".join(settings.files), client.shown(settings), settings.state,
        extra={"event.action": "shipper-started"},
    )  # fmt: skip
    try:
        pipeline.prepare()
        _tail(settings, registry, discovery, pipeline, stop)
    except Stopped as reason:
        log.info("%s", reason)
    finally:
        _end(registry, discovery, pipeline)
    return pipeline.counts


def run_once(settings: Settings) -> Counts:
    """Ship all that is there now and return. Raises SourceError, StateError, DestinationError."""
    check_folders(settings.files)
    stop = _stop_on_signals()
    registry = Registry(settings.state)
    discovery = Discovery(settings.files, registry.entries)
    pipeline = Pipeline(settings, DeadLetters(settings.state), stop, PATIENCE_S)
    try:
        pipeline.prepare()
        discovery.refresh()
        pipeline.ship(_blocks(discovery, stop, to_the_end=True))
    finally:
        _end(registry, discovery, pipeline)
    return pipeline.counts


def run_stream(settings: Settings, descriptor: int = 0) -> Counts:
    """Ship what comes from a descriptor until it ends; it has no positions. Raises StateError, DestinationError."""
    pipeline = Pipeline(settings, DeadLetters(settings.state), threading.Event(), PATIENCE_S)
    stream = Stream(descriptor)
    try:
        pipeline.prepare()
        while not stream.ended:
            if (block := stream.read()) is not None:
                pipeline.ship([block])
    finally:
        pipeline.close()
    return pipeline.counts


def _tail(
    settings: Settings, registry: Registry, discovery: Discovery, pipeline: Pipeline, stop: threading.Event
) -> None:
    looked = saved = pruned = -PRUNE_EVERY_S
    folders = EveryMinute()
    while not stop.is_set():
        now = time.monotonic()
        if now - looked >= LOOK_EVERY_S:
            looked = now
            _look(settings, discovery, folders)
        busy = pipeline.ship(_blocks(discovery, stop))
        if now - saved >= SAVE_EVERY_S:
            saved = now
            _save(registry, discovery)
        if now - pruned >= PRUNE_EVERY_S:
            pruned = now
            _prune(settings)
        if not busy:
            stop.wait(REST_S)


def _look(settings: Settings, discovery: Discovery, folders: EveryMinute) -> None:
    try:
        check_folders(settings.files)
        folders.over()
    except SourceError as trouble:
        if folders.due():
            log.warning("%s Waiting for it.", trouble, extra={"event.action": "folder-missing"})
    discovery.refresh()


def _blocks(discovery: Discovery, stop: threading.Event, *, to_the_end: bool = False) -> Iterator[Block]:
    """What is new in the files, a block of each in turn, so that a busy file keeps no quiet one waiting."""
    reading = discovery.files
    while reading and not stop.is_set():
        still = []
        for tailed in reading:
            if (block := tailed.read(to_the_end=to_the_end)) is not None:
                yield block
                still.append(tailed)
        reading = still


def _save(registry: Registry, discovery: Discovery) -> None:
    entries = discovery.entries()
    if entries != registry.entries:
        registry.save(entries)


def _prune(settings: Settings) -> None:
    """Delete what is past. A key that may not is no reason to stop shipping."""
    try:
        with client.connect(settings) as elasticsearch:
            past = retention.prune(elasticsearch, settings, datetime.now(UTC))
    except DestinationError as trouble:
        log.warning(
            "Old indices could not be deleted: %s Run `shipper prune` with a key that may.", trouble,
            extra={"event.action": "prune-failed"},
        )  # fmt: skip
        return
    for name in past:
        log.info("Deleted %s: its period is past.", name, extra={"event.action": "index-pruned"})


def _end(registry: Registry, discovery: Discovery, pipeline: Pipeline) -> None:
    _save(registry, discovery)
    discovery.close()
    pipeline.close()
    registry.close()


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
