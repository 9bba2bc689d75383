"""How far each file was acknowledged, on disk: written aside, synced, renamed, the folder synced.

Positions may lag behind what Elasticsearch has, never run ahead of it: what is sent again has the same id
and is answered with "already there".
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import StateError
from .identity import Fingerprint

log = logging.getLogger("shipper")

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A file that was seen: `position` is the offset of the first byte that is not acknowledged."""

    path: str
    device: int
    inode: int
    head: Fingerprint
    position: int


class Registry:
    """The positions of one shipper. Holds the lock of its folder until `close()`.

    Raises StateError when the folder cannot be used or another shipper has it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "registry.json"
        make_folder(folder)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as trouble:
            os.close(self._lock)
            raise StateError(
                f"Another shipper is using the state folder {folder}. Stop it, or give this one a folder of its own "
                "with SHIPPER_STATE (or --state)."
            ) from trouble
        self.entries = self._load()

    def save(self, entries: Iterable[Entry]) -> None:
        """Replace what is on disk. Durable when it returns."""
        self.entries = list(entries)
        content = {"format": FORMAT, "files": [asdict(entry) for entry in self.entries]}
        aside = self.file.with_suffix(".new")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as out:
            json.dump(content, out)
            out.flush()
            os.fsync(out.fileno())
        aside.rename(self.file)
        _sync_folder(self.folder)

    def close(self) -> None:
        os.close(self._lock)

    def _load(self) -> list[Entry]:
        try:
            content = json.loads(self.file.read_bytes())
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']}")
            return [Entry(**{**entry, "head": Fingerprint(**entry["head"])}) for entry in content["files"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, OSError) as trouble:
            self._set_aside(trouble)
            return []

    def _set_aside(self, trouble: Exception) -> None:
        """An unreadable registry is kept for whoever wants to know, and everything is read anew: ids absorb it."""
        kept = self.file.with_suffix(f".unreadable-{time.time_ns()}")
        self.file.rename(kept)
        log.warning(
            "The registry %s cannot be read (%s). It was moved to %s and every file is read from its start; "
            "what is indexed already is not indexed again.",
            self.file, trouble, kept, extra={"event.action": "registry-unreadable"},
        )  # fmt: skip


def make_folder(folder: Path) -> None:
    """Make the state folder, for this account alone. Raises StateError if it cannot be made or written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as trouble:
        raise StateError(
            f"The state folder {folder} cannot be used: {trouble.strerror}. "
            "Set SHIPPER_STATE (or --state) to a folder that this account can write."
        ) from trouble


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
