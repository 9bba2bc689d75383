"""Dead letters, sent again: what arrives is taken out, what is refused again stays with the newer reason."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
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
    """What came of it: `refused` holds (id, reason) of those that stay."""

    arrived: int
    there_already: int
    refused: list[tuple[str, str]]


def replay(
    settings: Settings, letters: DeadLetters, chosen: Iterable[StoredDeadLetter], retry_timeout_s: float
) -> Replayed:
    """Send the chosen letters' lines. Raises DestinationError: then none was taken out.

    Each goes to the index and under the id that it would have had: a second replay doubles nothing.
    """
    refused: list[tuple[str, str]] = []
    pipeline = Pipeline(settings, letters, threading.Event(), retry_timeout_s)
    try:
        pipeline.prepare()
        for portion in _portions(chosen):
            refused += _send(pipeline, letters, portion, settings)
    finally:
        pipeline.close()
    return Replayed(pipeline.counts.indexed, pipeline.counts.duplicates, refused)


def _send(
    pipeline: Pipeline, letters: DeadLetters, portion: list[StoredDeadLetter], settings: Settings
) -> list[tuple[str, str]]:
    batch, reader, parsed = Batch(settings), NdjsonReader(settings), Parsed()
    refused: list[tuple[str, str]] = []
    for kept in portion:
        letter = kept.letter
        if kept.blob is not None:
            refused.append((kept.id, letter.reason))  # it is too long, and will be
        else:
            place = Place(socket.gethostname(), letter.file_id, letter.offset, trusted=not letter.foreign)
            reader.read_line(letter.line, place, letter.path, kept.read_at, parsed)
    batch.add_parsed(parsed)
    again = {(letter.path, letter.offset): letter.reason for letter in [*batch.dead_letters, *pipeline.send(batch)]}
    for states in StateWindow(reader.states).take(everything=True):
        pipeline.send(states)
    refused += [(kept.id, again[where]) for kept in portion if (where := _place(kept)) in again]
    letters.remove({kept.id for kept in portion} - {identifier for identifier, _ in refused})
    return refused


def _place(kept: StoredDeadLetter) -> tuple[str, int]:
    return kept.letter.path, kept.letter.offset


def _portions(chosen: Iterable[StoredDeadLetter]) -> Iterable[list[StoredDeadLetter]]:
    portion: list[StoredDeadLetter] = []
    size = 0
    for kept in chosen:
        portion.append(kept)
        size += len(kept.letter.line)
        if size > LINE_LIMIT:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def with_line(kept: StoredDeadLetter, line: bytes) -> StoredDeadLetter:
    """The letter with its line put right by hand."""
    letter: DeadLetter = replace(kept.letter, line=line.rstrip(b"\r\n"))
    return replace(kept, letter=letter, blob=None)
