"""The audit chain, as it is written and as it is verified. Pure: no file, no clock.

Each audit record has a number (`event.sequence`), the hash of the one before it (`audit.chain.previous`) and a
hash over itself (`audit.chain.hash`): SHA-256, or HMAC-SHA256 (RFC 2104) where there is a key. What is hashed is
the record in canonical JSON (RFC 8785) without its personal fields; each of those is in it as a salted digest
instead. So value and salt can be taken out for good, and the hash still holds: nobody can guess the value from
a digest whose salt of 128 bits is gone.
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
"""What the first record of a chain has as the hash of the one before it."""

SALT_BYTES = 16

PERSONAL: Mapping[str, tuple[str, ...]] = {
    "actor": ("user.id", "user.name", "user.effective.id", "source.ip", "user_agent.original"),
    "target": ("user.target.id",),
    "content": (
        "audit.resource.id", "audit.resource.name", "audit.changes", "labels", "url.path", "message", "event.reason",
        "error.message",
    ),
}  # fmt: skip
"""The fields that may tell of a person, by whom they tell of. Each group has one digest, and is erased as one."""


def _tree() -> dict[str, Any]:
    """PERSONAL as an object of objects: at each leaf the group and the path."""
    tree: dict[str, Any] = {}
    for group, paths in PERSONAL.items():
        for path in paths:
            *way, last = path.split(".")
            node = tree
            for name in way:
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
    """What a record says of its place in a chain, and what is wrong with it.

    `verdict` is good, erased (personal fields are gone, the rest holds), changed, unkeyed (its hash needs no key,
    though we have one), or unchecked (its hash needs a key that we do not have).
    """

    head: Head
    previous: str
    verdict: str
    detail: str = ""


def canonical(value: Any) -> bytes:
    """The value in canonical JSON (RFC 8785). ValueError for what that cannot say, such as integers over 2**53.

    orjson sorts keys by code point and writes floats its own way. Where there is neither a character beyond the
    Basic Multilingual Plane nor a float nor a large number, that is the same, and ten times as fast. Everything
    else is left to the library made for it.
    """
    said = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    usual = type(value) is dict and (said.isascii() or not _BEYOND(said))
    if usual and not (_MEMBER(said) or _FIRST(said) or _LATER(said)):
        return said
    with no_fork:
        import rfc8785  # rarely needed, and emitters import light

    return bytes(rfc8785.dumps(value))


# In UTF-8: a character beyond the Basic Multilingual Plane; a member that is a float or a number of 16 digits; any
# number in a list. Each begins with what is quickly searched for. A text that looks so costs time and nothing else.
_BEYOND = re.compile(rb"[\xf0-\xf4]").search
_MEMBER = re.compile(rb'":-?[0-9]+(?:[.eE]|(?<=[0-9]{16}))').search
_FIRST, _LATER = re.compile(rb"\[-?[0-9]").search, re.compile(rb",-?[0-9]").search


def exact(value: Any) -> Any:
    """A copy in which integers too large for canonical JSON are text."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if type(value) is int and not -_EXACT <= value <= _EXACT:
        return str(value)
    return value


def key_id(key: bytes) -> str:
    """Which key a hash was made with, without telling the key: 16 hex digits."""
    return hashlib.sha256(b"rq-shipper audit key\0" + key).hexdigest()[:16]


def seal(record: Record, head: Head, key: bytes | None) -> Head:
    """Put the record behind `head`: adds `event.sequence` and `audit.chain` to it. Returns the new head.

    ValueError if the record cannot be said in canonical JSON; it is then as it was.
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
    """(the record without its personal fields, those fields by group and path). The record stays as it is."""
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
            public[name] = inner  # an object of nothing but personal fields is left out with them
    return public


def head_of(record: Mapping[str, Any]) -> Head | None:
    """The place of a record in its chain; None if it is in none."""
    try:
        links = record["audit"]["chain"]
        return Head(str(links["id"]), int(record["event"]["sequence"]), str(links["hash"]))
    except (KeyError, TypeError, ValueError):
        return None


def check(record: Record, key: bytes | None) -> Checked | None:
    """Hold a record against its own hash; None if it is in no chain."""
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
    except (KeyError, TypeError, ValueError, AttributeError) as strange:
        return Checked(head, str(previous), "changed", f"{type(strange).__name__}: {strange}")
    if key is not None and with_key is None:
        return Checked(head, previous, "unkeyed", "anybody could have made its hash")
    return Checked(head, previous, "erased" if erased else "good", ", ".join(erased))


def _check_personal(
    personal: Mapping[str, Mapping[str, Any]], salts: Mapping[str, str], digests: Mapping[str, str]
) -> tuple[list[str], str]:
    """(the groups that were erased, what is wrong with the others)."""
    erased = []
    for group in {**digests, **personal}:
        values, salt = personal.get(group), salts.get(group)
        if not values and salt is None:
            erased.append(group)
        elif not values or salt is None or _digest(group, salt, values) != digests.get(group):
            return erased, f"a personal field is not what it was ({group}: {', '.join(values or ()) or 'all gone'})"
    return erased, ""


def erase(record: Record, groups: Iterable[str]) -> bool:
    """Take groups of personal fields and their salts out of a record, for good. False if nothing was there."""
    salts = record.get("audit", {}).get("chain", {}).get("salts", {})
    done = False
    for group in groups:
        done |= salts.pop(group, None) is not None
        for path in PERSONAL[group]:
            done |= _remove(record, path.split("."))
    return done


def _remove(node: Any, way: list[str]) -> bool:
    """Remove what lies at the path, and the objects that are empty without it."""
    name, *rest = way
    if not isinstance(node, dict) or name not in node:
        return False
    if not rest:
        del node[name]
        return True
    done = _remove(node[name], rest)
    if done and not node[name]:
        del node[name]
    return done


def _hash(record: Mapping[str, Any], key: bytes | None) -> str:
    said = canonical(record)
    return hashlib.sha256(said).hexdigest() if key is None else hmac.digest(key, said, "sha256").hex()


def _digest(group: str, salt: str, values: Mapping[str, Any]) -> str:
    return hashlib.sha256(b"%b\0%b\0%b" % (salt.encode(), group.encode(), canonical(values))).hexdigest()
