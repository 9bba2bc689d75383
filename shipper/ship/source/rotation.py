"""The log's own rotation: renamed at a size, deleted after a time or a total, so that no logrotate is needed.

A renamed log is deleted only when all of it is safe and nobody writes to it any more. Linux says so: a read
lease (fcntl(2), F_SETLEASE) is granted only on a file that no process has open for writing. It takes a local
file system, and the file's owner or CAP_LEASE; where it cannot be had, a time without a write has to do.
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
QUIET_S = 3600.0  # without a write, where the lease cannot be had
# records.jsonl.20261121T071502123456Z: sorts by time, and nobody else names files so.
_STAMP = "%Y%m%dT%H%M%S%fZ"
_STAMPED = re.compile(r"\.\d{8}T\d{12}Z")


class Rotation:
    """Renames and deletes the log that emitters write to, `settings.log`. Nobody else's files are touched."""

    def __init__(self, settings: Settings) -> None:
        self._log = settings.log
        self._rotate_bytes = settings.rotate_mb * MB
        self._keep_s = settings.keep_days * DAY_S
        self._keep_bytes = settings.keep_mb * MB
        self._retry_state = LogThrottle()

    def run(self, discovery: Discovery) -> None:
        """One look. Trouble is said once a minute, and stops nothing."""
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
            if self._retry_state.due():
                log.warning(
                    "The log %s cannot be rotated: %s. Give this account the right to write in its folder, or set "
                    "SHIPPER_ROTATE_MB=0 and leave it to logrotate.",
                    self._log, error.strerror, extra={"event.action": "rotation-failed"},
                )  # fmt: skip

    def _rename(self, tailed: dict[Path, TailedFile]) -> None:
        file = tailed.get(self._log)
        if file is None or file.size < self._rotate_bytes:
            return
        renamed = self._log.with_name(self._log.name + datetime.now(UTC).strftime(f".{_STAMP}"))
        self._log.rename(renamed)  # writers notice within a second, and make a new one
        file.path = renamed

    def _past(self, tailed: dict[Path, TailedFile]) -> list[TailedFile]:
        """The renamed logs that are past their time, or too much together: the oldest first."""
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
    """Whether this is a log that we renamed."""
    return path.parent == log_path.parent and bool(
        path.name.startswith(log_path.name) and _STAMPED.fullmatch(path.name[len(log_path.name) :])
    )


def is_done_with(file: TailedFile, now: float) -> bool:
    """Whether all of a file is safe and nobody can add to it. A torn last line is taken first."""
    written_to = is_written_to(file.descriptor)
    if written_to is None:
        written_to = now - os.fstat(file.descriptor).st_mtime < QUIET_S
    if written_to:
        return False
    if not file.is_safe:
        file.final = True  # nobody is left to write its other half
        return False
    return True


def is_written_to(descriptor: int) -> bool | None:
    """Whether any process has the file open for writing. None where that cannot be asked."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as answer:
        return True if answer.errno in (errno.EAGAIN, errno.EBUSY) else None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
