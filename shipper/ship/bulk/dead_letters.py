"""Stores dead letters: lines that can never be indexed, byte for byte, with the reason.

A dead letter is one JSON object in `deadletters.jsonl`. Lines over LINE_LIMIT are in files of their own in
`deadletters/`. Dead letters are synced to disk before the position moves, and removed once they are replayed.
"""

from __future__ import annotations

import base64
import errno
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

FILE = "deadletters.jsonl"  # in the state folder
SIZE_LIMIT = 1 << 28  # bytes of the file. What would make it larger stays where it is


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """A dead letter in the file. `read_at`: when the line was read. `blob`: the file of a line over LINE_LIMIT."""

    id: str
    read_at: datetime
    dead_letter: DeadLetter
    blob: Path | None = None

    @property
    def size(self) -> int:
        """Bytes of the line."""
        return self.blob.stat().st_size if self.blob else len(self.dead_letter.line)


class DeadLetters:
    """The dead letters in a state folder. Files have mode 0600. Raises StateError if the folder cannot be used."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.file = folder / FILE
        self._blobs = folder / "deadletters"
        self._lock = folder / "deadletters.lock"

    def append(self, dead_letters: Iterable[DeadLetter]) -> int:
        """Store dead letters; durable when it returns. Returns their number without duplicates. Raises OSError."""
        lines = dict(self._line(one) for one in dead_letters)  # one, if a record and its state are refused
        if lines:
            self._check_room(sum(map(len, lines.values())))
            with self._locked():
                descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                with open(descriptor, "ab") as out:
                    out.writelines(lines.values())
                    out.flush()
                    os.fsync(out.fileno())
        return len(lines)

    def all(self) -> Iterator[StoredDeadLetter]:
        """All dead letters, oldest first, without incomplete and duplicate ones."""
        if not self.file.exists():
            return
        seen = set()
        with self.file.open("rb") as lines:
            for line in lines:
                try:
                    stored = self._parse(orjson.loads(line))
                except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                    continue
                if stored.id not in seen:
                    seen.add(stored.id)
                    yield stored

    def find(self, prefix: str) -> StoredDeadLetter:
        """The dead letter whose id begins with `prefix`. Raises StateError if there is none or more than one."""
        matches = [stored for stored in self.all() if stored.id.startswith(prefix)]
        if len(matches) != 1:
            how_many = "no dead letter" if not matches else f"{len(matches)} dead letters"
            raise StateError(f"There is {how_many} with the id {prefix}. `shipper deadletter list` shows them all.")
        return matches[0]

    def remove(self, ids: set[str]) -> int:
        """Remove dead letters, and return how many. Keeps those that are appended meanwhile. Raises OSError."""

        def without(line: bytes) -> bytes:
            if (identifier := _id_in(line)) not in ids:
                return line
            (self._blobs / str(identifier)).unlink(missing_ok=True)
            return b""

        return self.rewrite(without)

    def rewrite(self, change: Callable[[bytes], bytes]) -> int:
        """Replace each line of the file by `change(line)`, and return how many have changed.

        Atomic and durable. Appending is blocked meanwhile. Raises OSError.
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

    def _check_room(self, size: int) -> None:
        """Raises OSError if so much more would be too much: a file that holds no records must not fill the disk."""
        there = self.file.stat().st_size if self.file.exists() else 0
        if there + size > max(SIZE_LIMIT, size):
            how = "`shipper deadletter list` shows them; replay or purge some"
            raise OSError(errno.EDQUOT, f"there are {there} bytes of them, and {SIZE_LIMIT} is the limit; {how}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the file: the daemon may append while a command removes."""
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _line(self, dead_letter: DeadLetter) -> tuple[str, bytes]:
        """(id, line of JSON) of a dead letter."""
        identity = (dead_letter.path, str(dead_letter.offset), dead_letter.line.hex(), dead_letter.file_id)
        identifier = hashlib.blake2b("\0".join(identity).encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
        content: dict[str, Any] = {
            "@timestamp": timestamp(datetime.now(UTC)),
            "id": identifier,
            "reason": dead_letter.reason,
            "status": dead_letter.status,
            "path": dead_letter.path,
            "offset": dead_letter.offset,
            "file_id": dead_letter.file_id,
            **({"foreign": True} if dead_letter.foreign else {}),
            **({"written_at": timestamp(dead_letter.written_at)} if dead_letter.written_at else {}),
        }
        if dead_letter.too_long is not None:
            content["line_file"] = self._copy(dead_letter.too_long, identifier)
        else:
            try:
                content["line"] = dead_letter.line.decode("utf-8")
            except UnicodeDecodeError:
                content["line_base64"] = base64.b64encode(dead_letter.line).decode()
        return identifier, orjson.dumps(content) + b"\n"  # a copy: see records.encode

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

    def _parse(self, content: dict[str, Any]) -> StoredDeadLetter:
        encoded = content.get("line_base64")
        line = base64.b64decode(encoded) if encoded else content.get("line", "").encode()
        written = content.get("written_at")
        dead_letter = DeadLetter(
            content["reason"],
            line,
            content["path"],
            content["offset"],
            content["status"],
            content["file_id"],
            foreign=content.get("foreign", False),
            written_at=parse_timestamp(written) if written else None,
        )
        blob = self._blobs / content["line_file"] if "line_file" in content else None
        return StoredDeadLetter(content["id"], parse_timestamp(content["@timestamp"]), dead_letter, blob)


def _id_in(line: bytes) -> str | None:
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return content.get("id") if isinstance(content, dict) else None
