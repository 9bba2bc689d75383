"""What tests of the audit trail share: a trail of its own, and its records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from shipper import settings
from shipper.audit import chain
from shipper.audit.chain import NO_HASH, Head, Keys
from shipper.audit.writer import Trail
from shipper.records import LINE_START


def trail_in(folder: Path, **variables: str) -> Trail:
    """A trail that writes to `records.jsonl` in the folder."""
    environment = {"XDG_STATE_HOME": str(folder), "SHIPPER_LOG": str(folder / "records.jsonl"), **variables}
    return Trail(settings.load(environment=environment))


def records_in(folder: Path) -> list[dict[str, Any]]:
    """Those that are whole: of a writer that was killed the beginning of a line may be left, before the next one."""
    lines = (folder / "records.jsonl").read_bytes().splitlines()
    return [json.loads(line[line.rindex(LINE_START) :]) for line in lines]


def follow(records: list[dict[str, Any]], key: bytes | None = None) -> Head:
    """Assert that the records are one whole chain in this order; its head."""
    last = None
    for record in records:
        found = chain.check(record, Keys.of(key))
        assert found is not None, record
        assert found.verdict == "good", found
        assert (found.head.sequence, found.previous) == ((last.sequence + 1, last.hash) if last else (1, NO_HASH))
        assert last is None or found.head.id == last.id
        last = found.head
    assert last is not None
    return last
