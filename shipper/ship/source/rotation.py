"""Rotates the log, so that no logrotate is needed: renames it by size, compresses it, deletes it by age and total size.

A renamed log is compressed or deleted only if all of it is acknowledged and no process can write to it. Linux grants a
read lease (fcntl(2), F_SETLEASE) only on a file that no process has open for writing. That needs a local file system,
and to be the file's owner or have CAP_LEASE. Otherwise the log has to be unchanged for QUIET_S.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from ...settings import Settings
from ..bulk.backoff import LogThrottle
from .compressed import CompressedFile
from .compression import SUFFIX, Compression
from .discovery import Discovery, File
from .tail import TailedFile

log = logging.getLogger("shipper")

MB = 1 << 20
DAY_S = 86_400.0
QUIET_S = 3600.0  # seconds without a write, if there are no leases
COMPRESS_AGAIN_S = 60.0  # after an error, such as a full disk
# records.jsonl.20261121T071502123456Z: sorts by time, and other tools do not use this form.
_STAMP = "%Y%m%dT%H%M%S%fZ"
_STAMPED = re.compile(r"\.\d{8}T\d{12}Z(\.gz)?")


class Rotation:
    """Renames, compresses and deletes `settings.log`, and no other files. `close` ends what it began."""

    def __init__(self, settings: Settings) -> None:
        self._log = settings.log
        self._rotate_bytes = settings.rotate_mb * MB
        self._keep_s = settings.keep_days * DAY_S
        self._keep_bytes = settings.keep_mb * MB
        self._compresses = settings.compress_logs
        self._compression: Compression | None = None
        self._compress_from = 0.0  # monotonic time
        self._throttle = LogThrottle()

    def run(self, discovery: Discovery) -> None:
        """Rotate if it is due. Errors are logged once a minute, not raised."""
        if not self._rotate_bytes:
            return
        files = {file.path: file for file in discovery.files if file.path.name.startswith(self._log.name)}
        try:
            self._rename(files)
            renamed = sorted(
                (file for path, file in files.items() if is_renamed(path, self._log)), key=lambda file: file.path.name
            )
            past = self._past(renamed)
            for file in past:
                if is_done_with(file, time.time()):
                    file.path.unlink()
                    discovery.forget(file)
                    log.info("Deleted %s: all of it is indexed.", file.path, extra={"event.action": "log-deleted"})
            if self._compresses:
                self._compress([file for file in renamed if file not in past], discovery)
        except OSError as error:
            if self._throttle.due():
                log.warning(
                    "The log %s cannot be rotated: %s. Give this account the right to write in its folder, or set "
                    "SHIPPER_ROTATE_MB=0 and leave it to logrotate.",
                    self._log,
                    error.strerror,
                    extra={"event.action": "rotation-failed"},
                )

    def close(self) -> None:
        """Stop compressing. What was begun is begun again at the next start."""
        if self._compression is not None:
            self._compression.stop()
            self._compression = None

    def _rename(self, files: dict[Path, File]) -> None:
        file = files.get(self._log)
        if not isinstance(file, TailedFile) or file.size < self._rotate_bytes:
            return
        renamed = self._log.with_name(self._log.name + datetime.now(UTC).strftime(f".{_STAMP}"))
        self._log.rename(renamed)  # writers notice within a second, and create a new one
        file.path = renamed

    def _past(self, renamed: list[File]) -> list[File]:
        """The renamed logs that are older than keep_days, or beyond keep_mb in total; oldest first."""
        total, now, past = sum(file.size for file in renamed), time.time(), []
        for file in renamed:
            if total > self._keep_bytes or now - file.changed_at() > self._keep_s:
                past.append(file)
                total -= file.size
        return past

    def _compress(self, renamed: list[File], discovery: Discovery) -> None:
        """Replace the log that was compressed meanwhile, and begin with the oldest one that is not. Raises OSError."""
        # What another program has compressed or removed stays open for some seconds.
        plain = {file.path: file for file in renamed if isinstance(file, TailedFile) and file.path.exists()}
        if (running := self._compression) is not None:
            if not running.done:
                return
            self._compression = None
            file = plain.get(running.original)
            if running.error is not None:
                self._not_compressed(running)
            elif file is not None and is_done_with(file, time.time()) and file.size == running.taken:
                self._replace(file, running.path, discovery)
                del plain[running.original]
            else:  # it was written to after all, or is gone
                running.path.unlink(missing_ok=True)
        for file in plain.values() if time.monotonic() >= self._compress_from else ():
            if file.size and is_done_with(file, time.time()):
                self._compression = Compression(file.descriptor, file.path)
                return

    def _not_compressed(self, failed: Compression) -> None:
        self._compress_from = time.monotonic() + COMPRESS_AGAIN_S
        log.warning(
            "%s could not be compressed: %s. It stays as it is, and it is tried again in a minute. "
            "SHIPPER_COMPRESS_LOGS=false leaves logs as they are.",
            failed.original,
            getattr(failed.error, "strerror", None) or failed.error,
            extra={"event.action": "compression-failed"},
        )

    def _replace(self, file: TailedFile, compressed: Path, discovery: Discovery) -> None:
        """Put the compressed file in the place of the log. If it is killed in between, the next start repeats it."""
        path = file.path.with_name(file.path.name + SUFFIX)
        replacement = CompressedFile(compressed)
        try:
            discovery.remember(file.checkpoint(), as_compressed=replacement)
        finally:
            replacement.close()
        compressed.rename(path)
        size, now = file.size, path.stat().st_size
        file.path.unlink()
        discovery.forget(file)
        log.info(
            "Compressed %s, all of which is indexed: %d MB are %d MB.",
            path,
            size // MB,
            -(-now // MB),
            extra={"event.action": "log-compressed"},
        )


def is_renamed(path: Path, log_path: Path) -> bool:
    """Whether the path is a log that this class has renamed."""
    return path.parent == log_path.parent and bool(
        path.name.startswith(log_path.name) and _STAMPED.fullmatch(path.name[len(log_path.name) :])
    )


def is_done_with(file: File, now: float) -> bool:
    """Whether all of a file is acknowledged and no process can write to it.

    If it ends in an incomplete line, sets `final`, so that the line is read as it is.
    """
    if isinstance(file, CompressedFile):
        return file.ended and file.is_safe  # what ends too early may still be being compressed
    written_to = is_written_to(file.descriptor)
    if written_to is None:
        written_to = now - os.fstat(file.descriptor).st_mtime < QUIET_S
    if written_to:
        return False
    if not file.is_safe:
        file.final = True  # nobody will complete its last line
        return False
    return True


def is_written_to(descriptor: int) -> bool | None:
    """Whether any process has the file open for writing. None if there are no leases."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as answer:
        return True if answer.errno in (errno.EAGAIN, errno.EBUSY) else None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
