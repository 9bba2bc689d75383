"""Erase what is known of a person: the values go, the chain of the audit trail holds.

In audit records the personal fields are in the chain as salted digests. Value and salt are removed, and `verify`
says "erased". Job, state and app records lose what may tell of the person. Needs a key of the role `eraser`.
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
from . import chain

PAGE = 500
ERASED_TAG = "erased"

_PEOPLE = ("user.id", "user.effective.id", "user.target.id")
# What of a record that is in no chain may tell of whom it was for: free text, and what it was called with.
_FREE = (
    "user", "labels", "message", "error.message", "error.stack_trace", "rq.args", "rq.kwargs", "rq.meta",
    "rq.progress.message", "progress.message", "source", "user_agent", "url",
)  # fmt: skip


def forget(client: Elasticsearch, settings: Settings, user: str) -> dict[str, int]:
    """Erase, and return how many documents were changed of each dataset. Doing it again changes nothing.

    Raises DestinationError, also where the key may not do it; what was erased by then stays so.
    """
    counts = {}
    for dataset in ("rq.audit", "rq.job", "rq.app"):
        erase = _from_audit if dataset == "rq.audit" else _from_others
        counts[dataset] = _rewrite(client, settings, indices(dataset, settings.namespace), user, erase)
    counts["rq.state"] = _rewrite(client, settings, index_name(settings.namespace), user, _from_others)
    return counts


def _from_audit(record: Record, user: str) -> bool:
    """What the record says of the person goes; who else was in it stays."""
    if chain.head_of(record) is None:
        return _from_others(record, user)
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


def _from_others(record: Record, user: str) -> bool:  # noqa: ARG001 - every record that was found is the person's
    done = any([_remove(record, path.split(".")) for path in _FREE])
    if done:
        record["tags"] = sorted({*record.get("tags", []), ERASED_TAG})
    return done


def _remove(node: Any, way: list[str]) -> bool:
    name, *rest = way
    if not isinstance(node, dict) or name not in node:
        return False
    if rest:
        return _remove(node[name], rest)
    del node[name]
    return True


def _rewrite(
    client: Elasticsearch, settings: Settings, index: str, user: str, erase: Callable[[Record, str], bool]
) -> int:
    """Each document that names the person, written anew without; only if nobody else has changed it meanwhile."""
    done = 0
    with translated_errors(settings):
        client.indices.refresh(index=index, ignore_unavailable=True)  # what came a moment ago is to be found too
        for hits in _naming(client, index, user):
            actions: list[dict[str, Any]] = []
            for hit in hits:
                record = hit["_source"]
                if not erase(record, user):
                    continue
                actions += [{"index": _target(hit, index)}, record]
            if actions:
                answer = client.bulk(operations=actions, refresh=True)
                _refuse(answer, settings)
                done += len(actions) // 2
    return done


def _target(hit: dict[str, Any], index: str) -> dict[str, Any]:
    target = {"_index": hit["_index"], "_id": hit["_id"]}
    if index.startswith("rq-state"):
        # The same version: a record that comes once more does not bring the person back.
        return {**target, "version": hit["_version"], "version_type": "external_gte"}
    return {**target, "if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"]}


def _refuse(answer: Any, settings: Settings) -> None:
    from ..client import addresses_for_people, refusal

    for item in answer["items"]:
        result = item["index"]
        if result["status"] >= 300:
            raise refusal(
                result["status"], str(result.get("error", {}).get("reason", "")), addresses_for_people(settings)
            )


def _naming(client: Elasticsearch, index: str, user: str) -> Iterator[Page]:
    """Those that name the person. A point in time, as what is erased is found no more."""
    subject = [{"term": {"audit.resource.type": "user"}}, {"term": {"audit.resource.id": user}}]
    named: list[dict[str, Any]] = [{"term": {name: user}} for name in _PEOPLE]
    with snapshot(client, index) as pit:
        yield from pages(
            client, pit=pit, size=PAGE, version=True, seq_no_primary_term=True, sort=[{"_shard_doc": "asc"}],
            query={"bool": {"should": [*named, {"bool": {"filter": subject}}], "minimum_should_match": 1}},
        )  # fmt: skip


def forget_dead_letters(folder: Path, user: str) -> int:
    """Take the person's lines out of a shipper's dead letters; their reasons and places stay. How many there were.

    Raises ShipperError if the file cannot be rewritten.
    """
    letters = DeadLetters(folder)
    try:
        return letters.rewrite(partial(_without, user=user))
    except OSError as error:
        raise ShipperError(f"The dead letters in {letters.file} cannot be rewritten: {error.strerror}.") from error


def _without(line: bytes, user: str) -> bytes:
    """The letter, without its line if that names the person anywhere as a whole value."""
    try:
        letter = orjson.loads(line)
        told = letter["line"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return line  # bytes that are not text: nobody can be found in them
    if orjson.dumps(user).decode() not in told:
        return line
    del letter["line"]
    return orjson.dumps({**letter, "erased": True}, option=orjson.OPT_APPEND_NEWLINE)
