"""Sends one `_bulk` request over persistent connections. Raises if the request failed as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import elastic_transport
import orjson
from elastic_transport import BaseNode, Serializer, Transport

from ... import client
from ...client import REQUEST_TIMEOUT_S, addresses_for_people
from ...diagnosis import refusal, unreachable
from ...errors import DestinationError
from ...settings import Settings
from .. import fastest_gzip
from ..reader.items import Buffer

_REASON_LIMIT = 1000  # characters; a reason may contain a very long id
# Only what response.py needs. The items keep their order and number.
_PATH = "/_bulk?filter_path=errors,items.*.status,items.*.failure_store,items.*.error.type,items.*.error.reason"


class TooLarge(DestinationError):
    """413: Elasticsearch or a proxy does not accept a body of this size."""


class InvalidRequest(DestinationError):
    """400 for the whole request by Elasticsearch: it cannot parse one document, and so indexes none.

    A proxy's 400 is Refused instead, as it does not depend on the documents.
    """


class Bulk:
    """A client for `_bulk`. Sends plain `application/x-ndjson`, which every Elasticsearch since 7.14 accepts."""

    def __init__(self, settings: Settings) -> None:
        self._where = addresses_for_people(settings)
        self._headers = {"content-type": "application/x-ndjson", "accept": "application/json"}
        self._compress: Callable[[Buffer], bytes] | None = None
        if settings.gzip:
            self._headers["content-encoding"] = "gzip"
            self._compress = partial(fastest_gzip.module().compress, compresslevel=fastest_gzip.LEVEL)
        self._through_proxy = settings.proxy is not None  # requests takes no other buffer than bytes
        self._settings = settings
        self._transport = self._connected()

    def _connected(self) -> Transport:
        # The pipeline decides when to retry, the transport to which node: failed nodes are skipped for a while.
        return Transport(
            client.nodes(self._settings),
            node_class=_without_log(client.node_class(self._settings)),
            max_retries=0,
            serializers={"application/json": _RawSerializer(), "application/x-ndjson": _RawSerializer()},
        )

    def send(self, body: Buffer) -> bytes:
        """The raw response. Raises TooLarge, InvalidRequest, Unreachable or Refused. Thread-safe."""
        sent = self._compress(body) if self._compress else bytes(body) if self._through_proxy else body
        try:
            answer = self._transport.perform_request(
                "POST", _PATH, body=sent, headers=self._headers, request_timeout=REQUEST_TIMEOUT_S
            )
        except elastic_transport.TransportError as error:
            raise unreachable(self._where, error) from error
        status = answer.meta.status
        if status == 413:
            raise TooLarge(f"Elasticsearch at {self._where} takes no request of {len(body)} bytes.", status)
        if status in (401, 403):
            self._take_up_credentials()
        if not 200 <= status < 300:
            kind, reason = _error(answer.body)
            if status == 400 and kind and not kind.startswith("media_type_header"):
                raise InvalidRequest(reason, status)
            raise refusal(status, reason, self._where)
        return answer.body if isinstance(answer.body, bytes) else b""

    def close(self) -> None:
        self._transport.close()

    def _take_up_credentials(self) -> None:
        """Use what somebody has put into the settings file since: an API key that replaces one that is past."""
        now = client.with_current_credentials(self._settings)
        if now != self._settings:
            self._settings = now
            self._transport = self._connected()


def _without_log(node_class: type[BaseNode]) -> type[BaseNode]:
    """A node that does not write whole requests and answers to the log, not even if somebody's handler is there."""

    class Node(node_class):  # type: ignore[misc, valid-type]
        def _log_request(self, *args: Any, **kwargs: Any) -> None:
            """The base class's decodes megabytes for it."""

    return Node


class _RawSerializer(Serializer):
    """Passes bodies through as bytes: requests are encoded already, and most responses need not be decoded."""

    mimetype = "application/json"

    def loads(self, data: bytes) -> bytes:
        return data

    def dumps(self, data: Any) -> bytes:
        return data  # type: ignore[no-any-return]  # or another buffer


def _error(body: Any) -> tuple[str, str]:
    """(the error's type, a short reason). The type is "" if the response is not Elasticsearch's."""
    if isinstance(body, bytes):
        with contextlib.suppress(orjson.JSONDecodeError):
            body = orjson.loads(body)
    if isinstance(body, dict) and isinstance(error := body.get("error"), dict):
        kind = str(error.get("type") or "")
        return kind, f"{kind}: {error.get('reason')}"[:_REASON_LIMIT]
    return "", str(body)[:_REASON_LIMIT]
