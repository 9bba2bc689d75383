"""Sends dead letters again: those that are indexed are removed, those that are refused again are kept."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from ...settings import Settings
from ..pipeline import Pipeline
from ..reader.document import Place
from ..reader.items import DeadLetter, Parsed
from ..reader.ndjson import NdjsonReader
from ..source.tail import LINE_LIMIT
from .batch import Batch
from .dead_letters import DeadLetters, StoredDeadLetter
from .states import StateWindow


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of a replay. `refused` has (id, reason) of the dead letters that are kept."""

    indexed: int
    duplicates: int
    refused: list[tuple[str, str]]


def replay(
    settings: Settings,
    dead_letters: DeadLetters,
    chosen: Iterable[StoredDeadLetter],
    retry_timeout_s: float,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> Replayed:
    """Send the lines of the chosen dead letters. Raises DestinationError after `retry_timeout_s`.

    `progress` is called with (how many were sent, how many there are), when those that are indexed are removed.
    Each line gets the index and id that it would have had, so that a second replay only makes duplicates.
    """
    refused: list[tuple[str, str]] = []
    chosen = list(chosen)
    if any(stored.dead_letter.written_at for stored in chosen):
        settings = replace(settings, format="legacy")  # the ingest pipeline has to be there
    pipeline = Pipeline(settings, dead_letters, threading.Event(), retry_timeout_s)
    try:
        pipeline.prepare()
        sent = 0
        for chunk in _chunks(chosen):
            texts = [stored for stored in chunk if stored.dead_letter.written_at]
            others = [stored for stored in chunk if not stored.dead_letter.written_at]
            refused += _send(pipeline, dead_letters, others, settings) if others else []
            refused += _send_text(pipeline, dead_letters, texts, settings) if texts else []
            sent += len(chunk)
            progress(sent, len(chosen))
    finally:
        pipeline.close()
    return Replayed(pipeline.counts.indexed, pipeline.counts.duplicates, refused)


def _send(
    pipeline: Pipeline, dead_letters: DeadLetters, chunk: list[StoredDeadLetter], settings: Settings
) -> list[tuple[str, str]]:
    batch, reader, parsed = Batch(settings), NdjsonReader(settings), Parsed()
    refused: list[tuple[str, str]] = []
    for stored in chunk:
        dead_letter = stored.dead_letter
        if stored.blob is not None:
            refused.append((stored.id, dead_letter.reason))  # still too long
        else:
            place = Place(
                socket.gethostname(), dead_letter.file_id, dead_letter.offset, trusted=not dead_letter.foreign
            )
            lines = _lines(dead_letter.line)
            reader.read_lines(lines, place, dead_letter.path, stored.read_at, parsed)
    batch.add_parsed(parsed)
    reasons = {(one.path, one.offset): one.reason for one in [*batch.dead_letters, *pipeline.send(batch)]}
    for states in StateWindow(reader.states).take(everything=True):
        pipeline.send(states)
    refused += [(stored.id, reasons[where]) for stored in chunk if (where := _place(stored)) in reasons]
    dead_letters.remove({stored.id for stored in chunk} - {identifier for identifier, _ in refused})
    return refused


def _send_text(
    pipeline: Pipeline, dead_letters: DeadLetters, chunk: list[StoredDeadLetter], settings: Settings
) -> list[tuple[str, str]]:
    """The same for lines of text logs: with the ids, and through the ingest pipeline, of the first time."""
    from ..reader.legacy import LegacyReader  # which compiles the grammar

    batch, reader, parsed = Batch(settings), LegacyReader(settings), Parsed()
    refused = [(stored.id, stored.dead_letter.reason) for stored in chunk if stored.blob is not None]
    for stored in chunk:
        one = stored.dead_letter
        if stored.blob is None and one.written_at:
            parsed.add(reader.read_again(one.line, one.path, one.offset, one.file_id, one.written_at))
    batch.add_parsed(parsed)
    reasons = {(one.path, one.offset): one.reason for one in [*batch.dead_letters, *pipeline.send(batch)]}
    refused += [(stored.id, reasons[where]) for stored in chunk if (where := _place(stored)) in reasons]
    dead_letters.remove({stored.id for stored in chunk} - {identifier for identifier, _ in refused})
    return refused


def _lines(raw: bytes) -> Iterator[tuple[int, bytes]]:
    """The line; the lines if a container engine wrote it in pieces."""
    at = 0
    for line in raw.split(b"\n"):
        yield at, line
        at += len(line) + 1


def _place(stored: StoredDeadLetter) -> tuple[str, int]:
    return stored.dead_letter.path, stored.dead_letter.offset


def _chunks(chosen: Iterable[StoredDeadLetter]) -> Iterable[list[StoredDeadLetter]]:
    chunk: list[StoredDeadLetter] = []
    size = 0
    for stored in chosen:
        chunk.append(stored)
        size += len(stored.dead_letter.line)
        if size > LINE_LIMIT:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def with_line(stored: StoredDeadLetter, line: bytes) -> StoredDeadLetter:
    """The dead letter with another line, as corrected by hand."""
    dead_letter: DeadLetter = replace(stored.dead_letter, line=line.rstrip(b"\r\n"))
    return replace(stored, dead_letter=dead_letter, blob=None)
