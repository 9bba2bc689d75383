"""What an answer to `_bulk` means for each document. Pure: decides, and does nothing.

| answer for the document            | meaning                                                   |
|------------------------------------|-----------------------------------------------------------|
| 2xx, 409                           | done: it is there (409: it, or a later state, was already) |
| 429, 5xx, a block on the cluster   | try again                                                 |
| 401, 403, the index cannot be made | try again, and say loudly that somebody has to act         |
| 400 or 413 for this document alone | a dead letter                                             |
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..reader.items import DeadLetter, Item

log = logging.getLogger("shipper")

# Answers of 400, 403 and 404 that speak of the index or the cluster, not of the document: these pass.
_PASSING = frozenset({
    "cluster_block_exception",
    "index_closed_exception",
    "index_not_found_exception",
    "unavailable_shards_exception",
    "validation_exception",
})  # fmt: skip


@dataclass(slots=True)
class BulkResponse:
    """`done` and `duplicates` count records (`duplicates`: those that were there already, part of `done`)."""

    done: int = 0
    duplicates: int = 0
    retryable: list[Item] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    error: str = ""


class InvalidResponse(ValueError):
    """The answer does not match what was sent: nothing in it can be trusted."""


_WELL, _END, _DONE = b'{"errors":false,"items":[', b"]}", b'"status":20'


def is_all_well(answer: bytes, count: int) -> bool:
    """Whether an answer says that each of `count` documents is there now. Not a word of it has to be decoded then."""
    return answer.startswith(_WELL) and answer.endswith(_END) and answer.count(_DONE) == count == answer.count(b"}}")


def parse_bulk_response(items: Sequence[Item], raw: bytes) -> BulkResponse:
    """Sort the documents of a request by what was answered to each. Raises BrokenAnswer."""
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise InvalidResponse("it is not JSON") from None
    answers = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(answers, list) or len(answers) != len(items):
        raise InvalidResponse(f"it has not one item for each of {len(items)} documents")
    outcome = BulkResponse()
    for item, said in zip(items, answers, strict=True):
        try:
            (result,) = said.values()  # under the name of the operation
            status = int(result["status"])
            error = result.get("error") or {}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise InvalidResponse("an item has no status") from None
        _sort(item, status, error, outcome)
    return outcome


def _sort(item: Item, status: int, error: dict[str, Any], outcome: BulkResponse) -> None:
    if 200 <= status < 300 or status == 409:
        outcome.done += item.document.is_record
        outcome.duplicates += item.document.is_record and status == 409
        return
    kind, reason = error.get("type", ""), error.get("reason", "")
    passing = status in (401, 403, 404, 429) or status >= 500 or kind in _PASSING
    if passing:
        outcome.retryable.append(item)
        outcome.error = f"{status} {kind}: {reason}"
    else:
        outcome.dead += dead_letters_of(item, f"{kind}: {reason}", status)


def dead_letters_of(item: Item, reason: str, status: int | None) -> list[DeadLetter]:
    """The dead letter of a document that will never be taken. A state has none: it is made of records, which have."""
    if item.document.is_record:
        return [item.refused(reason, status)]
    log.warning(
        "Elasticsearch has no place for a document of the shipper's own (%s %s). The records are there all the same.",
        status, reason, extra={"event.action": "own-document-refused"},
    )  # fmt: skip
    return []
