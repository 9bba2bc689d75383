"""What is taken from a request's headers, and what is not believed."""

from __future__ import annotations

import pytest

from shipper.web.request import client_address, request_of, trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("192.0.2.1", "", [], "192.0.2.1"),
        ("192.0.2.1", "198.51.100.9", [], "192.0.2.1"),  # anybody can write a header
        ("10.0.0.1", "198.51.100.9", ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", "203.0.113.66, 198.51.100.9", ["10.0.0.0/8"], "198.51.100.9"),  # the first one is the client's own
        ("10.0.0.1", "198.51.100.9, 10.0.0.2", ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", "198.51.100.9:4711", ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", "[2001:db8::1]:4711", ["10.0.0.0/8"], "2001:db8::1"),
        ("10.0.0.1", "rubbish, 198.51.100.9", ["10.0.0.0/8"], "198.51.100.9"),
        ("10.0.0.1", "rubbish", ["10.0.0.0/8"], "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3", ["10.0.0.0/8"], "10.0.0.3"),
        ("", "198.51.100.9", [], None),
        ("", "198.51.100.9", ["unix"], "198.51.100.9"),
        ("fe80::1%eth0", "", [], "fe80::1"),
        (None, "", ["10.0.0.0/8"], None),
    ],
)
def test_proxies_are_believed_only_where_they_are_trusted(
    peer: str | None, forwarded: str, trusted: list[str], expected: str | None
) -> None:
    assert client_address(peer, forwarded, trusted) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"01-{TRACE}-b7ad6b7169203331-01-later", TRACE),
        (f"00-{TRACE}-b7ad6b7169203331-01-later", None),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
        ("", None),
    ],
)
def test_a_trace_is_taken_from_a_valid_traceparent(header: str, expected: str | None) -> None:
    assert trace_of(header) == expected


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, 'a"\nb'])
def test_a_request_id_that_cannot_be_gets_a_new_one(given: str) -> None:
    made = request_of({"x-request-id": given}, "/", None, (), lambda: None)
    assert len(made.id) == 32


def test_a_good_request_id_is_kept() -> None:
    assert request_of({"x-request-id": "abc-1"}, "/", None, (), lambda: None).id == "abc-1"


def test_a_user_function_that_fails_is_nobody() -> None:
    assert request_of({}, "/", None, (), lambda: 1 / 0).resolve_actor() is None
