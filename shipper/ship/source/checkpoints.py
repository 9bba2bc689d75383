"""The registry: the acknowledged position of each file, on disk. Replaced atomically and durably.

Positions may be behind what Elasticsearch has, but never ahead. Lines that are sent again have the same id, and
Elasticsearch reports them as duplicates.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ... import folders
from ...errors import StateError, StateInUse
from .fingerprint import Fingerprint

log = logging.getLogger("shipper")

FORMAT = 2
FORGET_AFTER_S = 30 * 86_400.0  # a file that was not seen for this long is assumed not to come back
MAX_ENTRIES = 20_000  # of files that do not exist now


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The position in one file: the offset of the first byte that is not acknowledged.

    `head` and `tail` identify the file, see fingerprint.py. `seen_at` is when the file was last seen, a Unix time.
    `whole` is the seal of a compressed file that was read to its end, else None.
    """

    path: str
    device: int
    inode: int
    head: Fingerprint
    tail: Fingerprint
    position: int
    seen_at: float
    whole: int | None = None


def recent(entries: Iterable[Checkpoint], now: float) -> list[Checkpoint]:
    """The entries that were seen within FORGET_AFTER_S, at most MAX_ENTRIES of them."""
    kept = [entry for entry in entries if now - entry.seen_at < FORGET_AFTER_S]
    return sorted(kept, key=lambda entry: -entry.seen_at)[:MAX_ENTRIES]


class Registry:
    """The positions of one shipper. Holds the lock of its folder until `close()`.

    Raises StateError if the folder cannot be used or another shipper uses it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "registry.json"
        make_folder(folder)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise StateInUse(
                f"Another shipper is using the state folder {folder}. Stop it, or give this one a folder of its own "
                "with SHIPPER_STATE (or --state)."
            ) from error
        self.entries = self._load()

    def holds(self, entries: list[Checkpoint]) -> bool:
        """Whether these entries are saved already, regardless of `seen_at`."""
        return len(self.entries) == len(entries) and all(map(_is_same, self.entries, entries))

    def save(self, entries: Iterable[Checkpoint]) -> None:
        """Replace the registry on disk. Durable when it returns. Raises OSError."""
        self.entries = list(entries)
        aside = self.file.with_suffix(".new")
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as out:
            # One by one, as all at once take megabytes; and not json.dump, which is ten times as slow (in Python).
            out.write(f'{{"format": {FORMAT}, "files": [')
            out.writelines(
                (", " if number else "") + json.dumps(_fields(one)) for number, one in enumerate(self.entries)
            )
            out.write("]}")
            out.flush()
            os.fsync(out.fileno())
        aside.rename(self.file)
        sync_folder(self.folder)

    def close(self) -> None:
        os.close(self._lock)

    def _load(self) -> list[Checkpoint]:
        try:
            content = json.loads(self.file.read_bytes())
            if content["format"] != FORMAT:
                raise ValueError(f"its format is {content['format']}, and this release reads {FORMAT}")
            return [_checkpoint(fields) for fields in content["files"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, OSError) as error:
            self._set_aside(error)
            return []

    def _set_aside(self, error: Exception) -> None:
        """Move a corrupt registry aside. All files are read again, and indexed lines become duplicates."""
        kept = self.file.with_suffix(f".unreadable-{time.time_ns()}")
        with contextlib.suppress(OSError):
            self.file.rename(kept)
        log.warning(
            "The registry %s cannot be read (%s). It was moved to %s and every file is read from its start; "
            "what is indexed already is not indexed again.",
            self.file,
            error,
            kept,
            extra={"event.action": "registry-unreadable"},
        )


def _is_same(one: Checkpoint, other: Checkpoint) -> bool:
    """Whether both are of one position in one file."""
    return (one.position, one.device, one.inode, one.path, one.head, one.tail, one.whole) == (
        other.position, other.device, other.inode, other.path, other.head, other.tail, other.whole,
    )  # fmt: skip


def _fields(entry: Checkpoint) -> dict[str, Any]:
    """A checkpoint as JSON. dataclasses.asdict copies each value, which takes ten times as long."""
    shallow = {name: getattr(entry, name) for name in entry.__slots__}
    return {**shallow, "head": asdict(entry.head), "tail": asdict(entry.tail)}


def _checkpoint(fields: dict[str, Any]) -> Checkpoint:
    entry = Checkpoint(**{**fields, "head": Fingerprint(**fields["head"]), "tail": Fingerprint(**fields["tail"])})
    numbers = (entry.position, entry.head.length, entry.tail.length)
    if not all(isinstance(number, int) and number >= 0 for number in numbers) or entry.tail.length > entry.position:
        raise ValueError("a position in it makes no sense")
    return entry


def make_folder(folder: Path) -> None:
    """Create the state folder with mode 0700. Raises StateError if it cannot be created or written."""
    try:
        folders.make_folder(folder, 0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise StateError(
            f"The state folder {folder} cannot be used: {error.strerror}. "
            "Set SHIPPER_STATE (or --state) to a folder that this account can write."
        ) from error


def sync_folder(folder: Path) -> None:
    """Make a file that was created or renamed in the folder survive a power failure. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
