"""The whole path on one screen: files → blocks → batch → `_bulk` → outcome → dead letters → positions.

Nothing moves a position but `_land`, and it does so last: when every line up to there is in Elasticsearch
or in the dead letters. Whatever goes wrong before that is tried again; ids make it safe.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from .. import client
from ..errors import DestinationError
from ..index import setup
from ..records import Record, moment_of
from ..settings import Settings
from .batch import Batch, Item, Portion, Rest
from .bulk import Bulk, InvalidRequest, TooLarge
from .deadletter import DeadLetters, Letter
from .lines import JsonLines, Reader
from .outcome import BrokenAnswer, give_up, is_all_well, judge
from .senders import Senders
from .status import Counts
from .tail import Block
from .trouble import Trouble

log = logging.getLogger("shipper")


SENDERS = 2  # requests at once, at most: half as many records again as with one; three bring a tenth more
AHEAD = 1  # batches that are ready for the sender that is done first
BESIDE_S = 0.05  # what takes longer is Elasticsearch's to work on, which can work on another meanwhile
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
        self._trouble = Trouble(self.counts, stop, patience_s)
        self._bulk = Bulk(settings)
        self._reader = reader or JsonLines(settings)
        self._senders: Senders[Batch, Delivery] = Senders(self._send, SENDERS)
        self._on_their_way: deque[tuple[float, Batch, Future[Delivery]]] = deque()  # since when
        self._batch = Batch(settings)  # the next one

    def prepare(self) -> None:
        """Make sure of the templates: without them Elasticsearch would guess the mappings at the first record.

        And of the ingest pipeline, if text logs go through it.
        """
        attempts = self._trouble.attempts()
        with client.connect(self._settings) as elasticsearch:
            while True:
                try:
                    changes = setup.plan(elasticsearch, self._settings, pipeline=self._settings.format == "legacy")
                    setup.apply(elasticsearch, self._settings, changes)
                except DestinationError as trouble:
                    attempts.failed(str(trouble), trouble)
                else:
                    return attempts.done()

    def ship(self, blocks: Iterable[Block], for_s: float = math.inf) -> bool:
        """Carry all of the blocks, and return when they are safe. False if there were none.

        If they take longer than `for_s` seconds the rest of them is left alone, and what is on its way stays there
        for the next call to see to.
        """
        until, any_at_all = time.monotonic() + for_s, False
        for block in blocks:
            any_at_all = True
            self._reader.take(block, self._batch)
            if self._batch.full:
                self._send_off()
            if time.monotonic() > until:
                return True
        if self._batch:
            self._send_off()
        while self._on_their_way:
            self._land()
        return any_at_all

    def tell(self, record: Record) -> None:
        """Send a record of the shipper's own with the next batch."""
        self._batch.add_own(record)

    def send(self, batch: Batch) -> list[Letter]:
        """Send a batch that comes from no file; what is refused is returned, and kept by nobody."""
        delivery = self._send(batch)
        self.counts.indexed += delivery.indexed
        self.counts.doubled += delivery.doubled
        return delivery.dead

    def close(self) -> None:
        self._senders.close(CLOSE_S)
        self._bulk.close()

    def _send_off(self) -> None:
        """Hand the batch over, and begin another."""
        while self._on_their_way and not self._may_go_beside_them():
            self._land()
        self._on_their_way.append((time.monotonic(), self._batch, self._senders.submit(self._batch)))
        self._batch = Batch(self._settings)

    def _may_go_beside_them(self) -> bool:
        """Whether Elasticsearch takes its time with the oldest, and is well: then it can work on another, too."""
        if len(self._on_their_way) == SENDERS + AHEAD:
            return False
        since, _, arriving = self._on_their_way[0]
        arrived = wait([arriving], max(0.0, since + BESIDE_S - time.monotonic())).done
        return not arrived and not self._trouble

    def _land(self) -> None:
        """See the oldest batch to its end, then move the positions: in the order in which the lines were read."""
        _, batch, arriving = self._on_their_way[0]
        delivery = arriving.result()
        self.counts.dead += self._keep([*batch.letters, *delivery.dead])
        for source, mark in batch.marks.items():
            source.acknowledge(mark)
        self._on_their_way.popleft()
        self.counts.indexed += delivery.indexed
        self.counts.doubled += delivery.doubled
        self.counts.sent_bytes += batch.read
        if newest := batch.newest:
            self.counts.lag_ms = max(0, round((time.time() - moment_of(newest).timestamp()) * 1000))

    def _keep(self, letters: list[Letter]) -> int:
        """Keep the dead letters, however long the disk takes to have room for them."""
        attempts = self._trouble.attempts()
        while True:
            try:
                kept = self._letters.append(letters)
            except OSError as trouble:
                where = self._letters.file
                attempts.failed(f"Dead letters cannot be written to {where}: {trouble.strerror}.", trouble)
            else:
                attempts.done()
                return kept

    def _send(self, batch: Batch) -> Delivery:
        """Send until each document is indexed or refused for good. In a thread of its own."""
        delivery = Delivery()
        portions = batch.portions()
        attempts = self._trouble.attempts()
        while portions:
            portion = portions.pop()
            try:
                answer = self._bulk.send(portion.body())
                if is_all_well(answer, portion.count):
                    delivery.indexed += portion.records
                    continue
                outcome = judge(portion.items(), answer)
            except (TooLarge, InvalidRequest) as trouble:
                portions += self._halved(portion.items(), trouble, delivery)
                continue
            except (DestinationError, BrokenAnswer) as trouble:
                portions.append(portion)
                attempts.failed(str(trouble), trouble)
                continue
            delivery.indexed += outcome.done - outcome.doubled
            delivery.doubled += outcome.doubled
            delivery.dead += outcome.dead
            if outcome.again:
                portions.append(Rest(outcome.again))
                attempts.failed(f"Elasticsearch puts documents off ({outcome.trouble}).")
        attempts.done()
        return delivery

    def _halved(self, items: Sequence[Item], trouble: TooLarge | InvalidRequest, delivery: Delivery) -> list[Portion]:
        """Two requests of one that was refused as a whole; a document that is refused so by itself is a dead letter.

        One such document among n costs 2 log2(n) requests more, and all others arrive.
        """
        if len(items) == 1:
            delivery.dead += give_up(items[0], str(trouble), trouble.status)
            return []
        middle = len(items) // 2
        return [Rest(list(items[middle:])), Rest(list(items[:middle]))]
