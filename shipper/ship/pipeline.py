"""The whole path on one screen: files → blocks → batch → `_bulk` → outcome → dead letters → positions.

Nothing moves a position but `_land`, and it does so last: when every line up to there is in Elasticsearch
or in the dead letters. Whatever goes wrong before that is tried again; ids make it safe.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from .. import client
from ..errors import DestinationError, Refused, ShipperError
from ..index import setup
from ..records import Record, moment_of
from ..settings import Settings
from .backoff import Backoff, EveryMinute
from .batch import Batch, Item, Portion, Rest
from .bulk import Bulk, TooLarge
from .deadletter import DeadLetters, Letter
from .lines import JsonLines, Reader
from .outcome import BrokenAnswer, is_all_well, judge
from .senders import Senders
from .status import Counts
from .tail import Block

log = logging.getLogger("shipper")


class Stopped(ShipperError):
    """Somebody asked the shipper to stop while it was waiting to try again."""


SENDERS = 1  # batches on their way: one travels while the next one is made; more cost more than they bring
CLOSE_S = 0.5  # for a sender that is in the middle of a request when all is over


@dataclass(slots=True)
class Delivery:
    """What became of a batch. `dead` are documents that were refused for good."""

    indexed: int = 0
    doubled: int = 0
    dead: list[Letter] = field(default_factory=list)


class Pipeline:
    """Carries blocks to Elasticsearch. `patience_s`: how long to keep trying, None for ever."""

    def __init__(
        self, settings: Settings, letters: DeadLetters, stop: threading.Event, patience_s: float | None,
        counts: Counts | None = None, reader: Reader | None = None,
    ) -> None:  # fmt: skip
        self.counts = counts or Counts()
        self._settings = settings
        self._letters = letters
        self._stop = stop
        self._patience_s = patience_s
        self._bulk = Bulk(settings)
        self._reader = reader or JsonLines(settings)
        self._senders: Senders[Batch, Delivery] = Senders(self._send, SENDERS)
        self._on_their_way: deque[tuple[Batch, Future[Delivery]]] = deque()
        self._trouble = EveryMinute()
        self._to_tell: Record | None = None

    def prepare(self) -> None:
        """Make sure of the templates: without them Elasticsearch would guess the mappings at the first record.

        And of the ingest pipeline, if text logs go through it.
        """
        backoff, started = Backoff(), time.monotonic()
        with client.connect(self._settings) as elasticsearch:
            while True:
                try:
                    changes = setup.plan(elasticsearch, self._settings, pipeline=self._settings.format == "legacy")
                    setup.apply(elasticsearch, self._settings, changes)
                except DestinationError as trouble:
                    self._wait(str(trouble), backoff, started, trouble)
                else:
                    return self._fine_again()

    def ship(self, blocks: Iterable[Block]) -> bool:
        """Carry all of the blocks. False if there were none."""
        batch, any_at_all = Batch(self._settings), False
        for block in blocks:
            any_at_all = True
            self._reader.take(block, batch)
            if batch.full:
                self._hand_over(batch)
                batch = Batch(self._settings)
        if self._to_tell is not None:
            batch.add_own(self._to_tell)
            self._to_tell = None
        if batch:
            self._hand_over(batch)
        while self._on_their_way:
            self._land()
        return any_at_all

    def tell(self, record: Record) -> None:
        """Send a record of the shipper's own with the next batch. Only the latest one: an older one is of no use."""
        self._to_tell = record

    def send(self, batch: Batch) -> list[Letter]:
        """Send a batch that comes from no file; what is refused is returned, and kept by nobody."""
        delivery = self._send(batch)
        self.counts.indexed += delivery.indexed
        self.counts.doubled += delivery.doubled
        return delivery.dead

    def close(self) -> None:
        self._senders.close(CLOSE_S)
        self._bulk.close()

    def _hand_over(self, batch: Batch) -> None:
        while len(self._on_their_way) >= SENDERS:
            self._land()
        self._on_their_way.append((batch, self._senders.submit(batch)))

    def _land(self) -> None:
        """See the oldest batch to its end, then move the positions: in the order in which the lines were read."""
        batch, arriving = self._on_their_way[0]
        delivery = arriving.result()
        self.counts.dead += self._keep([*batch.letters, *delivery.dead])
        for block in batch.marks.values():
            block.source.acknowledge(block)
        self._on_their_way.popleft()
        self.counts.indexed += delivery.indexed
        self.counts.doubled += delivery.doubled
        self.counts.sent_bytes += batch.read
        if newest := batch.newest:
            self.counts.lag_ms = max(0, round((time.time() - moment_of(newest).timestamp()) * 1000))

    def _keep(self, letters: list[Letter]) -> int:
        """Keep the dead letters, however long the disk takes to have room for them."""
        backoff, started = Backoff(), time.monotonic()
        while True:
            try:
                return self._letters.append(letters)
            except OSError as trouble:
                where = self._letters.file
                self._wait(f"Dead letters cannot be written to {where}: {trouble.strerror}.", backoff, started, trouble)

    def _send(self, batch: Batch) -> Delivery:
        """Send until each document is indexed or refused for good. In a thread of its own."""
        delivery = Delivery()
        portions: list[Portion] = [batch] if batch.count else []
        backoff, started = Backoff(), time.monotonic()
        while portions:
            portion = portions.pop()
            try:
                answer = self._bulk.send(portion.body())
                if portion is batch and is_all_well(answer, batch.count):
                    delivery.indexed += batch.records
                    self._fine_again()
                    continue
                outcome = judge(portion.items(), answer)
            except TooLarge as trouble:
                portions += self._halved(portion.items(), trouble, delivery)
                continue
            except (DestinationError, BrokenAnswer) as trouble:
                portions.append(portion)
                self._wait(str(trouble), backoff, started, trouble)
                continue
            delivery.indexed += outcome.done - outcome.doubled
            delivery.doubled += outcome.doubled
            delivery.dead += outcome.dead
            if outcome.again:
                portions.append(Rest(outcome.again))
                self._wait(f"Elasticsearch puts documents off ({outcome.trouble}).", backoff, started)
            else:
                self._fine_again()
        return delivery

    def _halved(self, items: Sequence[Item], trouble: TooLarge, delivery: Delivery) -> list[Portion]:
        """Two requests of one that was too large; a document that is too large alone is a dead letter."""
        if len(items) == 1:
            if items[0].document.is_record:
                delivery.dead.append(items[0].refused(str(trouble), trouble.status))
            return []
        middle = len(items) // 2
        return [Rest(list(items[middle:])), Rest(list(items[:middle]))]

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
