"""Parses a web request's headers: request id, trace, client address. Pure."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address, ip_network

from ..context import Actor, Request

UNIX = "unix"
"""In `trusted_proxies`: connections through a Unix socket, which have no address."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


def request_of(
    headers: Mapping[str, str], path: str, peer: str | None, trusted: Iterable[str], find_actor: Callable[[], object]
) -> Request:
    """The Request.

    `headers`: names in lower case. `path`: without the query string. `peer`: the address of the connection.
    `find_actor` returns an Actor, the id of a user, or None.
    """
    request_id = headers.get("x-request-id", "")
    return Request(
        id=request_id if _REQUEST_ID.fullmatch(request_id) else secrets.token_hex(16),
        path=path,
        address=client_address(peer, headers.get("x-forwarded-for", ""), trusted),
        agent=headers.get("user-agent"),
        trace_id=trace_of(headers.get("traceparent", "")),
        find_actor=lambda: _as_actor(find_actor()),
    )


def client_address(peer: str | None, forwarded: str, trusted: Iterable[str]) -> str | None:
    """The client's IP address; None if it is not known.

    Each proxy appends the address of its client to `X-Forwarded-For`. The list is read from its end while the address
    is that of a trusted proxy. Entries before that can be forged by the client.
    """
    networks = tuple(trusted)
    address = _address(peer)
    if not _is_trusted(address, networks):
        return address
    for entry in reversed([part.strip() for part in forwarded.split(",") if part.strip()]):
        client = _address(entry)
        if client is None:
            return address
        address = client
        if not _is_trusted(address, networks):
            return address
    return address


def trace_of(traceparent: str) -> str | None:
    """The trace id of a `traceparent` header (https://www.w3.org/TR/trace-context/); None if it is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None:
        return None
    version, trace, span, more = match.groups()
    if version == "ff" or (version == "00" and more) or set(trace) == {"0"} or set(span) == {"0"}:
        return None
    return trace


def _address(value: str | None) -> str | None:
    """An IP address without port, brackets and zone. None if it is not one."""
    text = (value or "").strip()
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
    parsed = ip_address(address)
    return any(parsed in ip_network(network, strict=False) for network in networks if network != UNIX)


def _as_actor(user: object) -> Actor | None:
    if user is None or isinstance(user, Actor):
        return user
    return Actor("user", str(user))
