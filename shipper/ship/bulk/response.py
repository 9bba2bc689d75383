"""Evaluates the response to a `_bulk` request for each document.

| response for the document                   | result                                                      |
|---------------------------------------------|-------------------------------------------------------------|
| 2xx                                         | indexed                                                     |
| 2xx with `failure_store`, 200 for `create`  | taken, but not indexed: an ingest pipeline had it otherwise |
| 409 version_conflict_engine_exception       | duplicate: the document, or a later state, is indexed       |
| 429, 5xx, any other 409, a cluster's block  | retry                                                       |
| the index is blocked, closed, not allowed   | it waits beside the others (waiting.py)                     |
| 401, 403, 404, the index cannot be created  | retry; the error is logged, as somebody has to act          |
| 400 for an application's line               | once more, in a form that Elasticsearch cannot refuse       |
| 400 or 413 for this document alone          | dead letter                                                 |
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec

from ..reader.document import rescue
from ..reader.items import DeadLetter, Item
from .already_there import is_audit
from .backoff import LogThrottle
from .waiting import Blocked, index_of

log = logging.getLogger("shipper")
_throttle = LogThrottle()

# Errors with status 400, 403 or 404 that concern the index or the cluster, not the document.
_RETRYABLE = frozenset({
    "cluster_block_exception",
    "index_closed_exception",
    "index_not_found_exception",
    "unavailable_shards_exception",
    "validation_exception",
})  # fmt: skip

_OF_ONE_INDEX = _RETRYABLE - {"unavailable_shards_exception"} | {"security_exception"}


@dataclass(slots=True)
class BulkResponse:
    """The result for a request. `done` and `duplicates` are numbers of records; duplicates are included in `done`.

    `created` are the records that are indexed now and were not before, if somebody counts them. `already_there`: audit
    records whose id was taken. `retryable` are the items to send again, because of `error`. `refused`: why the API
    key may not write some document, "" if it may write all.
    """

    done: int = 0
    duplicates: int = 0
    not_indexed: int = 0
    created: list[Item] = field(default_factory=list)
    retryable: list[Item] = field(default_factory=list)
    blocked: list[Blocked] = field(default_factory=list)
    rescued: list[Item] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    already_there: list[Item] = field(default_factory=list)
    error: str = ""
    refused: str = ""


class InvalidResponse(ValueError):
    """The response does not match the request, so that no part of it can be used."""


class _Error(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    reason: str | None = None


class _Result(msgspec.Struct, gc=False):
    status: int
    result: str = ""
    failure_store: str = ""
    error: _Error = _Error()


class _Entry(msgspec.Struct, gc=False):
    """The response for one document, under the name of the operation that it was sent with."""

    create: _Result | None = None
    index: _Result | None = None


class _Response(msgspec.Struct, gc=False):
    items: list[_Entry]


_RESPONSE = msgspec.json.Decoder(_Response)  # a third of the memory of dicts

_WELL, _END, _DONE, _CREATED = b'{"errors":false,"items":[', b"]}", b'"status":20', b'"status":201'


def is_all_well(answer: bytes, count: int, *, created: bool = False) -> bool:
    """Whether each of `count` documents was indexed, by comparing bytes. If not, the response has to be parsed.

    `created`: nothing but 201 will do, as for `create`.
    """
    done = _CREATED if created else _DONE
    return answer.startswith(_WELL) and answer.endswith(_END) and answer.count(done) == count == answer.count(b"}}")


def parse_bulk_response(items: Iterable[Item], count: int, raw: bytes, *, keep_created: bool = False) -> BulkResponse:
    """Sort the `count` items of a request by the result of each. Raises InvalidResponse.

    `keep_created`: set `created`, which somebody counts.
    """
    try:
        answers = _RESPONSE.decode(raw).items
    except msgspec.MsgspecError as error:
        raise InvalidResponse(f"it is no response to _bulk ({error})") from None
    if len(answers) != count:
        raise InvalidResponse(f"it has not one item for each of {count} documents")
    outcome = BulkResponse()
    for item, entry in zip(items, answers, strict=True):
        result = entry.create or entry.index
        if result is None:
            raise InvalidResponse("an item has no status")
        status = result.status
        if 200 <= status < 300:
            if item.document.is_record:
                outcome.done += 1
                if _is_not_indexed(result, status):
                    outcome.not_indexed += 1
                elif keep_created:
                    outcome.created.append(item)
        else:
            _sort(item, status, result.error, outcome)
    return outcome


def _is_not_indexed(result: _Result, status: int) -> bool:
    """Whether Elasticsearch took a record and did not index it: its pipeline dropped it, or it is a failure now."""
    return status == 200 or result.result == "noop" or result.failure_store in ("used", "failed")


def _sort(item: Item, status: int, error: _Error, outcome: BulkResponse) -> None:
    kind, reason = error.type or "", error.reason or ""
    if kind == "security_exception":
        outcome.refused = outcome.refused or f"{kind}: {reason}"
    if status == 409 and kind in ("", "version_conflict_engine_exception"):
        outcome.done += item.document.is_record
        outcome.duplicates += item.document.is_record
        if is_audit(item):
            outcome.already_there.append(item)
    elif index := _blocked_index(item, status, kind, reason):
        outcome.blocked.append(Blocked(item, index, f"{kind}: {reason}"))
    elif status in (401, 403, 404, 409, 429) or status >= 500 or kind in _RETRYABLE:
        outcome.retryable.append(item)
        outcome.error = f"{status} {kind}: {reason}"
    elif status == 400 and (rescued := rescue(item.document)) is not None:
        outcome.rescued.append(replace(item, document=rescued))
    else:
        outcome.dead += dead_letters_of(item, f"{kind}: {reason}", status)


def _blocked_index(item: Item, status: int, kind: str, reason: str) -> str | None:
    """The document's index, if that takes no documents and others do."""
    if kind not in _OF_ONE_INDEX or status == 429:  # 429: the disk is full, and all indices are blocked
        return None
    index = index_of(item.document)
    if kind == "validation_exception":
        is_blocked = "shards" in reason  # the cluster has its maximum number, and a new index needs one
    else:
        is_blocked = kind == "index_closed_exception" or f"[{index}]" in reason
    return index if is_blocked else None


def dead_letters_of(item: Item, reason: str, status: int | None) -> list[DeadLetter]:
    """The dead letter of a refused document. None for a state document, as it can be derived from the records."""
    if item.document.is_record:
        return [item.refused(reason, status)]
    if _throttle.due():
        log.warning(
            "Elasticsearch refused a state or status of the shipper's own (%s %s). The records are indexed. Said once "
            "a minute.",
            status,
            reason,
            extra={"event.action": "own-document-refused"},
        )
    return []
