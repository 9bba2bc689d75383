"""Computes and checks the audit chain. Pure: no files, no clock.

Each audit record has a number (`event.sequence`), the hash of the previous record (`audit.chain.previous`) and its own
hash (`audit.chain.hash`): SHA-256, or HMAC-SHA256 (RFC 2104) if there is a key. The hash is over the record in
canonical JSON (RFC 8785), in which each group of personal fields is replaced by a salted digest. So values and salt can
be erased and the hash stays valid; without the 128-bit salt nobody can guess the values from the digest.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from ..forking import no_fork
from ..records import Record

NO_HASH = "0" * 64
"""`audit.chain.previous` of the first record of a chain."""

SALT_BYTES = 16

PERSONAL: Mapping[str, tuple[str, ...]] = {
    "actor": ("user.id", "user.name", "user.effective.id", "source.ip", "user_agent.original"),
    "target": ("user.target.id",),
    "content": (
        "audit.resource.id", "audit.resource.name", "audit.changes", "labels", "url.path", "message", "event.reason",
        "error.message",
    ),
}  # fmt: skip
"""Groups of fields that may contain personal data, by the person concerned. A group has one digest and is erased as a
whole."""


def _tree() -> dict[str, Any]:
    """PERSONAL as nested objects, with (group, path) at each leaf."""
    tree: dict[str, Any] = {}
    for group, paths in PERSONAL.items():
        for path in paths:
            *parents, last = path.split(".")
            node = tree
            for name in parents:
                node = node.setdefault(name, {})
            node[last] = (group, path)
    return tree


_TREE = _tree()
_EXACT = 2**53 - 1  # integers beyond are not exact in JSON (RFC 7493, 2.2), and RFC 8785 refuses them


class Head(NamedTuple):
    """The end of a chain: its id, the number of its last record (0: none yet), that record's hash."""

    id: str
    sequence: int
    hash: str


class Checked(NamedTuple):
    """The result of checking one record against its own hash.

    `verdict` is good, erased (personal fields were erased, the rest is good), changed, unkeyed (hashed without a key
    though one is set), or unchecked (hashed with a key that is not set here). `detail` explains it.
    """

    head: Head
    previous: str
    verdict: str
    detail: str = ""


def canonical(value: Any) -> bytes:
    """The value in canonical JSON (RFC 8785). ValueError for values it lacks, such as integers over 2**53.

    orjson sorts keys by code point and formats floats differently. Without characters beyond the Basic Multilingual
    Plane, floats and large numbers its output is the same, and ten times as fast. Everything else goes to rfc8785.
    """
    encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    usual = type(value) is dict and (encoded.isascii() or not _BEYOND(encoded))
    if usual and not (_MEMBER(encoded) or _FIRST(encoded) or _LATER(encoded)):
        return encoded
    with no_fork:
        import rfc8785  # rarely needed, and slow to import

    return bytes(rfc8785.dumps(value))


# Match, in UTF-8: a character beyond the Basic Multilingual Plane; a member that is a float or has 16 digits or more;
# any number in a list. Each pattern begins with a literal, for speed. A false match within a string is only slower.
_BEYOND = re.compile(rb"[\xf0-\xf4]").search
_MEMBER = re.compile(rb'":-?[0-9]+(?:[.eE]|(?<=[0-9]{16}))').search
_FIRST, _LATER = re.compile(rb"\[-?[0-9]").search, re.compile(rb",-?[0-9]").search


def exact(value: Any) -> Any:
    """A copy in which integers that canonical JSON cannot represent are text."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if type(value) is int and not -_EXACT <= value <= _EXACT:
        return str(value)
    return value


def key_id(key: bytes) -> str:
    """16 hex digits that identify a key without revealing it."""
    return hashlib.sha256(b"rq-shipper audit key\0" + key).hexdigest()[:16]


def seal(record: Record, head: Head, key: bytes | None) -> Head:
    """Append the record to the chain: adds `event.sequence` and `audit.chain` to it. Returns the new head.

    ValueError if the record has no canonical JSON; it is not changed then.
    """
    public, personal = split(record)
    random, size = os.urandom(SALT_BYTES * len(personal)).hex(), 2 * SALT_BYTES
    salts = {group: random[at * size : (at + 1) * size] for at, group in enumerate(personal)}
    links: dict[str, Any] = {
        "id": head.id,
        "previous": head.hash,
        "digests": {group: _digest(group, salts[group], values) for group, values in personal.items()},
    }
    if key is not None:
        links["key"] = key_id(key)
    sequence = head.sequence + 1
    public["event"]["sequence"], public["audit"]["chain"] = sequence, links
    sealed = _hash(public, key)
    record["event"]["sequence"], record["audit"]["chain"] = sequence, {"hash": sealed, "salts": salts, **links}
    return Head(head.id, sequence, sealed)


def split(record: Mapping[str, Any]) -> tuple[Record, dict[str, dict[str, Any]]]:
    """(a copy without the personal fields, those fields by group and path)."""
    personal: dict[str, dict[str, Any]] = {}
    return _split(record, _TREE, personal), personal


def _split(node: Mapping[str, Any], tree: Mapping[str, Any], personal: dict[str, dict[str, Any]]) -> Record:
    public = {}
    for name, value in node.items():
        plan = tree.get(name)
        if type(plan) is tuple:
            personal.setdefault(plan[0], {})[plan[1]] = value
        elif plan is None or type(value) is not dict:
            public[name] = value
        elif inner := _split(value, plan, personal):
            public[name] = inner  # an object with only personal fields is omitted
    return public


def head_of(record: Mapping[str, Any]) -> Head | None:
    """The record's chain, number and hash; None if it is in no chain."""
    try:
        links = record["audit"]["chain"]
        return Head(str(links["id"]), int(record["event"]["sequence"]), str(links["hash"]))
    except (KeyError, TypeError, ValueError):
        return None


def check(record: Record, key: bytes | None) -> Checked | None:
    """Check a record against its own hash; None if it is in no chain."""
    head = head_of(record)
    if head is None:
        return None
    previous, with_key = "", None
    erased: list[str] = []
    try:
        public, personal = split(record)
        links = public["audit"]["chain"] = dict(public["audit"]["chain"])
        previous, with_key = links["previous"], links.get("key")
        erased, wrong = _check_personal(personal, links.pop("salts", {}), links["digests"])
        stated = links.pop("hash")
        if wrong:
            return Checked(head, previous, "changed", wrong)
        if with_key is not None and (key is None or with_key != key_id(key)):
            return Checked(head, previous, "unchecked", f"it was made with the key {with_key}")
        if not hmac.compare_digest(_hash(public, key if with_key is not None else None), stated):
            return Checked(head, previous, "changed", "it is not the record that was hashed")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Checked(head, str(previous), "changed", f"{type(error).__name__}: {error}")
    if key is not None and with_key is None:
        return Checked(head, previous, "unkeyed", "anybody could have made its hash")
    return Checked(head, previous, "erased" if erased else "good", ", ".join(erased))


def _check_personal(
    personal: Mapping[str, Mapping[str, Any]], salts: Mapping[str, str], digests: Mapping[str, str]
) -> tuple[list[str], str]:
    """(the groups that were erased, the first problem of the others or "")."""
    erased = []
    for group in {**digests, **personal}:
        values, salt = personal.get(group), salts.get(group)
        if not values and salt is None:
            erased.append(group)
        elif not values or salt is None or _digest(group, salt, values) != digests.get(group):
            return erased, f"a personal field is not what it was ({group}: {', '.join(values or ()) or 'all gone'})"
    return erased, ""


def erase(record: Record, groups: Iterable[str]) -> bool:
    """Remove groups of personal fields and their salts from a record. False if there was nothing to remove."""
    salts = record.get("audit", {}).get("chain", {}).get("salts", {})
    removed = False
    for group in groups:
        removed |= salts.pop(group, None) is not None
        for path in PERSONAL[group]:
            removed |= _remove(record, path.split("."))
    return removed


def _remove(node: Any, path: list[str]) -> bool:
    """Remove the value at the path, and objects that become empty."""
    name, *rest = path
    if not isinstance(node, dict) or name not in node:
        return False
    if not rest:
        del node[name]
        return True
    removed = _remove(node[name], rest)
    if removed and not node[name]:
        del node[name]
    return removed


def _hash(record: Mapping[str, Any], key: bytes | None) -> str:
    encoded = canonical(record)
    return hashlib.sha256(encoded).hexdigest() if key is None else hmac.digest(key, encoded, "sha256").hex()


def _digest(group: str, salt: str, values: Mapping[str, Any]) -> str:
    return hashlib.sha256(b"%b\0%b\0%b" % (salt.encode(), group.encode(), canonical(values))).hexdigest()
