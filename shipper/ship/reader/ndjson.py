"""Parses blocks of newline-delimited JSON into a batch's documents."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Protocol

import msgspec

from ...records import LINE_START, TIME_AT, timestamp
from ...settings import Settings
from ..bulk.batch import Batch
from ..source.tail import Block
from .fastpath import FastPath, TimestampOnly


class Reader(Protocol):
    """Knows a format. `legacy_reader.py` has those of text logs."""

    def take(self, block: Block, batch: Batch) -> None:
        """Take all of a block's lines into the batch, and mark how far they reach."""


class NdjsonReader:
    """One JSON object on each line: our own records, and anybody else's."""

    def __init__(self, settings: Settings) -> None:
        self._host = socket.gethostname()
        self._quick = FastPath(settings)

    def take(self, block: Block, batch: Batch) -> None:
        batch.add(block, self._host, self._quick)


class NdjsonReaderSince(NdjsonReader):
    """The same without records of before `since`; those that tell no time are taken. `skipped` counts."""

    def __init__(self, settings: Settings, since: datetime) -> None:
        super().__init__(settings)
        self.skipped = 0
        self._since = since
        self._earliest = timestamp(since).encode()
        self._time_of = msgspec.json.Decoder(TimestampOnly).decode

    def take(self, block: Block, batch: Batch) -> None:
        if block.too_long:
            return super().take(block, batch)
        for piece in self._pieces(block):
            super().take(piece, batch)
        return batch.reached(block)

    def _pieces(self, block: Block) -> Iterator[Block]:
        """The lines to be taken, those that stand together in one piece."""
        start = at = 0
        for line in block.data.splitlines(keepends=True):
            if self._is_before(line):
                if at > start:
                    yield Block(block.source, block.start + start, block.data[start:at])
                self.skipped += 1
                start = at + len(line)
            at += len(line)
        if at > start:
            yield Block(block.source, block.start + start, block.data[start:at])

    def _is_before(self, line: bytes) -> bool:
        if line.startswith(LINE_START):
            return line[TIME_AT] < self._earliest
        try:
            moment = self._time_of(line).timestamp
        except (msgspec.MsgspecError, ValueError):
            return False
        return moment.tzinfo is not None and moment < self._since
