"""The chain by itself: canonical JSON, what a hash covers, what can be erased."""

from __future__ import annotations

import math
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from shipper.audit import chain
from shipper.audit.chain import NO_HASH, Head, Keys

START = Head("host-1", 0, NO_HASH)
KEY = b"a key of sixteen characters"
PLAIN = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.floats(allow_nan=False)
VALUES = st.recursive(
    PLAIN.filter(lambda value: not (isinstance(value, float) and math.isinf(value))),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def record() -> dict[str, Any]:
    return {
        "@timestamp": "2026-11-21T03:17:32.123456Z",
        "event": {"id": "0" * 32, "dataset": "rq.audit", "action": "address-changed", "reason": "asked for it"},
        "user": {"id": "ann", "name": "Ann", "roles": ["clerk"], "target": {"id": "bob"}},
        "audit": {
            "actor": {"type": "user"},
            "resource": {"type": "customer", "id": "42"},
            "changes": {"before": {"city": "Ulm"}, "after": {"city": "Bonn", "rate": 1.5}},
        },
        "source": {"ip": "192.0.2.7"},
        "message": "Ann: address-changed customer 42",
    }


def sealed(key: bytes | None = None) -> dict[str, Any]:
    made = record()
    chain.link(made, START, key)
    return orjson.loads(orjson.dumps(made))  # type: ignore[no-any-return]


def verdict(made: dict[str, Any], key: bytes | None = None) -> str:
    found = chain.check(made, Keys.of(key))
    assert found is not None
    return found.verdict


@given(VALUES)
def test_canonical_json_is_that_of_the_rfc(value: Any) -> None:
    for whole in (value, {"a": value, "b": [value]}):
        assert chain.canonical(whole) == rfc8785.dumps(whole)


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1.0},
        [1e21, -0.0],
        [2.5],
        {"é": 1, "z": 2},
        {"\U0001f600": 1, "\ufb33": 2},
        {"a": "x:1.5"},
        {"a": [[], 1.5]},
    ],
)
def test_canonical_json_where_it_is_hard(value: Any) -> None:
    assert chain.canonical(value) == rfc8785.dumps(value)


def test_what_json_cannot_say_exactly_is_refused_and_can_be_made_text() -> None:
    with pytest.raises(ValueError, match=str(2**60)):
        chain.canonical({"big": 2**60})
    assert chain.canonical(chain.exact({"big": [2**60]})) == b'{"big":["%d"]}' % 2**60


@pytest.mark.parametrize("key", [None, KEY])
def test_a_sealed_record_holds_and_names_its_place(key: bytes | None) -> None:
    made = record()
    head = chain.link(made, Head("host-1", 7, "f" * 64), key)
    found = chain.check(made, Keys.of(key))
    assert found is not None
    assert (found.verdict, found.head, found.previous) == ("good", head, "f" * 64)
    assert made["event"]["sequence"] == head.sequence == 8


FIELDS = (
    "event.action", "event.reason", "user.id", "user.roles", "audit.changes", "message", "user.target", "source.ip",
    "audit.resource.id", "@timestamp", "event.sequence",
)  # fmt: skip


@pytest.mark.parametrize("path", FIELDS)
def test_every_field_is_covered(path: str) -> None:
    changed, gone = sealed(), sealed()
    for made in (changed, gone):
        *way, last = path.split(".")
        holder = made
        for name in way:
            holder = holder[name]
        if made is changed:
            holder[last] = 9 if last == "sequence" else {"other": "value"}
        else:
            del holder[last]
    assert verdict(changed) == "changed"
    if path != "event.sequence":  # without a number it is in no chain
        assert verdict(gone) == "changed"


def test_what_was_added_is_seen() -> None:
    for name, value in (("organization", {"id": "7"}), ("labels", {"x": "y"}), ("url", {"path": "/"})):
        made = sealed()
        made[name] = value
        assert verdict(made) == "changed"


@pytest.mark.parametrize("group", chain.PERSONAL)
def test_a_group_of_personal_fields_can_be_erased_and_the_rest_holds(group: str) -> None:
    made = sealed(KEY)
    assert chain.erase(made, [group])
    assert verdict(made, KEY) == "erased"
    assert not chain.erase(made, [group])
    made["event"]["action"] = "something-else"
    assert verdict(made, KEY) == "changed"


def test_erased_values_are_gone_with_their_salts() -> None:
    made = sealed()
    chain.erase(made, chain.PERSONAL)
    said = orjson.dumps(made).decode()
    assert made["audit"]["chain"]["salts"] == {}
    assert not [word for word in ('"ann"', "Ann", '"bob"', "Bonn", '"42"', "192.0.2.7", "asked") if word in said]
    assert made["user"] == {"roles": ["clerk"]}


def test_a_value_without_its_salt_is_a_change_and_no_erasure() -> None:
    value_gone, salt_gone = sealed(), sealed()
    del value_gone["user"]["target"]
    del salt_gone["audit"]["chain"]["salts"]["target"]
    assert (verdict(value_gone), verdict(salt_gone)) == ("changed", "changed")


def test_two_records_of_one_person_cannot_be_linked_by_their_digests() -> None:
    one, other = sealed(), sealed()
    assert one["audit"]["chain"]["digests"]["actor"] != other["audit"]["chain"]["digests"]["actor"]


def test_a_hash_that_needs_a_key_cannot_be_made_without() -> None:
    with_key, without = sealed(KEY), sealed()
    assert verdict(with_key) == "unchecked"
    assert verdict(with_key, b"another key of that length") == "unknown-key"
    assert verdict(without, KEY) == "unkeyed"
    with_key["event"]["action"] = "other"
    chain.link(with_key, START, None)  # rebuilt by somebody without the key
    assert verdict(with_key, KEY) == "unkeyed"


@given(VALUES)
def test_checking_never_raises(value: Any) -> None:
    made = sealed()
    made["audit"]["chain"]["digests"] = value
    found = chain.check(made)
    assert found is None or found.verdict == "changed"


def test_a_record_outside_of_any_chain_says_so() -> None:
    assert chain.check(record()) is None
