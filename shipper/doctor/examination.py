"""The examination: gathers, and puts the findings of all subjects together. What cannot be asked is a finding, too."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from redis import RedisError

from .. import client
from ..emit import instrument
from ..errors import DestinationError, SettingsError, ShipperError
from ..live.connection import connect, unreachable
from ..live.workers import WorkerSample
from ..settings import Settings
from ..ship.reader.framer import CHECKED_IN
from .finding import SEVERITIES, Finding, Report, error
from .gather import elasticsearch as elastic
from .gather import kibana as gather_kibana
from .gather import machine
from .gather import redis as gather_redis
from .subjects import (
    clock,
    context,
    elasticsearch,
    folders,
    kibana,
    native,
    privileges,
    queues,
    redis,
    retention,
    rq,
    shipping,
    templates,
)
from .subjects import settings as settings_subject


def examine(config: Settings, problems: Iterable[str], environment: Mapping[str, str] = os.environ) -> Report:
    """Everything that can be asked. `problems`: sentences about settings that are wrong. Writes nothing."""
    examination = _Examination(config)
    examination.see(
        settings_subject.SUBJECT, settings_subject.findings(machine.settings_facts(config, problems, environment))
    )
    examination.machine()
    workers = examination.redis()
    examination.elasticsearch(workers)
    examination.kibana()
    return examination.report()


class _Examination:
    """What has been found so far. Each method examines one place, and goes on whatever happens there."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._findings: list[Finding] = []
        self._checked: dict[str, None] = {}
        self._not_checked: dict[str, str] = {}
        self._clocks: dict[str, float] = {}

    def see(self, subject: str, findings: Iterable[Finding]) -> None:
        self._checked[subject] = None
        self._findings += findings

    def report(self) -> Report:
        if self._clocks:
            self.see(clock.SUBJECT, clock.findings(self._clocks))
            self._not_checked.pop(clock.SUBJECT, None)  # one of them told it
        else:
            self._not_checked[clock.SUBJECT] = "Neither Redis nor Elasticsearch told the time."
        return Report(
            tuple(sorted(self._findings, key=lambda one: SEVERITIES.index(one.severity))),
            tuple(self._checked),
            self._not_checked,
        )

    def machine(self) -> None:
        self.see(folders.SUBJECT, folders.findings(machine.folder_facts(self._config)))
        self.see(native.SUBJECT, native.findings(CHECKED_IN))
        self.see(rq.SUBJECT, rq.findings(instrument.problems()))
        try:
            self.see(shipping.SUBJECT, shipping.findings(machine.shipping_facts(self._config)))
        except PermissionError as denied:
            self._not_checked[shipping.SUBJECT] = f"{denied}."

    def redis(self) -> list[WorkerSample] | None:
        """The live workers; None if Redis cannot be asked."""
        try:
            with connect(self._config) as connection:
                facts = gather_redis.redis_facts(connection)
                workers = gather_redis.live_workers(connection)
        except RedisError as failed:
            self._away(redis.SUBJECT, str(unreachable(failed)))
            return None
        except ShipperError as failed:
            self._away(redis.SUBJECT, str(failed))
            return None
        self.see(redis.SUBJECT, redis.findings(facts))
        self._clocks |= gather_redis.clocks(facts)
        return workers

    def elasticsearch(self, workers: list[WorkerSample] | None) -> None:
        """All that Elasticsearch tells, and what takes both it and Redis."""
        recorded = services = None
        try:
            with client.connect_reader(self._config) as search:
                cluster = elastic.Cluster(search, self._config)
                with self._whatever(elasticsearch.SUBJECT):
                    self.see(elasticsearch.SUBJECT, elasticsearch.findings(cluster.facts()))
                with self._whatever(clock.SUBJECT):
                    self._clocks |= cluster.clocks()
                with self._whatever(templates.SUBJECT):
                    self.see(templates.SUBJECT, templates.findings(cluster.templates()))
                with self._whatever(retention.SUBJECT):
                    self.see(retention.SUBJECT, retention.findings(cluster.retention()))
                with self._whatever(privileges.SUBJECT):
                    held = cluster.privileges()
                    if held is None:
                        self._not_checked[privileges.SUBJECT] = "Elasticsearch's security is off."
                    else:
                        self.see(privileges.SUBJECT, privileges.findings(held))
                with self._whatever(context.SUBJECT):
                    self.see(context.SUBJECT, context.findings(cluster.context()))
                    services = cluster.services()
                    recorded = cluster.recorded(one.name for one in workers or ())
        except (DestinationError, SettingsError) as failed:
            self._away(elasticsearch.SUBJECT, str(failed))
            for subject in (templates.SUBJECT, retention.SUBJECT, privileges.SUBJECT, context.SUBJECT):
                self._not_checked[subject] = "Elasticsearch cannot be asked."
        if workers is None and services is None:
            self._not_checked[queues.SUBJECT] = "Neither Redis nor the records can be asked."
        else:
            facts = queues.QueueFacts(workers=workers or (), services=services, recorded=recorded)
            self.see(queues.SUBJECT, queues.findings(facts))

    def kibana(self) -> None:
        if not self._config.kibana:
            self._not_checked[kibana.SUBJECT] = "SHIPPER_KIBANA is not set."
            return
        try:
            self.see(kibana.SUBJECT, kibana.findings(gather_kibana.kibana_facts(self._config)))
        except (DestinationError, SettingsError) as failed:
            self._away(kibana.SUBJECT, str(failed))

    def _away(self, subject: str, why: str) -> None:
        """Somebody that does not answer. `why` says what to do, too."""
        self.see(subject, [error(subject, why, "Until then nothing that rests on it can be checked.")])

    @contextmanager
    def _whatever(self, subject: str) -> Iterator[None]:
        """What these credentials may not ask is not checked, and nothing else ends with it."""
        try:
            yield
        except DestinationError as failed:
            self._not_checked[subject] = str(failed)
