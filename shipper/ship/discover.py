"""Globs → open files: new ones are found, known ones are recognised, finished ones are let go."""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Iterable
from pathlib import Path

from ..errors import SourceError
from .registry import Entry
from .tail import Tailed

log = logging.getLogger("shipper")

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")  # what was compressed was a file that was read before

GONE_GRACE_S = 10.0  # a writer checks the name of its file at every record


def check_folders(globs: Iterable[str]) -> None:
    """Raise SourceError if no file could ever match, because a folder is missing or closed to us."""
    for pattern in globs:
        folder = Path(pattern).parent
        if glob.has_magic(str(folder)):
            continue
        if not folder.is_dir():
            raise SourceError(
                f"The folder {folder} does not exist, so there is nothing to ship. Check SHIPPER_FILES (or --files), "
                "or start what writes there."
            )
        if not os.access(folder, os.R_OK | os.X_OK):
            raise SourceError(
                f"The folder {folder} cannot be read by this account. Give its group access to it, "
                "or run the shipper as another account."
            )


class Discovery:
    """The files that the globs name, each held open once."""

    def __init__(self, globs: Iterable[str], remembered: Iterable[Entry]) -> None:
        self._globs = tuple(globs)
        self._remembered = list(remembered)
        self._open: dict[tuple[int, int], Tailed] = {}
        self._gone_since: dict[tuple[int, int], float] = {}
        self._unreadable: set[Path] = set()

    @property
    def files(self) -> list[Tailed]:
        return list(self._open.values())

    def refresh(self) -> None:
        """Look at the globs again."""
        found = {}
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                continue  # it vanished since it was listed
            found[status.st_dev, status.st_ino] = path
        for key, path in found.items():
            if key in self._open:
                self._open[key].path = path  # renamed, perhaps
            else:
                self._begin(key, path)
        for key in self._open.keys() - found.keys():
            self._let_go(key)

    def entries(self) -> list[Entry]:
        """The registry's content: open files, and those of earlier runs that may yet come back."""
        return [tailed.entry() for tailed in self._open.values()] + self._remembered

    def close(self) -> None:
        for tailed in self._open.values():
            tailed.close()
        self._open.clear()

    def _paths(self) -> list[Path]:
        """The oldest first: a rotated file before the one that took its place."""
        paths = {Path(name) for pattern in self._globs for name in glob.iglob(pattern)}
        return sorted((path for path in paths if path.suffix not in COMPRESSED and path.is_file()), key=_age)

    def _begin(self, key: tuple[int, int], path: Path) -> None:
        try:
            tailed = Tailed(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as trouble:
            if path not in self._unreadable:
                self._unreadable.add(path)
                log.warning(
                    "%s cannot be read: %s. It is tried again every second.", path, trouble.strerror,
                    extra={"event.action": "file-unreadable"},
                )  # fmt: skip
            return
        self._unreadable.discard(path)
        if (entry := self._recall(tailed)) is not None:
            self._remembered.remove(entry)
            tailed.continue_at(entry.position)
        self._open[key] = tailed

    def _recall(self, tailed: Tailed) -> Entry | None:
        """What an earlier run knew of this file: the same inode first, else the same content elsewhere."""
        candidates = [entry for entry in self._remembered if entry.head.length and entry.head.fits(tailed.descriptor)]
        candidates.sort(key=lambda entry: (entry.inode, entry.device) != (tailed.inode, tailed.device))
        return candidates[0] if candidates else None

    def _let_go(self, key: tuple[int, int]) -> None:
        """A file that no glob names any more is closed once all of it is safe and nothing more comes.

        Until then it stays open: its writer may not have noticed yet that it was renamed.
        """
        tailed = self._open[key]
        if not tailed.at_end() or tailed.acknowledged != tailed.read_to:
            self._gone_since.pop(key, None)
        elif time.monotonic() - self._gone_since.setdefault(key, time.monotonic()) > GONE_GRACE_S:
            del self._gone_since[key]
            tailed.close()
            del self._open[key]


def _age(path: Path) -> tuple[float, str]:
    try:
        return path.stat().st_mtime, str(path)
    except OSError:
        return 0.0, str(path)
