"""Rotates the log, so that no logrotate is needed: renames it by size, deletes renamed logs by age and total size.

A renamed log is deleted only if all of it is acknowledged and no process can write to it. Linux grants a read lease
(fcntl(2), F_SETLEASE) only on a file that no process has open for writing. That needs a local file system, and to be
the file's owner or have CAP_LEASE. Otherwise the log has to be unchanged for QUIET_S.
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
from .discovery import Discovery
from .tail import TailedFile

log = logging.getLogger("shipper")

MB = 1 << 20
DAY_S = 86_400.0
QUIET_S = 3600.0  # seconds without a write, if there are no leases
# records.jsonl.20261121T071502123456Z: sorts by time, and other tools do not use this form.
_STAMP = "%Y%m%dT%H%M%S%fZ"
_STAMPED = re.compile(r"\.\d{8}T\d{12}Z")


class Rotation:
    """Renames and deletes `settings.log`, and no other files."""

    def __init__(self, settings: Settings) -> None:
        self._log = settings.log
        self._rotate_bytes = settings.rotate_mb * MB
        self._keep_s = settings.keep_days * DAY_S
        self._keep_bytes = settings.keep_mb * MB
        self._throttle = LogThrottle()

    def run(self, discovery: Discovery) -> None:
        """Rotate if it is due. Errors are logged once a minute, not raised."""
        if not self._rotate_bytes:
            return
        tailed = {
            file.path: file
            for file in discovery.files
            if isinstance(file, TailedFile) and file.path.name.startswith(self._log.name)
        }
        try:
            self._rename(tailed)
            for file in self._past(tailed):
                if is_done_with(file, time.time()):
                    file.path.unlink()
                    discovery.forget(file)
                    log.info("Deleted %s: all of it is indexed.", file.path, extra={"event.action": "log-deleted"})
        except OSError as error:
            if self._throttle.due():
                log.warning(
                    "The log %s cannot be rotated: %s. Give this account the right to write in its folder, or set "
                    "SHIPPER_ROTATE_MB=0 and leave it to logrotate.",
                    self._log,
                    error.strerror,
                    extra={"event.action": "rotation-failed"},
                )

    def _rename(self, tailed: dict[Path, TailedFile]) -> None:
        file = tailed.get(self._log)
        if file is None or file.size < self._rotate_bytes:
            return
        renamed = self._log.with_name(self._log.name + datetime.now(UTC).strftime(f".{_STAMP}"))
        self._log.rename(renamed)  # writers notice within a second, and create a new one
        file.path = renamed

    def _past(self, tailed: dict[Path, TailedFile]) -> list[TailedFile]:
        """The renamed logs that are older than keep_days, or beyond keep_mb in total; oldest first."""
        renamed = sorted(
            (file for path, file in tailed.items() if is_renamed(path, self._log)), key=lambda file: file.path.name
        )
        total, now, past = sum(file.size for file in renamed), time.time(), []
        for file in renamed:
            if total > self._keep_bytes or now - os.fstat(file.descriptor).st_mtime > self._keep_s:
                past.append(file)
                total -= file.size
        return past


def is_renamed(path: Path, log_path: Path) -> bool:
    """Whether the path is a log that this class has renamed."""
    return path.parent == log_path.parent and bool(
        path.name.startswith(log_path.name) and _STAMPED.fullmatch(path.name[len(log_path.name) :])
    )


def is_done_with(file: TailedFile, now: float) -> bool:
    """Whether all of a file is acknowledged and no process can write to it.

    If it ends in an incomplete line, sets `final`, so that the line is read as it is.
    """
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
