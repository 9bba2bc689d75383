"""`shipper import`: ships old files once, continuing where an earlier import of them ended.

Its positions and dead letters are in a folder of their own, so that it can run while the daemon runs.
"""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ..errors import SourceError
from ..folders import make_folder
from ..records import alias
from ..settings import Settings
from .bulk.retry import Stopped
from .daemon import RETRY_TIMEOUT_S, SAVE_EVERY_S, Interval, Signals, opened, save, tune_process
from .garbage import few_collections
from .reader.legacy import LegacyImportReader, LegacyReader
from .reader.ndjson import NdjsonReader, NdjsonReaderSince, Reader
from .source.checkpoints import Registry
from .source.compressed import is_compressed
from .source.discovery import LEFT_ALONE, Discovery, File
from .source.tail import Block
from .status import Counts

log = logging.getLogger("shipper")

FOLDER = "import"  # in the state folder


@dataclass(frozen=True, slots=True)
class Imported:
    """The result of an import. `skipped` records are before `since`; `stopped`: it was interrupted."""

    counts: Counts
    skipped: int
    stopped: bool


def run(
    settings: Settings, files: Sequence[Path], since: datetime | None, progress: Callable[[int, int], None]
) -> Imported:
    """Import the files, oldest first. `progress` is called with (bytes read, bytes in all).

    Raises SourceError, StateError, DestinationError.
    """
    check(files)
    settings = replace(
        settings,
        files=tuple(glob.escape(str(path.absolute())) for path in files),
        state=settings.state / FOLDER,
    )
    make_folder(settings.state.parent, 0o700)
    reader = _reader(settings, since)
    tune_process()
    signals = Signals()
    with (
        opened(settings, signals, RETRY_TIMEOUT_S, reader=reader, follow_all_links=True) as (
            registry,
            discovery,
            pipeline,
        ),
        suppress(Stopped),
    ):
        pipeline.prepare()
        discovery.refresh()
        blocks = _in_turn(discovery, reader, signals, progress)
        with few_collections():
            pipeline.ship(_saved(blocks, registry, discovery))
            pipeline.finish()
    skipped = reader.skipped if isinstance(reader, LegacyReader | NdjsonReaderSince) else 0
    return Imported(pipeline.counts, skipped, signals.stop.is_set())


def check(files: Sequence[Path]) -> None:
    """Raise SourceError if one of the files cannot be read. Called before anything is imported."""
    for path in files:
        if path.is_dir():
            raise SourceError(f"{path} is a folder. Name the files in it: {path}/*.log")
        if not path.is_file():
            raise SourceError(f"There is no file {path}. Nothing was imported.")
        if not os.access(path, os.R_OK):
            raise SourceError(f"{path} cannot be read by this account. Nothing was imported.")
        if path.suffix in LEFT_ALONE:
            raise SourceError(f"{path} is compressed in a way that is not read here. Unpack it first, or use gzip.")


def _reader(settings: Settings, since: datetime | None) -> LegacyImportReader | NdjsonReader:
    if settings.format == "legacy":
        return LegacyImportReader(settings, since, _AgeWarning(settings).check)
    if since:
        return NdjsonReaderSince(settings, since, trusts_all=True)
    return NdjsonReader(settings, trusts_all=True)


class _AgeWarning:
    """Warns once if imported records are older than the retention."""

    def __init__(self, settings: Settings) -> None:
        self._days = min(settings.retention["job"], settings.retention["app"])
        self._kept_from = datetime.now(UTC) - timedelta(days=self._days)
        self._warned = False

    def check(self, at: datetime) -> None:
        if at < self._kept_from and not self._warned:
            self._warned = True
            log.warning(
                "There are records of %s, and indices are kept for %s days (%s): the next `shipper prune`, or a "
                "running shipper, deletes them again. Set SHIPPER_RETENTION for everybody who prunes "
                "(job=3650,app=3650), or leave old records out with --since.",
                f"{at:%Y-%m-%d}",
                self._days,
                f"{alias('rq.job')} and {alias('rq.app')}",
                extra={"event.action": "import-older-than-retention"},
            )


def _in_turn(
    discovery: Discovery, reader: Reader, signals: Signals, progress: Callable[[int, int], None]
) -> Iterator[Block]:
    """The blocks of one file after the other, in the order of their last change: a job may end in the next file."""
    files = sorted(discovery.files, key=lambda file: file.changed_at())
    total, before = sum(_size(file) for file in files), 0
    imported: list[tuple[File, int]] = []  # by an earlier import, with the position
    for file in files:
        if file.read_to:
            imported.append((file, file.read_to))
        while not signals.stop.is_set() and (block := file.read(to_the_end=True)) is not None:
            while imported and isinstance(reader, LegacyImportReader):
                reader.recall(*imported.pop(0))
            yield block
            progress(before + min(_size(file), file.read_to), total)
        before += _size(file)


def _saved(blocks: Iterator[Block], registry: Registry, discovery: Discovery) -> Iterator[Block]:
    """The same blocks. Saves the positions while they are consumed, in case the import is killed."""
    interval = Interval(SAVE_EVERY_S)
    for block in blocks:
        yield block
        if interval.due():
            save(registry, discovery)


def _size(file: File) -> int:
    """Bytes to read. Of a compressed file the compressed size, as the other is not known."""
    return file.size if not is_compressed(file.path) else max(file.size, file.read_to)
