"""The whole path on one screen: files → blocks → batch → `_bulk` → outcome → dead letters → positions.

Nothing moves a position but `_deliver`, and it does so last: when every line up to there is in Elasticsearch
or in the dead letters. Whatever goes wrong before that is tried again; ids make it safe.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterable

from .. import client
from ..errors import DestinationError, Refused, ShipperError
from ..index import setup
from ..records import Record
from ..settings import Settings
from .backoff import Backoff, EveryMinute
from .batch import Batch, Item, body, told
from .bulk import Bulk, TooLarge
from .deadletter import DeadLetters, Letter
from .outcome import BrokenAnswer, judge
from .status import Counts
from .tail import Block

log = logging.getLogger("shipper")


class Stopped(ShipperError):
    """Somebody asked the shipper to stop while it was waiting to try again."""


class Pipeline:
    """Carries blocks to Elasticsearch. `patience_s`: how long to keep trying, None for ever."""

    def __init__(
        self, settings: Settings, letters: DeadLetters, stop: threading.Event, patience_s: float | None,
        counts: Counts | None = None,
    ) -> None:  # fmt: skip
        self.counts = counts or Counts()
        self._settings = settings
        self._letters = letters
        self._stop = stop
        self._patience_s = patience_s
        self._bulk = Bulk(settings)
        self._host = socket.gethostname()
        self._trouble = EveryMinute()
        self._to_tell: list[Item] = []

    def prepare(self) -> None:
        """Make sure of the templates: without them Elasticsearch would guess the mappings at the first record."""
        backoff, started = Backoff(), time.monotonic()
        with client.connect(self._settings) as elasticsearch:
            while True:
                try:
                    changes = setup.plan(elasticsearch, self._settings)
                    setup.apply(elasticsearch, self._settings, changes)
                except DestinationError as trouble:
                    self._wait(str(trouble), backoff, started, trouble)
                else:
                    return self._fine_again()

    def ship(self, blocks: Iterable[Block]) -> bool:
        """Carry all of the blocks. False if there were none."""
        batch, any_at_all = Batch(), False
        for block in blocks:
            any_at_all = True
            batch.add(block, self._host, self._settings)
            if batch.full:
                self._deliver(batch)
                batch = Batch()
        if batch or self._to_tell:
            self._deliver(batch)
        return any_at_all

    def tell(self, record: Record) -> None:
        """Send a record of the shipper's own with the next batch. Only the latest one: an older one is of no use."""
        self._to_tell = [told(record, self._settings)]

    def send(self, batch: Batch) -> list[Letter]:
        """Send a batch that comes from no file; what is refused is returned, and kept by nobody."""
        return self._send(batch.to_send())

    def close(self) -> None:
        self._bulk.close()

    def _deliver(self, batch: Batch) -> None:
        """See every line of the batch to its end, then move the positions."""
        to_tell, self._to_tell = self._to_tell, []
        dead = self._send(batch.to_send() + to_tell)
        self.counts.dead += self._keep([*batch.letters, *dead])
        for block in batch.marks.values():
            block.source.acknowledge(block)
        self.counts.sent_bytes += batch.read
        if batch.newest is not None:
            self.counts.lag_ms = max(0, round((time.time() - batch.newest.timestamp()) * 1000))

    def _keep(self, letters: list[Letter]) -> int:
        """Keep the dead letters, however long the disk takes to have room for them."""
        backoff, started = Backoff(), time.monotonic()
        while True:
            try:
                return self._letters.append(letters)
            except OSError as trouble:
                where = self._letters.file
                self._wait(f"Dead letters cannot be written to {where}: {trouble.strerror}.", backoff, started, trouble)

    def _send(self, items: list[Item]) -> list[Letter]:
        """Send until each document is indexed or refused for good; the refused ones are returned."""
        dead: list[Letter] = []
        portions = [items] if items else []
        backoff, started = Backoff(), time.monotonic()
        while portions:
            portion = portions.pop()
            try:
                outcome = judge(portion, self._bulk.send(body(portion)))
            except TooLarge as trouble:
                if len(portion) == 1:
                    dead.append(_too_large(portion[0], trouble))
                else:
                    middle = len(portion) // 2
                    portions += [portion[middle:], portion[:middle]]
                continue
            except (DestinationError, BrokenAnswer) as trouble:
                portions.append(portion)
                self._wait(str(trouble), backoff, started, trouble)
                continue
            self.counts.indexed += outcome.done - outcome.doubled
            self.counts.doubled += outcome.doubled
            dead += outcome.dead
            if outcome.again:
                portions.append(outcome.again)
                self._wait(f"Elasticsearch puts documents off ({outcome.trouble}).", backoff, started)
            else:
                self._fine_again()
        return dead

    def _wait(self, what: str, backoff: Backoff, started: float, cause: Exception | None = None) -> None:
        """Say what is wrong, once a minute, and let some time pass. Raises when it is time to give up."""
        self.counts.retries += 1
        self.counts.trouble = what
        self.counts.trouble_since = self.counts.trouble_since or time.time()
        if self._patience_s is not None:  # of a run that is meant to end
            if isinstance(cause, Refused):
                raise cause  # waiting does not mend credentials
            if time.monotonic() - started > self._patience_s:
                raise DestinationError(what) from cause
        if self._trouble.due():
            log.warning(
                "%s Trying again; nothing is lost meanwhile.",
                what,
                extra={"event.action": "destination-trouble"},
            )
        if self._stop.wait(backoff.next_delay()):
            raise Stopped("Stopped before everything could be sent; the rest is sent at the next start.")

    def _fine_again(self) -> None:
        self.counts.trouble = self.counts.trouble_since = None
        if self._trouble.over():
            log.info("Elasticsearch takes documents again.", extra={"event.action": "destination-recovered"})


def _too_large(item: Item, trouble: TooLarge) -> Letter:
    return item.refused(str(trouble), trouble.status)
