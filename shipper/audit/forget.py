"""Erases a person's data from all records without breaking the audit chain.

In audit records, the personal fields and their salts are removed; the chain has only salted digests of them, and
`verify` reports "erased". Job, state and app records lose the fields that may identify the person. Needs an API key
with the role `eraser`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from elasticsearch import Elasticsearch

from ..client import translated_errors
from ..errors import ShipperError
from ..read.paging import Page, pages, snapshot
from ..records import Record, indices
from ..settings import Settings
from ..ship.bulk.dead_letters import DeadLetters
from ..state import index_name
from . import chain, erasures
from .chain import Head

PAGE = 500
ERASED_TAG = "erased"

_PEOPLE = ("user.id", "user.effective.id", "user.target.id")
# The fields of a record outside of a chain that may identify a person: free text, and a job's arguments.
_PERSONAL_FIELDS = (
    "user", "labels", "message", "error.message", "error.stack_trace", "rq.args", "rq.kwargs", "rq.meta",
    "rq.progress.message", "progress.message", "source", "user_agent", "url",
)  # fmt: skip


def forget(
    client: Elasticsearch,
    settings: Settings,
    user: str,
    declare: Callable[[list[dict[str, str]]], object],
    progress: Callable[[int, int], object] = lambda *_: None,
) -> dict[str, int]:
    """Erase the user's data, and return the number of changed documents by dataset. Repeating it changes nothing.

    `declare` is called with what is about to be erased from chained records (erasures.py), and has to write it into the
    trail. `progress` is called with the number of changed documents so far, and 0, as nobody knows how many there will
    be. Raises DestinationError, also if the key lacks privileges. What was erased by then stays erased.
    """
    counts: dict[str, int] = {}

    def moved(done: int) -> None:
        progress(sum(counts.values()) + done, 0)

    for dataset in ("rq.audit", "rq.job", "rq.app"):
        erase = _erase_from_audit if dataset == "rq.audit" else _erase_from_other
        counts[dataset] = _rewrite(client, settings, indices(dataset, settings.namespace), user, erase, declare, moved)
    states = index_name(settings.namespace)
    counts["rq.state"] = _rewrite(client, settings, states, user, _erase_from_other, declare, moved)
    return counts


def _erase_from_audit(record: Record, user: str) -> bool:
    """Erase the person's fields of an audit record, and keep those of other users in it."""
    if chain.head_of(record) is None:
        return _erase_from_other(record, user)
    groups = ["content"]
    named = record.get("user", {})
    if user in (named.get("id"), named.get("effective", {}).get("id")):
        groups.append("actor")
    if user == named.get("target", {}).get("id"):
        groups.append("target")
    resource = record["audit"].get("resource", {})
    if len(groups) == 1 and not (resource.get("type") == "user" and resource.get("id") == user):
        return False
    return chain.erase(record, groups)


def _erase_from_other(record: Record, user: str) -> bool:  # noqa: ARG001 - every record that was found is the person's
    removed = any([_remove(record, path.split(".")) for path in _PERSONAL_FIELDS])
    if removed:
        record["tags"] = sorted({*record.get("tags", []), ERASED_TAG})
    return removed


def _remove(node: Any, path: list[str]) -> bool:
    name, *rest = path
    if not isinstance(node, dict) or name not in node:
        return False
    if rest:
        return _remove(node[name], rest)
    del node[name]
    return True


def _rewrite(
    client: Elasticsearch,
    settings: Settings,
    index: str,
    user: str,
    erase: Callable[[Record, str], bool],
    declare: Callable[[list[dict[str, str]]], object],
    moved: Callable[[int], object],
) -> int:
    """Rewrite each document that names the person. Fails if it was changed concurrently."""
    done = 0
    with translated_errors(settings):
        client.indices.refresh(index=index, ignore_unavailable=True)  # also finds what was indexed just now
        for hits in _naming(client, index, user):
            actions: list[dict[str, Any]] = []
            erased: list[tuple[Head, list[str]]] = []
            for hit in hits:
                record = hit["_source"]
                had = chain.head_of(record), chain.salted(record)
                if not erase(record, user):
                    continue
                if had[0] is not None:
                    erased.append((had[0], sorted(had[1] - chain.salted(record))))
                actions += [{"index": _target(hit, index)}, record]
            if erased:
                declare(erasures.declaration(erased))  # before: an erasure that nobody declared is a finding
            if actions:
                answer = client.bulk(operations=actions, refresh=True)
                _refuse(answer, settings)
                done += len(actions) // 2
                moved(done)
    return done


def _target(hit: dict[str, Any], index: str) -> dict[str, Any]:
    target = {"_index": hit["_index"], "_id": hit["_id"]}
    if index.startswith("rq-state"):
        # With the same version, a record that is sent again does not overwrite it.
        return {**target, "version": hit["_version"], "version_type": "external_gte"}
    return {**target, "if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}


def _refuse(answer: Any, settings: Settings) -> None:
    from ..client import addresses_for_people
    from ..diagnosis import refusal

    for item in answer["items"]:
        result = item["index"]
        if result["status"] >= 300:
            raise refusal(
                result["status"], str(result.get("error", {}).get("reason", "")), addresses_for_people(settings)
            )


def _naming(client: Elasticsearch, index: str, user: str) -> Iterator[Page]:
    """Pages of the documents that name the person, in a point in time: erased ones would vanish between pages."""
    subject = [{"term": {"audit.resource.type": "user"}}, {"term": {"audit.resource.id": user}}]
    named: list[dict[str, Any]] = [{"term": {name: user}} for name in _PEOPLE]
    with snapshot(client, index) as pit:
        yield from pages(
            client,
            pit=pit,
            size=PAGE,
            version=True,
            seq_no_primary_term=True,
            sort=[{"_shard_doc": "asc"}],
            query={"bool": {"should": [*named, {"bool": {"filter": subject}}], "minimum_should_match": 1}},
        )


def forget_dead_letters(folder: Path, user: str) -> int:
    """Remove the person's lines from a shipper's dead letters, and keep reason and position. Returns how many.

    Raises ShipperError if the file cannot be rewritten.
    """
    dead_letters = DeadLetters(folder)
    try:
        return dead_letters.rewrite(partial(_without, user=user))
    except OSError as error:
        raise ShipperError(f"The dead letters in {dead_letters.file} cannot be rewritten: {error.strerror}.") from error


def _without(line: bytes, user: str) -> bytes:
    """The stored dead letter, without its line if that contains the user's id as a whole JSON string."""
    try:
        dead_letter = orjson.loads(line)
        content = dead_letter["line"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return line  # not text, so it cannot be searched
    if orjson.dumps(user).decode() not in content:
        return line
    del dead_letter["line"]
    return orjson.dumps({**dead_letter, "erased": True}, option=orjson.OPT_APPEND_NEWLINE)
