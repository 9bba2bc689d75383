"""What a failed request to Elasticsearch means, and what to do about it: the exceptions for it."""

from __future__ import annotations

import re
import socket
import ssl
from urllib.parse import urlsplit

import elastic_transport

from .errors import DestinationError, Refused, Unreachable


def reason_of(answer: object) -> str:
    """The type and reason of an Elasticsearch error; another response as it is."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    if not isinstance(error, dict) or "type" not in error:
        return str(error)[:_REASON_LIMIT]
    return f"{error['type']}: {error.get('reason')}"[:_REASON_LIMIT]


_REASON_LIMIT = 1000  # characters; a reason may contain a very long id


def unsupported(product: str, where: str) -> Refused:
    """It is known what answers, and it is not supported."""
    return Refused(f"At {where} is {product}, which is not supported. rq-shipper needs Elasticsearch 8 or 9.")


def unreachable(where: str, error: elastic_transport.TransportError, product: str = "Elasticsearch") -> Unreachable:
    """The exception for a request that got no response. `product`: Elasticsearch or Kibana."""
    setting = f"SHIPPER_{product.upper()}"
    reason = str(error.message).split("(<", 1)[0].strip() or type(error).__name__
    if any(sign in reason.lower() for sign in _PLAIN_HTTP):
        return Unreachable(
            f"What answers at {where} does not speak TLS ({reason}). If it is {product} without TLS, write http:// "
            f"instead of https:// in {setting}."
        )
    if isinstance(error, elastic_transport.TlsError) or "certificate" in reason.lower():
        fingerprint = ", or SHIPPER_FINGERPRINT to its own SHA-256" if product == "Elasticsearch" else ""
        return Unreachable(
            f"The certificate of {product} at {where} is not trusted ({reason}). Set SHIPPER_CA_FILE to the "
            f"certificate of the authority that signed it{fingerprint}."
        )
    if any(sign in reason.lower() for sign in _HUNG_UP) and (https := _speaks_tls(where)):
        return Unreachable(f"{product} at {where} speaks TLS: write {https} in {setting} ({reason}).")
    return Unreachable(f"{product} at {where} cannot be reached ({reason}). Is it running, and is {setting} right?")


# What OpenSSL says when the other side answers in plain HTTP, and urllib3 when it ends the connection without a word.
_PLAIN_HTTP = (
    "wrong_version_number",
    "wrong version number",
    "record layer failure",
    "http_request",
    "unknown_protocol",
)
_HUNG_UP = ("connection aborted", "connection reset", "closed connection without response", "badstatusline")


def _speaks_tls(where: str) -> str | None:
    """The first of these http:// addresses that answers a TLS handshake, with https://. None if none does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent: it only says why
    for url in where.split(", "):
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            continue
        try:
            with (
                socket.create_connection((parts.hostname, parts.port or 80), timeout=2) as plain,
                context.wrap_socket(plain, server_hostname=parts.hostname),
            ):
                return url.replace("http://", "https://", 1)
        except OSError:
            continue
    return None


# What is asked for, by the beginning of the action that Elasticsearch refuses, and the role that may do it.
_ROLE_FOR = (
    ("cluster:admin/xpack/security", "an account with `manage_security` and a password, not an API key"),
    ("indices:admin/index_template", "the role `operator`"),
    ("cluster:admin/component_template", "the role `operator`"),
    ("cluster:admin/ingest", "the role `operator`"),
    ("indices:admin/mapping", "the role `operator`"),
    ("indices:admin/create", "the role `operator`"),
    ("indices:admin/auto_create", "the role `shipper`"),
    ("indices:data/write/delete", "the role `pruner`"),
    ("indices:admin/delete", "the role `pruner`"),
    ("indices:admin/settings", "the role `pruner`"),
    ("indices:monitor/settings", "the role `pruner`"),
    ("indices:data/write/update", "the role `eraser`"),
    ("indices:data/write", "the role `shipper`"),
    ("indices:data/read", "the role `reader`"),
    ("indices:admin/refresh", "the role `reader`"),
    ("indices:", "the role `reader`"),
    ("cluster:monitor", "any of the roles"),
)


def _needed(reason: str) -> str:
    """Who may do what was refused, in a sentence with a space before it."""
    action = re.search(r"action \[([^\]]+)\]", reason)
    who = next((who for start, who in _ROLE_FOR if action and action[1].startswith(start)), None)
    if who is None:
        return ""
    if "role" not in who:
        return f" It needs {who}."
    return f" It needs the key of {who}. `shipper setup --roles` makes a key for each."


def refusal(status: int, reason: str, where: str) -> DestinationError:
    """The exception for an HTTP error status: Unreachable for 429 and 5xx, else Refused."""
    if status == 401:
        return Refused(
            f"Elasticsearch at {where} does not accept the credentials (401). "
            "Set SHIPPER_API_KEY to a valid API key in its encoded form, or SHIPPER_USERNAME and SHIPPER_PASSWORD.",
            status,
        )
    if status == 403:
        return Refused(
            f"Elasticsearch at {where} forbids this to the key in SHIPPER_API_KEY (403: {reason}).{_needed(reason)}",
            status,
        )
    if status == 400 and reason.startswith("media_type_header"):
        from importlib.metadata import version

        return Refused(
            f"The Elasticsearch at {where} is older than the Python client {version('elasticsearch')}. "
            "Elasticsearch 7 is not supported; for Elasticsearch 8, install the client of its version: pip install "
            "'elasticsearch>=8.19,<9'.",
            status,
        )
    if status == 429 or status >= 500:
        return Unreachable(f"Elasticsearch at {where} is overloaded or failing ({status}: {reason}).", status)
    return Refused(f"Elasticsearch at {where} refused the request ({status}: {reason}).", status)
