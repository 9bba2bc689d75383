"""Computes and checks the audit chain. Pure: no files, no clock.

Each audit record has a number (`event.sequence`), the hash of the previous record (`audit.chain.previous`) and its own
hash (`audit.chain.hash`): SHA-256, or HMAC-SHA256 (RFC 2104) if there is a key. The hash is over the record in
canonical JSON (RFC 8785), in which each group of personal fields is replaced by a salted digest. So values and salt can
be erased and the hash stays valid; without the 128-bit salt nobody can guess the values from the digest.

A signed record (a seal, see seals.py) also has `audit.chain.signer`, the id of a public key, and
`audit.chain.signature`, which signs chain, number and hash.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
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


_Personal = dict[str, dict[str, Any]]  # by group and path
_Plan = tuple[tuple[str, tuple[str, str] | None, "_Plan"], ...]


def _plan() -> _Plan:
    """PERSONAL as nested objects: (name, (group, path) of a personal field, the fields of an object)."""
    tree: dict[str, Any] = {}
    for group, paths in PERSONAL.items():
        for path in paths:
            *parents, last = path.split(".")
            node = tree
            for name in parents:
                node = node.setdefault(name, {})
            node[last] = (group, path)
    return _flat(tree)


def _flat(tree: Mapping[str, Any]) -> _Plan:
    return tuple((name, one, ()) if type(one) is tuple else (name, None, _flat(one)) for name, one in tree.items())


_PLAN = _plan()
_EXACT = 2**53 - 1  # integers beyond are not exact in JSON (RFC 7493, 2.2), and RFC 8785 refuses them


class Head(NamedTuple):
    """The end of a chain: its id, the number of its last record (0: none yet), that record's hash."""

    id: str
    sequence: int
    hash: str


class Checked(NamedTuple):
    """The result of checking one record against its own hash.

    `verdict` is good, erased (personal fields were erased, the rest is good), changed, unkeyed (hashed without a key
    though one is set), unknown-key (hashed with a key that is not one of those that are set), or unchecked (hashed with
    a key, and none is set here). `detail` explains it; for erased it names the groups. `key` is the id of the record's
    key, None without.
    """

    head: Head
    previous: str
    verdict: str
    detail: str = ""
    key: str | None = None


class Keys(NamedTuple):
    """The HMAC keys that records may be hashed with. `current`: what new ones are; None: they are hashed without.

    `by_id` has all of them, in the order of their use: retired ones first.
    """

    current: bytes | None
    by_id: Mapping[str, bytes]

    @classmethod
    def of(cls, current: bytes | str | None, retired: Iterable[bytes | str] = ()) -> Keys:
        given = [key.encode() if isinstance(key, str) else key for key in (*retired, current) if key]
        last = given[-1] if current and given else None
        return cls(last, {key_id(key): key for key in given})


NO_KEYS = Keys(None, {})

Sign = Callable[[bytes], str]
"""Signs a message: the signature in hex."""


def canonical(value: Any) -> bytes:
    """The value in canonical JSON (RFC 8785). ValueError for values it lacks, such as integers over 2**53.

    orjson sorts keys by code point and formats floats differently. Without characters beyond the Basic Multilingual
    Plane and floats its output is the same, and ten times as fast. Everything else goes to rfc8785.
    """
    try:
        encoded = _exactly(value)
        if type(value) is dict and _is_plain(encoded):
            return encoded
    except TypeError:  # a large integer, or a value that is not JSON's
        pass
    with no_fork:
        import rfc8785  # rarely needed, and slow to import

    return bytes(rfc8785.dumps(value))


def _exactly(value: Any) -> bytes:
    """orjson's encoding, which is canonical if `_is_plain`. TypeError for integers over 2**53."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)


def _is_plain(encoded: bytes) -> bool:
    """Whether orjson's encoding of objects is canonical."""
    if not encoded.isascii() and _BEYOND(encoded):
        return False
    return not ((_FRACTION(encoded) or _SMALL(encoded) or _LARGE(encoded)) and _FLOAT(encoded))


# Match, in UTF-8: a character beyond the Basic Multilingual Plane; a float in an object or list. The end of a float is
# looked for first: with one literal character in front that is rare, it is found three times as fast.
_BEYOND = re.compile(rb"[\xf0-\xf4]").search
_FRACTION, _SMALL = re.compile(rb"\.[0-9]+[]},e]").search, re.compile(rb"-(?<=[0-9]e-)[0-9]+[]},]").search
_HAS_PLUS = b"+" in orjson.dumps(1e16)  # since orjson 3.11.7
_LARGE = re.compile((rb"\+(?<=[0-9]e\+)" if _HAS_PLUS else rb"e(?<=[0-9]e)") + rb"[0-9]+[]},]").search
_FLOAT = re.compile(rb'(?:":|[\[,])-?[0-9]+[.e]').search  # one within a string is only slower


def exact(value: Any) -> Any:
    """A copy in which integers that canonical JSON cannot represent are text."""
    if isinstance(value, dict):
        return {key: exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    if type(value) is int and not -_EXACT <= value <= _EXACT:
        return str(value)
    return value


@lru_cache
def key_id(key: bytes) -> str:
    """16 hex digits that identify a key without revealing it."""
    return hashlib.sha256(b"rq-shipper audit key\0" + key).hexdigest()[:16]


def link(record: Record, head: Head, key: bytes | None, signer: tuple[str, Sign] | None = None) -> Head:
    """Append the record to the chain: adds `event.sequence` and `audit.chain` to it. Returns the new head.

    `signer`: the id of a public key, and what signs with its private key. ValueError if the record has no canonical
    JSON; it is not changed then.
    """
    public, personal = split(record)
    identifier, number, previous = head
    links: dict[str, Any] = {"id": identifier, "previous": previous}
    if key is not None:
        links["key"] = key_id(key)
    if signer is not None:
        links["signer"] = signer[0]
    salts = _salts(personal)
    sequence = number + 1
    public["event"]["sequence"], public["audit"]["chain"] = sequence, links
    hashed = _hash_of(_encoded(public, personal, salts), key)
    now = Head(identifier, sequence, hashed)
    signature = {"signature": signer[1](signed_message(now))} if signer is not None else {}
    record["event"]["sequence"] = sequence
    record["audit"]["chain"] = {"hash": hashed, "salts": salts, **signature, **links}
    return now


def _encoded(public: Record, personal: _Personal, salts: Mapping[str, str]) -> bytes:
    """What is hashed of a record: canonical JSON of the public fields, to which the digests of the others are added."""
    try:
        # All parts are encoded first, and then it is asked once whether they are canonical, as nearly all are.
        parts = _parts(public, personal, salts, _exactly)
        if _is_plain(b"\n".join(parts)):
            return parts[-1]
    except TypeError:
        pass
    return _parts(public, personal, salts, canonical)[-1]


def _parts(
    public: Record, personal: _Personal, salts: Mapping[str, str], encode: Callable[[Any], bytes]
) -> list[bytes]:
    parts, digests = [], {}
    for group, values in personal.items():
        part = encode(values)
        parts.append(part)
        digests[group] = _digest_of(group, salts[group], part)
    public["audit"]["chain"]["digests"] = digests
    parts.append(encode(public))
    return parts


def _salts(groups: Collection[str]) -> dict[str, str]:
    """A salt for each group, all from one call of the kernel."""
    salts, length, at = {}, 2 * SALT_BYTES, 0
    random = os.urandom(SALT_BYTES * len(groups)).hex()
    for group in groups:
        salts[group] = random[at : at + length]
        at += length
    return salts


def signed_message(head: Head) -> bytes:
    """What is signed of a record: its chain, number and hash. The hash covers everything else."""
    return f"rq-shipper audit chain\0{head.id}\0{head.sequence}\0{head.hash}".encode()


def split(record: Mapping[str, Any]) -> tuple[Record, _Personal]:
    """(a copy without the personal fields, those fields by group and path)."""
    personal: _Personal = {}
    return _split(record, _PLAN, personal), personal


def _split(node: Mapping[str, Any], plan: _Plan, personal: _Personal) -> Record:
    public = dict(node)
    for name, leaf, inner in plan:
        if name not in public:
            continue
        if leaf is not None:
            group, path = leaf
            if group in personal:
                personal[group][path] = public.pop(name)
            else:
                personal[group] = {path: public.pop(name)}
        elif type(value := public[name]) is dict:
            if rest := _split(value, inner, personal):
                public[name] = rest
            else:
                del public[name]  # an object with only personal fields is omitted
    return public


def head_of(record: Mapping[str, Any]) -> Head | None:
    """The record's chain, number and hash; None if it is in no chain."""
    try:
        links = record["audit"]["chain"]
        return Head(str(links["id"]), int(record["event"]["sequence"]), str(links["hash"]))
    except (KeyError, TypeError, ValueError):
        return None


def check(record: Record, keys: Keys = NO_KEYS) -> Checked | None:
    """Check a record against its own hash; None if it is in no chain."""
    head = head_of(record)
    if head is None:
        return None
    previous, used = "", None
    erased: list[str] = []
    try:
        public, personal = split(record)
        links = public["audit"]["chain"] = dict(public["audit"]["chain"])
        previous, used = links["previous"], links.get("key")
        erased, wrong = _check_personal(personal, links.pop("salts", {}), links["digests"])
        stated = links.pop("hash")
        links.pop("signature", None)
        if wrong:
            return Checked(head, previous, "changed", wrong, used)
        key = keys.by_id.get(used) if used is not None else None
        if used is not None and key is None:
            verdict = "unknown-key" if keys.by_id else "unchecked"
            return Checked(head, previous, verdict, f"it was made with the key {used}", str(used))
        if _hash_of(_sorted(public), key) != stated and _hash(public, key) != stated:
            return Checked(head, previous, "changed", "it is not the record that was hashed", used)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Checked(head, str(previous), "changed", f"{type(error).__name__}: {error}")
    if keys.current is not None and used is None:
        return Checked(head, previous, "unkeyed", "anybody could have made its hash")
    return Checked(head, previous, "erased" if erased else "good", ", ".join(erased) if erased else "", used)


def _check_personal(
    personal: Mapping[str, Mapping[str, Any]], salts: Mapping[str, str], digests: Mapping[str, str]
) -> tuple[list[str], str]:
    """(the groups that were erased, the first problem of the others or "")."""
    erased = []
    for group, digest in digests.items():
        values, salt = personal.get(group), salts.get(group)
        if not values and salt is None:
            erased.append(group)
        elif not values or salt is None or not _is_digest(digest, group, salt, values):
            return erased, _problem(group, values)
    if len(personal) > len(digests) - len(erased):
        added = min(personal.keys() - digests.keys())
        return erased, _problem(added, personal[added])
    return erased, ""


def _problem(group: str, values: Iterable[str] | None) -> str:
    return f"a personal field is not what it was ({group}: {', '.join(values or ()) or 'all gone'})"


def salted(record: Mapping[str, Any]) -> set[str]:
    """The groups of personal fields that the record still has."""
    links = record.get("audit", {}).get("chain", {})
    return set(links.get("salts", ())) if isinstance(links, Mapping) else set()


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
    return _hash_of(canonical(record), key)


def _hash_of(encoded: bytes, key: bytes | None) -> str:
    return hashlib.sha256(encoded).hexdigest() if key is None else hmac.digest(key, encoded, "sha256").hex()


def _digest(group: str, salt: str, values: Mapping[str, Any]) -> str:
    return _digest_of(group, salt, canonical(values))


def _digest_of(group: str, salt: str, encoded: bytes) -> str:
    return hashlib.sha256((salt + "\0" + group + "\0").encode() + encoded).hexdigest()


def _is_digest(digest: str, group: str, salt: str, values: Mapping[str, Any]) -> bool:
    return _digest_of(group, salt, _sorted(values)) == digest or _digest(group, salt, values) == digest


def _sorted(value: Mapping[str, Any]) -> bytes:
    """The canonical JSON of most values. If its hash is as stated, these are the bytes that were hashed: whether they
    are canonical need not be asked, which takes longer than this.
    """
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
