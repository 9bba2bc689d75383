"""Lines that can never be indexed, kept with the reason: the bytes exactly, synced before anything moves on."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from ..records import timestamp
from .registry import make_folder


@dataclass(frozen=True, slots=True)
class Letter:
    """A line that was refused. `path` and `offset` say where it stood; `status` is Elasticsearch's, if it was asked."""

    reason: str
    line: bytes
    path: str
    offset: int
    status: int | None = None


class DeadLetters:
    """The file of a shipper's dead letters: one JSON object a line, mode 0600."""

    def __init__(self, folder: Path) -> None:
        make_folder(folder)
        self.file = folder / "deadletters.jsonl"

    def append(self, letters: Iterable[Letter]) -> int:
        """Keep the letters; durable when it returns. Returns how many there were."""
        lines = [orjson.dumps(_content(letter), option=orjson.OPT_APPEND_NEWLINE) for letter in letters]
        if lines:
            descriptor = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with open(descriptor, "ab") as out:
                out.writelines(lines)
                out.flush()
                os.fsync(out.fileno())
        return len(lines)


def _content(letter: Letter) -> dict[str, Any]:
    content: dict[str, Any] = {
        "@timestamp": timestamp(datetime.now(UTC)),
        "reason": letter.reason,
        "status": letter.status,
        "path": letter.path,
        "offset": letter.offset,
    }
    try:
        content["line"] = letter.line.decode("utf-8")
    except UnicodeDecodeError:
        content["line_base64"] = base64.b64encode(letter.line).decode()
    return content
