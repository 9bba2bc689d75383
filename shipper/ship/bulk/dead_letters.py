"""Lines that can never be indexed, kept with the reason: the bytes exactly, synced before anything moves on.

A letter is one JSON object of `deadletters.jsonl`. A line that is too long for that lies beside it, in a file of
`deadletters/`. What is replayed with success is taken out.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ...errors import StateError
from ...records import parse_timestamp, timestamp
from ..reader.items import DeadLetter
from ..source.checkpoints import make_folder
from ..source.tail import Block


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A letter as it lies in the file. `read_at` is when the line was read; `blob` the file that holds the line."""

    id: str
    read_at: datetime
    letter: DeadLetter
    blob: Path | None = None

    @property
    def size(self) -> int:
        """Bytes of the line."""
        return self.blob.stat().st_size if self.blob else len(self.letter.line)


class DeadLetters:
    """A shipper's dead letters. Files are mode 0600."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.file = folder / "deadletters.jsonl"
        self._blobs = folder / "deadletters"
        self._lock = folder / "deadletters.lock"

    def append(self, letters: Iterable[DeadLetter]) -> int:
        """Keep the letters; durable when it returns. Returns how many there were. Raises OSError."""
        lines = dict(self._line(letter) for letter in letters)  # one letter, if a record and its state are refused
        if lines:
            with self._locked():
                descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                with open(descriptor, "ab") as out:
                    out.writelines(lines.values())
                    out.flush()
                    os.fsync(out.fileno())
        return len(lines)

    def all(self) -> Iterator[StoredDeadLetter]:
        """Every letter, the oldest first; one that was only half written is left out, and one of two that are alike."""
        if not self.file.exists():
            return
        seen = set()
        with self.file.open("rb") as lines:
            for line in lines:
                try:
                    kept = self._kept(orjson.loads(line))
                except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                    continue
                if kept.id not in seen:
                    seen.add(kept.id)
                    yield kept

    def find(self, wanted: str) -> StoredDeadLetter:
        """The letter whose id begins so. Raises StateError if there is none, or more than one."""
        found = [kept for kept in self.all() if kept.id.startswith(wanted)]
        if len(found) != 1:
            how_many = "no dead letter" if not found else f"{len(found)} dead letters"
            raise StateError(f"There is {how_many} with the id {wanted}. `shipper deadletter list` shows them all.")
        return found[0]

    def remove(self, ids: set[str]) -> int:
        """Take letters out, and return how many. Those that a shipper adds meanwhile stay."""

        def without(line: bytes) -> bytes:
            if (identifier := _id_in(line)) not in ids:
                return line
            (self._blobs / str(identifier)).unlink(missing_ok=True)
            return b""

        return self.rewrite(without)

    def rewrite(self, change: Callable[[bytes], bytes]) -> int:
        """Replace each letter's line of JSON by what `change` makes of it; returns how many were changed.

        Written aside, synced, renamed. A shipper that wants to add a letter waits. Raises OSError.
        """
        if not self.file.exists():
            return 0
        changed = 0
        with self._locked():
            aside = self.file.with_suffix(".new")
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with self.file.open("rb") as lines, open(descriptor, "wb") as out:
                for line in lines:
                    new = change(line)
                    changed += new != line
                    out.write(new)
                out.flush()
                os.fsync(out.fileno())
            aside.rename(self.file)
        return changed

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time: the daemon adds while a command takes out."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _line(self, letter: DeadLetter) -> tuple[str, bytes]:
        """(id, line) of a letter."""
        identity = (letter.path, str(letter.offset), letter.line.hex(), letter.file_id)
        identifier = hashlib.blake2b("\0".join(identity).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        content: dict[str, Any] = {
            "@timestamp": timestamp(datetime.now(UTC)),
            "id": identifier,
            "reason": letter.reason,
            "status": letter.status,
            "path": letter.path,
            "offset": letter.offset,
            "file_id": letter.file_id,
            **({"foreign": True} if letter.foreign else {}),
        }
        if letter.too_long is not None:
            content["line_file"] = self._copy(letter.too_long, identifier)
        else:
            try:
                content["line"] = letter.line.decode("utf-8")
            except UnicodeDecodeError:
                content["line_base64"] = base64.b64encode(letter.line).decode()
        return identifier, orjson.dumps(content, option=orjson.OPT_APPEND_NEWLINE)

    def _copy(self, block: Block, identifier: str) -> str:
        self._blobs.mkdir(mode=0o700, exist_ok=True)
        path = self._blobs / identifier
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            block.source.copy(block.start, block.too_long, descriptor)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return path.name

    def _kept(self, content: dict[str, Any]) -> StoredDeadLetter:
        encoded = content.get("line_base64")
        line = base64.b64decode(encoded) if encoded else content.get("line", "").encode()
        letter = DeadLetter(
            content["reason"], line, content["path"], content["offset"], content["status"], content["file_id"],
            foreign=content.get("foreign", False),
        )  # fmt: skip
        blob = self._blobs / content["line_file"] if "line_file" in content else None
        return StoredDeadLetter(content["id"], parse_timestamp(content["@timestamp"]), letter, blob)


def _id_in(line: bytes) -> str | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found.get("id") if isinstance(found, dict) else None
