"""What is kept back, what is cut, and that nothing a user can pass makes it fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.redact import BUDGET, REDACTED, Redactor, parameter_names

NAMES = [
    "password", "PASSWORD", "user_password", "secret", "client_secret", "token", "accessToken", "Authorization",
    "api_key", "apiKey", "x-api-key", "card", "card_number", "cvv", "private_key", "credentials", "Set-Cookie",
]  # fmt: skip


def sign_in(user: str, password: str, *, remember: bool) -> None:
    """A function whose second parameter is secret."""


@pytest.mark.parametrize("name", NAMES)
def test_values_with_such_names_are_kept_back(name: str) -> None:
    assert Redactor().named({name: "s3cret"})[0] == {name: REDACTED}


@pytest.mark.parametrize("name", ["user", "order", "amount", "carrier", "author"])
def test_other_values_are_not(name: str) -> None:
    assert Redactor().named({name: "x"})[0] == {name: "x"}


def test_a_positional_argument_goes_by_its_parameter_s_name() -> None:
    shown, _ = Redactor().positional(("bob", "s3cret"), f"{__name__}.sign_in")
    assert shown == {"0": "bob", "1": REDACTED}


def test_a_function_that_is_not_imported_is_not_imported_for_this() -> None:
    assert parameter_names("antigravity.fly") is None


def test_arguments_of_unknown_parameters_are_kept_back() -> None:
    assert Redactor().positional(("bob", "s3cret"), "antigravity.fly") == ({}, False)


def test_secrets_are_found_at_any_depth() -> None:
    shown, _ = Redactor().named({"options": {"login": [{"token": "s3cret", "url": "/"}]}})
    assert shown == {"options": {"login": [{"token": REDACTED, "url": "/"}]}}


def test_a_list_of_the_user_s_own_is_added() -> None:
    assert Redactor(["iban"]).named({"IBAN": "DE00", "password": "x"})[0] == {"IBAN": REDACTED, "password": REDACTED}


def mask(name: str, value: Any) -> Any:
    if name == "boom":
        raise RuntimeError
    return "***" if name == "phone" else value


def test_a_function_of_the_user_s_own_is_asked() -> None:
    shown, _ = Redactor([f"{__name__}:mask"]).named({"phone": "123", "city": "Ulm", "boom": "x"})
    assert shown == {"phone": "***", "city": "Ulm", "boom": REDACTED}


def test_a_function_that_is_not_there_keeps_everything_back() -> None:
    assert Redactor(["nowhere:mask"]).named({"city": "Ulm"})[0] == {"city": REDACTED}


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def _deep() -> object:
    value: object = 1
    for _ in range(50):
        value = {"deeper": value}
    return value


def _cyclic() -> object:
    loop: list[object] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Rude(), f"<{__name__}.Rude>"),
        (b"\xff" * 10, "<10 bytes>"),
        (float("nan"), "nan"),
        (2**70, str(2**70)),
        ("\ud800", "\\ud800"),
        ({1: 2, None: 3, (4, 5): 6}, {"1": 2, "None": 3, "<tuple>": 6}),
        ({"a\0b": 1}, {"a\\0b": 1}),
        ({"": 1}, {"(empty)": 1}),
    ],
    ids=["rude", "bytes", "nan", "big", "surrogate", "keys", "nul", "empty"],
)
def test_what_cannot_be_shown_is_named_or_escaped(value: object, shown: object) -> None:
    assert Redactor().named({"value": value})[0]["value"] == shown


@pytest.mark.parametrize("make", [_deep, _cyclic, lambda: "x" * 10_000, lambda: list(range(10_000))])
def test_what_is_too_much_is_cut_and_marked(make: Callable[[], object]) -> None:
    shown, cut = Redactor().named({"value": make()})
    assert cut
    assert len(orjson.dumps(shown)) < 2000 + 10 * BUDGET


_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.none(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.lists(_anything, max_size=4))
def test_anything_becomes_something_that_json_can_say(values: list[object]) -> None:
    shown, _ = Redactor().positional(values, f"{__name__}.sign_in")
    orjson.dumps(shown)
