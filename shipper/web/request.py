"""What a middleware takes from a request. Pure: headers in, facts out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network

from ..context import Actor, Request

UNIX = "unix"
"""Among the trusted proxies: whoever connects by a Unix socket, which has no address."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


def request_of(
    headers: Mapping[str, str], path: str, peer: str | None, trusted: Iterable[str], find_actor: Callable[[], object]
) -> Request:
    """The request, from its headers (names in small letters), its path without the query, and who is connected.

    `find_actor` gives an Actor, the id of a user, or None.
    """
    given = headers.get("x-request-id", "")
    return Request(
        id=given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(16),
        path=path,
        address=client_address(peer, headers.get("x-forwarded-for", ""), trusted),
        agent=headers.get("user-agent"),
        trace_id=trace_of(headers.get("traceparent", "")),
        find_actor=lambda: _as_actor(find_actor()),
    )


def client_address(peer: str | None, forwarded: str, trusted: Iterable[str]) -> str | None:
    """The client's IP address; None if it is not known.

    Each proxy adds whom it was asked by to the end of `X-Forwarded-For`. So the list is read from its end, for as
    long as the word is that of a trusted proxy; what stands before, anybody may have written.
    """
    networks = tuple(trusted)
    address = _address(peer)
    if not _is_trusted(address, networks):
        return address
    for said in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        nearer = _address(said)
        if nearer is None:
            return address
        address = nearer
        if not _is_trusted(address, networks):
            return address
    return address


def trace_of(traceparent: str) -> str | None:
    """The trace id of a `traceparent` header (https://www.w3.org/TR/trace-context/); None if it is not valid."""
    found = _TRACEPARENT.fullmatch(traceparent.strip())
    if found is None:
        return None
    version, trace, span, more = found.groups()
    if version == "ff" or (version == "00" and more) or set(trace) == {"0"} or set(span) == {"0"}:
        return None
    return trace


def _address(said: str | None) -> str | None:
    """An IP address without the port, brackets and zone that may stand around it."""
    text = (said or "").strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None


def _is_trusted(address: str | None, networks: tuple[str, ...]) -> bool:
    if address is None:
        return UNIX in networks
    one = ip_address(address)
    return any(one in ip_network(network, strict=False) for network in networks if network != UNIX)


def _as_actor(found: object) -> Actor | None:
    if found is None or isinstance(found, Actor):
        return found
    return Actor("user", str(found))
