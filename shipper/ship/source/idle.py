"""Skips idle files: compares their sizes instead of reading them."""

from __future__ import annotations

import os
import time
from itertools import repeat

from .discovery import Discovery, File
from .tail import TailedFile

CHECK_ALL_S = 5.0  # between two reads of all files: an idle file may be rewritten with the same size


class IdleFiles:
    """Finds the files that may have new lines.

    Called five times a second. The descriptors and sizes of idle files are kept in lists, and the file objects are not
    touched, which would miss the CPU caches. A thousand files take 1.0 ms, nearly all in lseek(); with the file objects
    it takes 1.2 ms, with fstat() 2.7 ms.
    """

    def __init__(self, discovery: Discovery) -> None:
        self._discovery = discovery
        self._changes = -1
        self._check_all_at = 0.0
        self._active: list[File] = []
        self._others: list[File] = []
        self._idle: list[TailedFile] = []
        self._descriptors: list[int] = []
        self._sizes: list[int] = []

    def active(self) -> list[File]:
        """The files that may have new lines. Each has to be read before the next call."""
        if (
            time.monotonic() >= self._check_all_at
            or self._discovery.changes != self._changes  # a descriptor may belong to another file now
            or any(file.emptied for file in self._active)
        ):
            self._active = self._sort()
        else:
            sizes = list(map(os.lseek, self._descriptors, repeat(0), repeat(os.SEEK_END)))
            self._active = self._others
            if sizes != self._sizes:
                grown = zip(self._idle, sizes, self._sizes, strict=True)
                self._active = self._others + [file for file, size, before in grown if size != before]
        return self._active

    def _sort(self) -> list[File]:
        """All files. Sorts them into idle and other ones, by the result of their last read."""
        files = self._discovery.files
        self._changes = self._discovery.changes
        self._check_all_at = time.monotonic() + CHECK_ALL_S
        self._idle = [file for file in files if isinstance(file, TailedFile) and file.quiet]
        self._others = [file for file in files if not (isinstance(file, TailedFile) and file.quiet)]
        self._descriptors = [file.descriptor for file in self._idle]
        self._sizes = [file.read_to for file in self._idle]
        return files
