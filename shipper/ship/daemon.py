"""The main loop: discover files, ship, save positions; drains on SIGTERM, reloads on SIGHUP."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType
from typing import TYPE_CHECKING

from .. import client
from ..errors import DestinationError, SettingsError, SourceError
from ..index import retention, state_retention
from ..records import SEAL_EVERY_S
from ..service import ServiceInfo
from ..settings import Settings
from . import pulse, status
from .bulk.backoff import LogThrottle
from .bulk.dead_letters import DeadLetters
from .bulk.retry import Stopped
from .bulk.sender_pool import set_switch_interval
from .counting import counting as counters
from .counting.counting import Counting, from_settings
from .malloc import tune_malloc
from .pipeline import Pipeline
from .reader.framer import CHECKED_IN
from .reader.ndjson import NdjsonReader, Reader
from .source.checkpoints import Registry
from .source.discovery import Discovery, File, allow_many_files, check_folders
from .source.idle import IdleFiles
from .source.links import Links
from .source.rotation import Rotation
from .source.tail import Block, Source
from .standby import open_registry
from .status import Counts, Status, Watcher

if TYPE_CHECKING:
    from .metrics_server import MetricsServer

log = logging.getLogger("shipper")

REST_S = 0.2  # between two passes over the files, so that a line is read within 250 ms
LOOK_EVERY_S = 1.0  # between two evaluations of the globs
ROTATE_EVERY_S = 3.0  # between two checks of the log's size
SAVE_EVERY_S = 1.0  # after a crash, lines of this time are sent again; their ids make them duplicates
WATCH_EVERY_S = 3.0  # between two updates of the status file
REPORT_EVERY_S = 30.0  # between two status records
SEND_WAITING_EVERY_S = 15.0
PREPARE_EVERY_S = 300.0  # between two checks of the index templates, which somebody may delete
PRUNE_EVERY_S = 86_400.0
RETRY_TIMEOUT_S = 30.0  # of the runs that end by themselves
DRAIN_S = 10.0  # from SIGTERM until requests in flight are abandoned; their lines are sent again at the next start


Seal = Callable[[bool], bool]
"""Writes a seal of the log's audit chain; the last one if True. Whether there was something to seal. Never raises."""


def run(load: Callable[[], Settings], sealing: Callable[[Settings], Seal] = lambda _: lambda _: False) -> Counts:
    """Tail and ship until SIGTERM or SIGINT; SIGHUP reloads the settings. Raises StateError, SettingsError.

    `sealing`: what seals the audit chain of the settings' log.
    """
    tune_process()
    signals = Signals()
    settings, counts = load(), Counts()
    counters.check(settings)
    while True:
        registry = open_registry(settings, signals.stop)
        if registry is not None:
            with opened(settings, signals, None, counts, registry=registry) as parts:
                _Daemon(settings, counts, signals, parts, sealing(settings)).run()
        signals.drained()
        if not signals.reload():
            return counts
        try:
            loaded = load()
            counters.check(loaded)
            settings = loaded
            log.info("The settings were loaded again.", extra={"event.action": "settings-loaded"})
        except SettingsError as wrong:
            log.warning("The settings stay as they were: %s", wrong, extra={"event.action": "settings-refused"})


def run_once(settings: Settings) -> Counts:
    """Ship what the files have now, and return. Raises SourceError, StateError, DestinationError."""
    check_folders(settings.files)
    tune_process()
    signals = Signals()
    with opened(settings, signals, RETRY_TIMEOUT_S) as (_, discovery, pipeline):
        pipeline.prepare()
        discovery.refresh()
        pipeline.ship(blocks(discovery.files, signals.stop, to_the_end=True))
        pipeline.finish()
    return pipeline.counts


class _Daemon:
    """The main loop, until it is stopped or the settings are reloaded."""

    def __init__(self, settings: Settings, counts: Counts, signals: Signals, parts: Parts, seal: Seal) -> None:
        self._settings, self._seal = settings, seal
        self._signals, self._stop = signals, signals.stop
        self._registry, self._discovery, self._pipeline = parts
        self._idle = IdleFiles(self._discovery)
        self._rotation = Rotation(settings)
        self._status_thread = _StatusThread(settings, counts, self._discovery, self._pipeline.counting)
        self._folders, self._disk = LogThrottle(), LogThrottle()
        self._saved: tuple[int, int] | None = None
        self._last_read: Source | None = None

    def run(self) -> None:
        log.info(
            "Shipping %s to %s; positions in %s; lines are checked in %s.",
            ", ".join(self._settings.files),
            client.addresses_for_people(self._settings),
            self._settings.state,
            CHECKED_IN,
            extra={"event.action": "shipper-started"},
        )
        self._status_thread.start()
        try:
            self._tail()
        except Stopped as reason:
            log.info("%s", reason)
        finally:
            self._signals.drained()
            self._rotation.close()
            self._status_thread.stop()

    def _tail(self) -> None:
        due: dict[Callable[[], None], Interval] = {
            self._discover: Interval(LOOK_EVERY_S),
            self._rotate: Interval(ROTATE_EVERY_S),
            self._save: Interval(SAVE_EVERY_S),
            self._report_status: Interval(REPORT_EVERY_S),
            self._pipeline.prepare: Interval(PREPARE_EVERY_S),
            self._pipeline.send_waiting: Interval(SEND_WAITING_EVERY_S),
            self._prune: Interval(PRUNE_EVERY_S),
            self._seal_chain: Interval(SEAL_EVERY_S),
        }
        while not self._stop.is_set():
            pulse.beat()
            for task, interval in due.items():
                if interval.due():
                    task()
            if not self._pipeline.ship(self._blocks_of_a_turn(), REST_S):
                self._stop.wait(REST_S)
        if self._seal(True):  # ships it, and what the workers write meanwhile
            self._pipeline.ship(blocks(self._idle.active(), threading.Event()), REST_S)
        self._pipeline.finish()

    def _blocks_of_a_turn(self) -> Iterator[Block]:
        """New blocks. A turn may end after the first one: the next turn begins with the file after that one's."""
        files = self._idle.active()
        first = next((place + 1 for place, file in enumerate(files) if file is self._last_read), 0)
        for block in blocks(files[first:] + files[:first], self._stop):
            self._last_read = block.source
            yield block

    def _discover(self) -> None:
        try:
            check_folders(self._settings.files)
            self._folders.over()
        except SourceError as error:
            if self._folders.due():
                log.warning("%s Waiting for it.", error, extra={"event.action": "folder-missing"})
        self._discovery.look()

    def _rotate(self) -> None:
        self._rotation.run(self._discovery)

    def _save(self) -> None:
        if self._pipeline.counting is not None:
            self._pipeline.counting.save()  # first: what is sent again after a crash is not counted again
        state = (self._pipeline.counts.sent_bytes, self._discovery.changes)
        if state == self._saved:
            return
        try:
            save(self._registry, self._discovery)
            self._saved = state
            self._disk.over()
        except OSError as error:  # such as a full disk; lines that are sent again are duplicates
            if self._disk.due():
                log.warning(
                    "Positions cannot be saved in %s: %s. It is tried again every second.",
                    self._settings.state,
                    error.strerror,
                    extra={"event.action": "registry-unwritable"},
                )

    def _report_status(self) -> None:
        if self._status_thread.latest is not None:
            self._pipeline.add_record(status.record(self._status_thread.latest, ServiceInfo.here(self._settings)))

    def _seal_chain(self) -> None:
        self._seal(False)

    def _prune(self) -> None:
        """Delete what is past its retention. Missing privileges are only logged."""
        if not self._settings.prune:
            return
        try:
            with client.connect(self._settings) as cluster:
                for name in retention.prune(cluster, self._settings, datetime.now(UTC)):
                    log.info("Deleted %s: its period is past.", name, extra={"event.action": "index-pruned"})
                state_retention.begin(cluster, self._settings, datetime.now(UTC))  # Elasticsearch goes on by itself
        except DestinationError as error:
            log.warning(
                "Not all that is past its retention could be deleted: %s Run `shipper prune` with a key that may.",
                error,
                extra={"event.action": "prune-failed"},
            )


class _StatusThread:
    """A thread that updates the status file and the metrics, also while the main thread waits for Elasticsearch."""

    def __init__(self, settings: Settings, counts: Counts, discovery: Discovery, counting: Counting | None) -> None:
        self._counting = counting if settings.job_metrics else None
        self.latest: Status | None = None
        self._settings = settings
        self._discovery = discovery
        self._watcher = Watcher(counts, client.addresses_for_people(settings))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._server: MetricsServer | None = None
        self._address = LogThrottle()

    def start(self) -> None:
        pulse.beat()
        self._update()
        if self._settings.listen:
            self._listen()
        elif self._counting is not None:
            log.warning(
                "Metrics of jobs (job_metrics) are given at /metrics, and SHIPPER_LISTEN is off: nobody can read them.",
                extra={"event.action": "listen-off"},
            )
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()
        if self._server is not None:
            self._server.close()
        self._update(stopped=True)

    def _run(self) -> None:
        while not self._stopped.wait(WATCH_EVERY_S):
            self._listen()
            self._update()

    def _listen(self) -> None:
        """Start the server if it does not run: another process, such as another shipper, may have had the address."""
        if self._server is not None or not self._settings.listen:
            return
        from .metrics_server import MetricsServer

        try:
            self._server = MetricsServer(self._settings.listen, self._now, self._counting, self._settings.state)
            self._watcher.not_listening = None
            self._address.over()
        except OSError as error:
            self._watcher.not_listening = f"{self._settings.listen}: {error.strerror}"
            if self._address.due():
                log.warning(
                    "Metrics and health cannot be given at %s: %s. What answers there is another process, perhaps "
                    "another shipper. It is tried again every few seconds. Set SHIPPER_LISTEN to another address, or "
                    "to off.",
                    self._settings.listen,
                    error.strerror,
                    extra={"event.action": "listen-failed"},
                )

    def _now(self) -> Status:
        if self.latest is None:  # the server was just started
            self._update()
        if self.latest is None:
            raise RuntimeError("nothing was looked at yet")
        return self.latest

    def _update(self, *, stopped: bool = False) -> None:
        try:
            self.latest = self._watcher.look(self._discovery.snapshot(), stopped=stopped)
            status.write(self.latest, self._settings.state)
        except OSError as error:  # a file that is being closed, or a full disk; the next update may succeed
            log.debug("No status now: %s", error)


class Interval:
    """`due()` is True at most once every `seconds`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = -seconds

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


class Signals:
    """Signal handlers. SIGTERM and SIGINT set `stop`; SIGHUP also does, and `reload()` is True then.

    Requests in flight have DRAIN_S to finish. Then SIGALRM raises Stopped in the main thread.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._reload = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, self._on_reload)
        signal.signal(signal.SIGALRM, _give_up)

    def drained(self) -> None:
        """Cancel the alarm: only the positions have to be saved now."""
        signal.setitimer(signal.ITIMER_REAL, 0)

    def reload(self) -> bool:
        """Whether to continue with reloaded settings. Resets `stop` if so."""
        requested, self._reload = self._reload, False
        if requested:
            self.stop.clear()
        return requested

    def _on_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._reload = False
        self._begin_to_stop()

    def _on_reload(self, _number: int, _frame: FrameType | None) -> None:
        self._reload = not self.stop.is_set() or self._reload
        self._begin_to_stop()

    def _begin_to_stop(self) -> None:
        self.stop.set()
        signal.setitimer(signal.ITIMER_REAL, DRAIN_S)


def _give_up(_number: int, _frame: FrameType | None) -> None:
    raise Stopped("Elasticsearch did not answer in time; what was on its way is sent again at the next start.")


def blocks(reading: Sequence[File], stop: threading.Event, *, to_the_end: bool = False) -> Iterator[Block]:
    """New blocks of the files, round-robin, so that a busy file does not delay the others."""
    while reading and not stop.is_set():
        unfinished: list[File] = []
        for tailed in reading:
            pulse.beat()
            if (block := tailed.read(to_the_end=to_the_end)) is not None:
                yield block
                if not tailed.at_end:
                    unfinished.append(tailed)
        reading = unfinished


def tune_process() -> None:
    """Tune a process that only ships: the limit of open files, malloc, and the thread switch interval."""
    allow_many_files()
    tune_malloc()
    set_switch_interval()


Parts = tuple[Registry, Discovery, Pipeline]


@contextmanager
def opened(
    settings: Settings,
    signals: Signals,
    retry_timeout_s: float | None,
    counts: Counts | None = None,
    reader: Reader | None = None,
    registry: Registry | None = None,
    *,
    follow_all_links: bool = False,
) -> Iterator[Parts]:
    """Registry, discovery and pipeline for the settings' files, continuing at the saved positions.

    The positions are saved at the end of the block. Raises StateError if another shipper uses the state folder.
    """
    registry = registry or Registry(settings.state)
    counting = from_settings(settings) if reader is None else None  # what is imported is of another time
    links = None if follow_all_links else Links(settings.link_roots, settings.files)
    discovery = Discovery(settings.files, registry.entries, multiline=settings.format == "legacy", links=links)
    dead_letters = DeadLetters(settings.state)
    pipeline = Pipeline(
        settings, dead_letters, signals.stop, retry_timeout_s, counts, reader or reader_of(settings), counting
    )
    try:
        if counting is not None:
            counting.start()
        yield registry, discovery, pipeline
    finally:
        signals.drained()  # first, as the alarm must not interrupt the saving of the positions
        _close(registry, discovery, pipeline)


def reader_of(settings: Settings) -> Reader:
    if settings.format != "legacy":
        return NdjsonReader(settings, counts=settings.counts)
    from .reader.legacy import LegacyReader  # which compiles RQ's text logs' grammar as it comes

    return LegacyReader(settings)


def save(registry: Registry, discovery: Discovery) -> None:
    """Save the positions if they have changed. Raises OSError."""
    entries = discovery.entries()
    if not registry.holds(entries):
        registry.save(entries)


def _close(registry: Registry, discovery: Discovery, pipeline: Pipeline) -> None:
    if pipeline.counting is not None:
        pipeline.counting.stop()
    try:
        save(registry, discovery)
    except OSError as error:
        log.warning("Positions could not be saved: %s. The rest is sent again at the next start.", error.strerror)
    discovery.close()
    pipeline.close()
    registry.close()
