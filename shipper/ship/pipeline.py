"""The whole path on one screen: files → blocks → documents → batch → `_bulk` → outcome → dead letters → positions.

Nothing moves a position but `_land`, and it does so last: when every line up to there, and the state of every job in
it, is in Elasticsearch or in the dead letters. Whatever goes wrong before that is tried again; ids make it safe.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass, field

from .. import client
from ..diagnosis import refusal
from ..errors import DestinationError
from ..index import setup
from ..records import Record
from ..settings import Settings
from .bulk import already_there
from .bulk.backoff import LogThrottle
from .bulk.batch import Batch, BulkRequest, ItemsRequest
from .bulk.dead_letters import DeadLetters
from .bulk.request import Bulk, InvalidRequest, TooLarge
from .bulk.response import BulkResponse, InvalidResponse, dead_letters_of, is_all_well, parse_bulk_response
from .bulk.retry import RetryState
from .bulk.sender_pool import SenderPool
from .bulk.states import StateBatch, StateWindow
from .bulk.waiting import Blocked, Waiting
from .counting.counting import Counting
from .reader.items import DeadLetter, Item
from .reader.ndjson import NdjsonReader, Reader
from .source.tail import Block, Mark, Source
from .status import Counts

log = logging.getLogger("shipper")


SENDERS = 2  # requests at once, at most: half as many records again as with one; three bring a tenth more
AHEAD = 2  # batches that are ready for the sender that is done first, also if the oldest request is the last to be done
BESIDE_S = 0.02  # what takes longer is Elasticsearch's to work on, which can work on another meanwhile
CLOSE_S = 0.5  # for a sender that is in the middle of a request when all is over


@dataclass(slots=True)
class Delivery:
    """What became of a batch. The numbers are of records.

    `indexed`: including those that are `not_indexed`, which Elasticsearch took and put nowhere. `dead`: documents that
    were refused for good. `blocked`: those whose index takes none now. `accepted`: requests, or parts of them, whose
    documents were all created by it.
    """

    indexed: int = 0
    duplicates: int = 0
    not_indexed: int = 0
    dead: list[DeadLetter] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    accepted: list[BulkRequest] = field(default_factory=list)

    def add(self, other: Delivery) -> None:
        """Add what became of further documents of the batch."""
        self.indexed += other.indexed
        self.duplicates += other.duplicates
        self.not_indexed += other.not_indexed
        self.dead += other.dead
        self.accepted += other.accepted


class Pipeline:
    """Carries blocks to Elasticsearch. `retry_timeout_s`: how long to keep trying, None for ever."""

    def __init__(
        self,
        settings: Settings,
        dead_letters: DeadLetters,
        stop: threading.Event,
        retry_timeout_s: float | None,
        counts: Counts | None = None,
        reader: Reader | None = None,
        counting: Counting | None = None,
    ) -> None:
        self.counts = counts or Counts()
        self.counting = counting
        self._settings = settings
        self._dead_letters = dead_letters
        self._retry_timeout_s = retry_timeout_s
        self._retry_state = RetryState(self.counts, stop, retry_timeout_s)
        self._bulk = Bulk(settings)
        self._reader = reader or NdjsonReader(settings)
        self._senders: SenderPool[Batch | StateBatch, Delivery] = SenderPool(self._send, SENDERS)
        self._on_their_way: deque[tuple[float, Batch | StateBatch, Future[Delivery]]] = deque()  # since when
        self._batch = Batch(settings)  # the next one
        self._states = StateWindow(self._reader.states)
        self._states_on_their_way = 0
        self._throttle = LogThrottle()
        self._waiting = Waiting(dead_letters.file.parent)
        self._marks: dict[Source, Mark] = {}  # of what is safe, but for states

    def prepare(self) -> None:
        """Make sure of the templates: without them Elasticsearch would guess the mappings at the first record.

        And of the ingest pipeline, if text logs go through it.
        """
        attempts = self._retry_state.attempts()
        while True:
            try:
                with client.connect(self._settings) as elasticsearch:
                    changes = setup.plan(elasticsearch, self._settings, pipeline=self._settings.format == "legacy")
                    setup.apply(elasticsearch, changes)
            except DestinationError as error:
                attempts.failed(str(error), error)
                self._settings = client.with_current_credentials(self._settings)
            else:
                return attempts.done()

    def end_within(self, retry_timeout_s: float) -> None:
        """Retry no longer than this from now on. Thread-safe."""
        self._retry_state.limit(retry_timeout_s)

    def ship(self, blocks: Iterable[Block], for_s: float = math.inf) -> bool:
        """Carry all of the blocks, and return when they are safe. False if there were none.

        If they take longer than `for_s` seconds the rest of them is left alone, and what is on its way stays there
        for the next call to see to.
        """
        until, any_at_all = time.monotonic() + for_s, False
        for block in blocks:
            any_at_all = True
            parsed = self._reader.read(block)
            self._batch.add(block, parsed)
            self._send_off(behind=True)
            if time.monotonic() > until:
                return True
        self._send_off()
        self._land_all()
        return any_at_all

    def finish(self) -> None:
        """Send what is held back, and return when all is safe."""
        self._send_off()
        self._send_states(everything=True)
        self._land_all()
        self.send_waiting(math.inf)

    def add_record(self, record: Record) -> None:
        """Send a record of the shipper's own with the next batch."""
        self._batch.add_own(record)

    def send(self, batch: Batch | StateBatch) -> list[DeadLetter]:
        """Send a batch that comes from no file; what is refused is returned, and kept by nobody."""
        delivery = self._send(batch, may_wait=False)
        self._count(delivery)
        return delivery.dead

    def close(self) -> None:
        self._senders.close(CLOSE_S)
        self._bulk.close()

    def _send_off(self, *, behind: bool = False) -> None:
        """Hand over what is ready: the batch, also a small one if nothing more is there, and states when it is time."""
        if self._batch.full or (self._batch and not behind):
            batch, self._batch = self._batch, Batch(self._settings)
            self._submit(batch)
        self._send_states(behind=behind)

    def _send_states(self, *, everything: bool = False, behind: bool = False) -> None:
        for states in self._states.take(everything=everything, behind=behind):
            self._submit(states)

    def _submit(self, batch: Batch | StateBatch) -> None:
        self._states_on_their_way += isinstance(batch, StateBatch)  # now: what lands meanwhile has to wait for them
        while self._on_their_way and not self._may_go_beside_them():
            self._land()
        self._on_their_way.append((time.monotonic(), batch, self._senders.submit(batch)))

    def _may_go_beside_them(self) -> bool:
        """Whether Elasticsearch takes its time with the oldest, and is well: then it can work on another, too."""
        if len(self._on_their_way) == SENDERS + AHEAD:
            return False
        since, _, arriving = self._on_their_way[0]
        arrived = wait([arriving], max(0.0, since + BESIDE_S - time.monotonic())).done
        return not arrived and not self._retry_state

    def _land_all(self) -> None:
        while self._on_their_way:
            self._land()

    def _land(self) -> None:
        """See the oldest batch to its end, then move the positions: in the order in which the lines were read.

        What was read before states were taken out of the window is safe when those are: all of it has landed by then.
        """
        _, batch, arriving = self._on_their_way[0]
        delivery = arriving.result()
        self._keep_blocked(delivery)
        self.counts.dead += self._keep([*batch.dead_letters, *delivery.dead])
        self._on_their_way.popleft()
        self._marks |= batch.marks
        if isinstance(batch, StateBatch):
            self._states_on_their_way -= 1
        if (isinstance(batch, StateBatch) and batch.is_last) or not (self._states or self._states_on_their_way):
            for source, mark in self._marks.items():
                source.acknowledge(mark)
            self._marks = {}
        self._count(delivery)
        if isinstance(batch, Batch):
            self.counts.sent_bytes += batch.read
            if newest := batch.newest:
                self.counts.lag_ms = max(0, round((time.time() - newest.timestamp()) * 1000))

    def _keep_blocked(self, delivery: Delivery) -> None:
        """Store documents whose index takes none now. Without room for them, retry until the index takes them."""
        if not delivery.blocked:
            return
        try:
            kept = self._waiting.append(delivery.blocked)
        except OSError as error:
            log.warning("Documents cannot wait in the state folder: %s.", error.strerror)
            kept = False
        if not kept:
            delivery.add(self._send(ItemsRequest([one.item for one in delivery.blocked]), may_wait=False))
        self.counts.waiting_bytes = self._waiting.size

    def send_waiting(self, for_s: float = 1.0) -> None:
        """Send stored documents of each index, as long as the index takes them, for about `for_s` seconds."""
        until = time.monotonic() + for_s
        for index in self._waiting.indices():
            while time.monotonic() < until and (items := self._waiting.last(index)):
                delivery = self._send(ItemsRequest(items))
                if delivery.blocked:
                    break
                self.counts.dead += self._keep(delivery.dead)
                self._waiting.remove_last(index, items)
                self._count(delivery)
        self.counts.waiting_bytes = self._waiting.size

    def _count(self, delivery: Delivery) -> None:
        self.counts.indexed += delivery.indexed - delivery.not_indexed
        self.counts.duplicates += delivery.duplicates
        self.counts.not_indexed += delivery.not_indexed
        if self.counting is not None:
            self.counting.add(delivery.accepted)
        if delivery.not_indexed and self._throttle.due():
            log.warning(
                "Elasticsearch took %d records and did not index them: a pipeline dropped them, or a failure store has "
                "them.",
                delivery.not_indexed,
                extra={"event.action": "not-indexed"},
            )

    def _keep(self, dead_letters: list[DeadLetter]) -> int:
        """Keep the dead letters, however long the disk takes to have room for them."""
        attempts = self._retry_state.attempts()
        while True:
            try:
                kept = self._dead_letters.append(dead_letters)
            except OSError as error:
                where = self._dead_letters.file
                attempts.failed(f"Dead letters cannot be written to {where}: {error.strerror}.", error)
            else:
                attempts.done()
                return kept

    def _send(self, batch: BulkRequest, *, may_wait: bool = True) -> Delivery:
        """Send until each document is indexed or refused for good. In a thread of its own.

        `may_wait`: those whose index takes none are left to wait.
        """
        delivery = Delivery()
        requests: list[BulkRequest] = [batch] if batch.count else []
        attempts = self._retry_state.attempts()
        while requests:
            request = requests.pop()
            try:
                answer = self._bulk.send(request.body())
                if is_all_well(answer, request.count, created=request.records > 0):
                    delivery.indexed += request.records
                    delivery.accepted.append(request)
                    continue
                outcome = parse_bulk_response(
                    request.items(), request.count, answer, keep_created=self.counting is not None
                )
            except (TooLarge, InvalidRequest) as error:
                requests += self._halved(list(request.items()), error, delivery)
                continue
            except (DestinationError, InvalidResponse) as error:
                requests.append(request)
                attempts.failed(str(error), error)
                continue
            self._give_up_if_refused(outcome)
            delivery.indexed += outcome.done - outcome.duplicates
            delivery.duplicates += outcome.duplicates
            delivery.not_indexed += outcome.not_indexed
            delivery.dead += outcome.dead
            if outcome.created:
                delivery.accepted.append(ItemsRequest(outcome.created))
            told = already_there.reports(outcome.already_there, self._settings)
            if beside := [*told, *outcome.rescued]:
                requests.append(ItemsRequest(beside))
            if may_wait:
                delivery.blocked += outcome.blocked
            elif outcome.blocked:
                outcome.retryable += [one.item for one in outcome.blocked]
                outcome.error = outcome.blocked[0].reason
            if outcome.retryable:
                requests.append(ItemsRequest(outcome.retryable))
                attempts.failed(f"Elasticsearch puts documents off ({outcome.error}).")
        attempts.done()
        return delivery

    def _give_up_if_refused(self, outcome: BulkResponse) -> None:
        """In a run that ends by itself, waiting until the API key may write is in vain. Raises Refused."""
        if outcome.refused and self._retry_timeout_s is not None:
            raise refusal(403, outcome.refused, client.addresses_for_people(self._settings))

    def _halved(self, items: list[Item], error: TooLarge | InvalidRequest, delivery: Delivery) -> list[BulkRequest]:
        """Two requests of one that was refused as a whole; a document that is refused so by itself is a dead letter.

        One such document among n costs 2 log2(n) requests more, and all others arrive.
        """
        if len(items) == 1:
            delivery.dead += dead_letters_of(items[0], str(error), error.status)
            return []
        middle = len(items) // 2
        return [ItemsRequest(items[middle:]), ItemsRequest(items[:middle])]
