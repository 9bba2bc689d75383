"""A second shipper with the same state folder: it waits until the first one ends, and then goes on where that was."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from .. import client
from ..errors import StateInUse
from ..settings import Settings
from . import pulse
from .source.checkpoints import Registry
from .status import Counts, Watcher

log = logging.getLogger("shipper")

TRY_EVERY_S = 1.0


def open_registry(settings: Settings, stop: threading.Event) -> Registry | None:
    """The registry of the state folder, locked. None if `stop` was set while another shipper had it.

    Raises StateError; StateInUse only if the setting `standby` is off.
    """
    try:
        return Registry(settings.state)
    except StateInUse:
        if not settings.standby:
            raise
    with _healthy(settings):
        log.info(
            "Another shipper is using the state folder %s. Waiting for it to end.",
            settings.state,
            extra={"event.action": "standby"},
        )
        while not stop.wait(TRY_EVERY_S):
            pulse.beat()
            try:
                return Registry(settings.state)
            except StateInUse:
                continue
    return None


@contextmanager
def _healthy(settings: Settings) -> Iterator[None]:
    """Answer /health and /metrics meanwhile, if nobody else does at this address."""
    from .metrics_server import MetricsServer

    watcher = Watcher(Counts(), client.addresses_for_people(settings))
    server = None
    if settings.listen:
        try:
            server = MetricsServer(
                settings.listen, lambda: replace(watcher.look([]), state="standby"), None, settings.state
            )
        except OSError:  # the other shipper is on this machine, and answers there itself
            log.debug("%s is taken.", settings.listen)
    try:
        yield
    finally:
        if server is not None:
            server.close()
