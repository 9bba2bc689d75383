"""The watch: at each interval a sample, its gauges, the rules, and what opens or closes. Decisions are elsewhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from redis import RedisError

from ..records import Record, encode
from ..service import ServiceInfo
from ..settings import Settings
from ..sink import Sink
from . import activity, alert_records, crons, gauges, memory, notify, rules
from .alarms import Alarms, Transition
from .evidence import Evidence
from .memory import Memory
from .options import RuleOptions, objective_s
from .reading import Answer, Reading
from .sampling import Sampler, Snapshot, slot

log = logging.getLogger("shipper")

FIRST_ANSWER_S = 10.0  # that Elasticsearch is waited for at the start
NOTICES_S = 5.0  # for the notices that are under way when the watch ends
CLOSED_KEPT = 1000  # alarms that were closed, and whose records may not be searchable yet


class Watch:
    """Watches one Redis. `step` does all that is due at one time; `run` repeats it."""

    def __init__(
        self,
        settings: Settings,
        options: RuleOptions,
        connection: Any,
        reading: Reading,
        couriers: Sequence[notify.Courier],
        remembered: Memory,
    ) -> None:
        self._settings = settings
        self._options = options
        self._sampler = Sampler(connection)
        self._reading = reading
        self._couriers = couriers
        self._sink = Sink(settings.log, settings.log_mode)
        self._service = ServiceInfo.here(settings)
        self._alarms = Alarms(settings.namespace, rules.PATIENCE)
        self._alarms.adopt(remembered.alarms)
        self._closed: dict[str, None] = {}
        self._crons = {one.sample.key: one for one in remembered.crons}
        self._unheard = dict(remembered.unheard)
        self._before: Snapshot | None = None
        self._tell(remembered.untold)

    def run(self, stop: threading.Event) -> None:
        """Take a step at each multiple of the interval until `stop` is set. A step that is late is left out."""
        every_s = self._settings.watch_every
        # Another watch may have opened what this one is about to open, if this one has lost its state.
        self._reading.answered.wait(FIRST_ANSWER_S)
        due = time.time() // every_s * every_s + every_s
        while not stop.wait(max(0.0, due - time.time())):
            try:
                self.step(slot(time.time(), every_s), self._reading.latest(datetime.now(UTC)))
            except Exception:  # whatever is wrong with one sample, the next one may be as ever
                log.exception("A sample was left out.", extra={"event.action": "sample-failed"})
            due = time.time() // every_s * every_s + every_s

    def step(self, at: datetime, answer: Answer) -> list[Transition]:
        """Sample, write the gauges, evaluate the rules, and tell what changed."""
        snapshot, redis_error = self._sample(at)
        history = answer.history
        if snapshot is not None:
            self._crons = crons.advance(self._crons, snapshot.crons, at)
            ended = activity.ended_since(self._before.workers, snapshot.workers) if self._before else set()
            self._unheard = activity.unheard(self._unheard, ended, history.hosts if history else {}, at)
            self._write(self._gauges(snapshot))
            self._before = snapshot
        evidence = Evidence(
            at=at,
            settings=self._settings,
            options=self._options,
            snapshot=snapshot,
            redis_error=redis_error,
            history=history,
            elasticsearch_error=answer.error,
            crons=self._crons,
            unheard=self._unheard,
            is_open=self._alarms.is_open,
        )
        self._alarms.adopt(one for one in answer.open_alarms if one.id not in self._closed)
        transitions = self._alarms.step(at, rules.evaluate(evidence))
        if transitions:
            self._save(transitions)  # first: what is told and not remembered would be told again, as another alarm
        self._tell(transitions)
        self._save()
        return transitions

    def _sample(self, at: datetime) -> tuple[Snapshot | None, str | None]:
        try:
            return self._sampler.take(at), None
        except RedisError as error:
            return None, str(error) or type(error).__name__

    def _gauges(self, snapshot: Snapshot) -> list[Record]:
        objectives = {queue.name: objective_s(self._settings, queue.name) for queue in snapshot.queues}
        return list(gauges.records(snapshot, self._before, self._service, objectives, self._crons))

    def _tell(self, transitions: Sequence[Transition]) -> None:
        now = datetime.now(UTC)
        for transition in transitions:
            if transition.kind == "closed":
                self._closed[transition.alarm.id] = None
                if len(self._closed) > CLOSED_KEPT:
                    del self._closed[next(iter(self._closed))]
            record = alert_records.record(transition, self._service, now)
            self._write([record])
            for courier in self._couriers:
                courier.put(notify.notice_of(record))

    def _write(self, found: Sequence[Record]) -> None:
        for record in found:
            self._sink.append(encode(record))

    def _save(self, untold: Sequence[Transition] = ()) -> None:
        remembered = Memory(
            untold=list(untold),
            alarms=list(self._alarms.open.values()),
            crons=list(self._crons.values()),
            unheard=self._unheard,
            notices={one.name: pending for one in self._couriers if (pending := one.pending())},
        )
        try:
            memory.save(remembered, self._settings.state)
        except OSError as error:
            log.warning(
                "%s cannot be written (%s): after a restart, alarms are read in Elasticsearch.",
                memory.FILE,
                error.strerror or error,
            )

    def close(self) -> None:
        """Deliver the notices that can be delivered, and remember the others."""
        for courier in self._couriers:
            courier.stop(NOTICES_S)
        self._save()
