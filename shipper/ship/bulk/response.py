"""Evaluates the response to a `_bulk` request for each document.

| response for the document                   | result                                                      |
|---------------------------------------------|-------------------------------------------------------------|
| 2xx                                         | indexed                                                     |
| 409                                         | duplicate: the document, or a later state, is indexed       |
| 429, 5xx, a block on the cluster            | retry                                                       |
| 401, 403, 404, the index cannot be created  | retry; the error is logged, as somebody has to act          |
| 400 or 413 for this document alone          | dead letter                                                 |
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..reader.items import DeadLetter, Item

log = logging.getLogger("shipper")

# Errors with status 400, 403 or 404 that concern the index or the cluster, not the document.
_RETRYABLE = frozenset({
    "cluster_block_exception",
    "index_closed_exception",
    "index_not_found_exception",
    "unavailable_shards_exception",
    "validation_exception",
})  # fmt: skip


@dataclass(slots=True)
class BulkResponse:
    """The result for a request. `done` and `duplicates` are numbers of records; duplicates are included in `done`.

    `retryable` are the items to send again, because of `error`.
    """

    done: int = 0
    duplicates: int = 0
    retryable: list[Item] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    error: str = ""


class InvalidResponse(ValueError):
    """The response does not match the request, so that no part of it can be used."""


_WELL, _END, _DONE = b'{"errors":false,"items":[', b"]}", b'"status":20'


def is_all_well(answer: bytes, count: int) -> bool:
    """Whether each of `count` documents was indexed, by comparing bytes. If not, the response has to be parsed."""
    return answer.startswith(_WELL) and answer.endswith(_END) and answer.count(_DONE) == count == answer.count(b"}}")


def parse_bulk_response(items: Sequence[Item], raw: bytes) -> BulkResponse:
    """Sort the items of a request by the result of each. Raises InvalidResponse."""
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise InvalidResponse("it is not JSON") from None
    answers = answer.get("items") if isinstance(answer, dict) else None
    if not isinstance(answers, list) or len(answers) != len(items):
        raise InvalidResponse(f"it has not one item for each of {len(items)} documents")
    outcome = BulkResponse()
    for item, entry in zip(items, answers, strict=True):
        try:
            (result,) = entry.values()  # the key is the name of the operation
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
    if status in (401, 403, 404, 429) or status >= 500 or kind in _RETRYABLE:
        outcome.retryable.append(item)
        outcome.error = f"{status} {kind}: {reason}"
    else:
        outcome.dead += dead_letters_of(item, f"{kind}: {reason}", status)


def dead_letters_of(item: Item, reason: str, status: int | None) -> list[DeadLetter]:
    """The dead letter of a refused document. None for a state document, as it can be derived from the records."""
    if item.document.is_record:
        return [item.refused(reason, status)]
    log.warning(
        "Elasticsearch has no place for a document of the shipper's own (%s %s). The records are there all the same.",
        status, reason, extra={"event.action": "own-document-refused"},
    )  # fmt: skip
    return []
