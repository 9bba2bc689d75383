"""Evaluates the globs and keeps the files open: opens new files, recognises known ones, closes finished ones."""

from __future__ import annotations

import contextlib
import errno
import glob
import logging
import os
import resource
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ...errors import SourceError
from ...opening import open_regular
from .checkpoints import Checkpoint, recent
from .compressed import CompressedFile, is_compressed
from .encoded import is_utf16
from .fingerprint import HEAD_LIMIT, Fingerprint, fingerprint, is_continuation, read_at
from .links import Links
from .tail import TailedFile

log = logging.getLogger("shipper")

LEFT_ALONE = (".zst", ".lz4")  # compressed formats that the standard library cannot read

GONE_GRACE_S = 10.0  # writers check the name of their file once a second
LOOK_ANYWAY_S = 30.0  # evaluate the globs at least this often: a ** may match folders that are not watched
COPY_GRACE_S = 10.0  # a file with the same beginning as another may be an incomplete copy for this long

Key = tuple[int, int]  # device and inode
File = TailedFile | CompressedFile


def check_folders(globs: Iterable[str]) -> None:
    """Raise SourceError if a folder of the globs is missing or cannot be read."""
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


def allow_many_files() -> None:
    """Raise the limit of open files to the hard limit; the default is usually 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class CheckpointIndex:
    """Checkpoints by device and inode, and by the fingerprint of the file's first bytes."""

    def __init__(self, checkpoints: Iterable[Checkpoint] = ()) -> None:
        self._by_key: dict[Key, list[Checkpoint]] = {}
        self._by_head: dict[Fingerprint, list[Checkpoint]] = {}
        self._lengths: set[int] = set()  # of the heads; few different ones
        for checkpoint in checkpoints:
            self.add(checkpoint)

    def __iter__(self) -> Iterator[Checkpoint]:
        return (checkpoint for checkpoints in self._by_key.values() for checkpoint in checkpoints)

    def add(self, checkpoint: Checkpoint) -> None:
        self._by_key.setdefault((checkpoint.device, checkpoint.inode), []).append(checkpoint)
        if checkpoint.head.length:
            self._by_head.setdefault(checkpoint.head, []).append(checkpoint)
            self._lengths.add(checkpoint.head.length)

    def remove(self, checkpoint: Checkpoint) -> None:
        """Remove a checkpoint, if it is present."""
        for checkpoints in (
            self._by_key.get((checkpoint.device, checkpoint.inode)),
            self._by_head.get(checkpoint.head),
        ):
            if checkpoints and checkpoint in checkpoints:
                checkpoints.remove(checkpoint)

    def of(self, key: Key) -> list[Checkpoint]:
        """The checkpoints with this device and inode."""
        return list(self._by_key.get(key, ()))

    def beginning_with(self, data: bytes) -> list[Checkpoint]:
        """The checkpoints of files whose first bytes were the same, longest first."""
        lengths = sorted((length for length in self._lengths if length <= len(data)), reverse=True)
        return [checkpoint for length in lengths for checkpoint in self._of_head(data[:length])]

    def _of_head(self, data: bytes) -> list[Checkpoint]:
        return self._by_head.get(fingerprint(data), [])


class Discovery:
    """The files that the globs match, each opened once.

    `changes` is a counter that grows when the set of files, or a file's path, may have changed.
    """

    def __init__(
        self,
        globs: Iterable[str],
        remembered: Iterable[Checkpoint],
        *,
        multiline: bool = False,
        links: Links | None = None,
    ) -> None:
        """`links`: which symbolic links are followed. None: all."""
        self._globs = tuple(globs)
        self._links = links
        self._multiline = multiline
        self._remembered = CheckpointIndex(remembered)
        self._open: dict[Key, File] = {}
        self._gone_since: dict[Key, float] = {}
        self._waiting_since: dict[Key, float] = {}
        self._unreadable: set[Path] = set()
        self._parents: set[Path] = set()
        self._looked_at: dict[Path, int] = {}
        self._looked = 0.0
        self.changes = 0

    @property
    def files(self) -> list[File]:
        """The open files. A file that was emptied is replaced by a new TailedFile here."""
        for key, tailed in list(self._open.items()):
            if tailed.emptied:
                log.info("%s was emptied: read anew.", tailed.path, extra={"event.action": "file-emptied"})
                # There may be a copy of it. `whole=None`: the file that replaced it must not match by its seal.
                self._remembered.add(replace(tailed.checkpoint(), whole=None))
                self.changes += 1
                if isinstance(tailed, TailedFile):
                    self._open[key] = TailedFile(tailed.path, tailed.descriptor, multiline=self._multiline)
                else:
                    tailed.close()
                    del self._open[key]  # the next refresh opens it again
        return list(self._open.values())

    def snapshot(self) -> list[File]:
        """The open files. Thread-safe."""
        return list(self._open.values())

    def look(self) -> None:
        """Call `refresh` if a folder has changed, a file waits to be opened or closed, or LOOK_ANYWAY_S is over."""
        folders = self._folders()
        now = time.monotonic()
        if folders != self._looked_at or self._gone_since or self._waiting_since or now - self._looked > LOOK_ANYWAY_S:
            self.refresh()
            self._looked_at, self._looked = folders, now

    def _folders(self) -> dict[Path, int]:
        """The mtimes of the folders of the files and the globs."""
        folders = {Path(pattern).parent for pattern in self._globs if not glob.has_magic(str(Path(pattern).parent))}
        changed = {}
        for folder in folders | self._parents:
            with contextlib.suppress(OSError):
                changed[folder] = folder.stat().st_mtime_ns
        return changed

    def refresh(self) -> None:
        """Evaluate the globs: open new files, note renames, close files that are finished."""
        found, folders = {}, set()
        for path, key, _ in self._paths():
            found[key] = path
            folders.add(path.parent)
            if path.is_symlink():
                real = Path(os.path.realpath(path))
                folders.add(real.parent)  # it is rotated there
                found = {**self._rotated_between(path, real, found), **found}
        if found.keys() - self._open.keys():
            self.changes += 1
            open_now = CheckpointIndex(tailed.checkpoint() for tailed in self._open.values())
            for key in [key for key in found if key not in self._open]:
                self._open_file(key, found[key], open_now)
        self._parents = folders
        for key, path in found.items():
            if key in self._open:
                self.changes += self._open[key].path != path
                self._open[key].path = path  # renamed, perhaps
                self._gone_since.pop(key, None)
        for key in self._open.keys() - found.keys():
            self._close_if_done(key)
        for key in self._waiting_since.keys() - found.keys():
            del self._waiting_since[key]

    def remember(self, checkpoint: Checkpoint, *, as_compressed: CompressedFile) -> None:
        """That the content of a file is to be found in this compressed one, and was read to its end."""
        place = replace(checkpoint, device=as_compressed.device, inode=as_compressed.inode, whole=as_compressed.seal)
        self._remembered.add(place)

    def forget(self, tailed: File) -> None:
        """Close a file that the shipper has deleted."""
        self._open.pop((tailed.device, tailed.inode), None)
        tailed.close()
        self.changes += 1

    def entries(self) -> list[Checkpoint]:
        """The registry's content: the open files, and files of earlier runs that may come back."""
        return [tailed.checkpoint() for tailed in self._open.values()] + recent(self._remembered, time.time())

    def close(self) -> None:
        for tailed in self._open.values():
            tailed.close()
        self._open.clear()

    def _paths(self) -> list[tuple[Path, Key, float]]:
        """The matching files, and when each was written last: plain ones before compressed ones, oldest first.

        So rotated files come first.
        """
        found = []
        for name, pattern in {name: one for one in self._globs for name in glob.iglob(one)}.items():
            with contextlib.suppress(OSError):  # it vanished since it was listed
                path, status = Path(name), os.stat(name)
                if not stat.S_ISREG(status.st_mode) or path.suffix in LEFT_ALONE:
                    continue
                if self._links is None or (refusal := self._links.refusal(path, pattern, status)) is None:
                    found.append((path, (status.st_dev, status.st_ino), status.st_mtime))
                else:
                    self._warn(path, f"{refusal}. It is not followed.")
        return sorted(found, key=_age)

    def _rotated_between(self, link: Path, real: Path, found: Mapping[Key, Path]) -> dict[Key, Path]:
        """What a link led to after what was read last and before now: its target was rotated more than once since.

        The rotated files do not match the glob, so only those are looked for.
        """
        before = next((tailed for tailed in self._open.values() if tailed.path == link), None)
        between: dict[Key, Path] = {}
        if before is None or (before.device, before.inode) in found:
            return between
        with contextlib.suppress(OSError):
            now = os.stat(real)
            for path in real.parent.glob(f"{glob.escape(real.name)}?*"):
                status = os.lstat(path)
                key = (status.st_dev, status.st_ino)
                is_later = before.changed_at() <= status.st_mtime and status.st_mtime <= now.st_mtime
                if stat.S_ISREG(status.st_mode) and is_later and key != (before.device, before.inode):
                    between[key] = path
        return between

    def _open_file(self, key: Key, path: Path, open_now: CheckpointIndex) -> None:
        try:
            is_stream = is_compressed(path) or (self._multiline and is_utf16(path))
            tailed = (self._compressed if is_stream else self._plain)(key, path, open_now)
        except OSError as error:
            if error.errno != errno.ESTALE:  # replaced since it was listed: the next look finds the other
                self._warn(path, f"{error.strerror}. It is tried again every few seconds.")
            return
        self._unreadable.discard(path)
        if tailed is not None:
            self._open[key] = tailed

    def _warn(self, path: Path, reason: str) -> None:
        if path not in self._unreadable:
            self._unreadable.add(path)
            log.warning("%s cannot be read: %s", path, reason, extra={"event.action": "file-unreadable"})

    def _plain(self, key: Key, path: Path, open_now: CheckpointIndex) -> TailedFile | None:
        descriptor = open_regular(path, key)
        read = read_at(descriptor)
        first_bytes = read(HEAD_LIMIT, 0)
        for checkpoint in self._candidates(first_bytes, open_now):
            if is_continuation(checkpoint.head, checkpoint.tail, checkpoint.position, read):
                tailed = TailedFile(path, descriptor, multiline=self._multiline)
                self._continue(tailed, checkpoint)
                return tailed
        size = os.fstat(descriptor).st_size
        is_shorter = any(size < checkpoint.position for checkpoint in open_now.beginning_with(first_bytes))
        if is_shorter and self._may_wait(key):
            os.close(descriptor)  # probably an incomplete copy of an open file
            return None
        return TailedFile(path, descriptor, multiline=self._multiline)

    def _compressed(self, key: Key, path: Path, open_now: CheckpointIndex) -> CompressedFile | None:
        tailed = CompressedFile(path, multiline=self._multiline)
        if (tailed.device, tailed.inode) != key:
            tailed.close()
            return None  # replaced since it was listed
        for checkpoint in self._remembered.of(key):
            if checkpoint.whole == tailed.seal:
                tailed.head = checkpoint.head
                self._continue(tailed, checkpoint)
                return tailed
        first_bytes = tailed.begin()
        if not first_bytes:
            tailed.close()
            return None  # empty, or still being created
        for checkpoint in self._candidates(first_bytes, open_now):
            if checkpoint.whole is None and tailed.is_continued_by(checkpoint):
                self._continue(tailed, checkpoint)
                break
        return tailed

    def _continue(self, tailed: File, checkpoint: Checkpoint) -> None:
        """Continue at a checkpoint, and remove it so that no other file does."""
        tailed.continue_at(checkpoint)
        self._remembered.remove(checkpoint)

    def _candidates(self, first_bytes: bytes, open_now: CheckpointIndex) -> list[Checkpoint]:
        """The checkpoints that a file with these first bytes may continue, furthest position first."""
        matching = self._remembered.beginning_with(first_bytes) + open_now.beginning_with(first_bytes)
        return sorted(matching, key=lambda checkpoint: -checkpoint.position)

    def _may_wait(self, key: Key) -> bool:
        since = self._waiting_since.setdefault(key, time.monotonic())
        return time.monotonic() - since < COPY_GRACE_S

    def _close_if_done(self, key: Key) -> None:
        """Close a file that no glob matches any more, once all of it is acknowledged and no more is written.

        Its writer may not have noticed yet that it was renamed.
        """
        tailed, now = self._open[key], time.monotonic()
        quiet_since = max(self._gone_since.setdefault(key, now), tailed.moved_at)
        if now - quiet_since <= GONE_GRACE_S or tailed.acknowledged != tailed.read_to:
            return
        if not tailed.is_safe:
            tailed.final = True  # it ends in an incomplete line that nobody will complete
            return
        self._remembered.add(tailed.checkpoint())  # it may have been compressed, or come back under another name
        tailed.close()
        del self._open[key], self._gone_since[key]
        self.changes += 1


def _age(found: tuple[Path, Key, float]) -> tuple[bool, float, str]:
    path, _, written = found
    return is_compressed(path), written, str(path)
