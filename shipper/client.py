"""Builds Elasticsearch clients from the settings, and translates their exceptions into those of errors.py.

The official client takes more time and memory to import than everything else together. Whoever searches uses it
(`connect_reader`); the shipper, `setup` and `prune` need only its transport (`connect`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import elastic_transport
from elastic_transport import BaseNode, NodeConfig, RequestsHttpNode, Transport, Urllib3HttpNode
from elastic_transport.client_utils import basic_auth_to_header, parse_cloud_id, url_to_node_config

from .errors import DestinationError, Refused, SettingsError, Unreachable
from .settings import Settings, load

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

log = logging.getLogger("shipper")

REQUEST_TIMEOUT_S = 30.0
TRY_EVERY_S = 2.0

Result = TypeVar("Result")


def patiently(attempt: Callable[[], Result], wait_s: float) -> Result:
    """The result of `attempt()`. While it raises Unreachable it is called again, for `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    said = False
    while True:
        try:
            return attempt()
        except Unreachable as error:
            if time.monotonic() + TRY_EVERY_S > deadline:
                raise
            if not said:
                log.info("%s Trying again for %.0f s.", error, wait_s, extra={"event.action": "waiting"})
                said = True
            time.sleep(TRY_EVERY_S)


def connect(settings: Settings) -> Cluster:
    """A client for setup and retention. It connects at the first request. Raises SettingsError."""
    return Cluster(settings)


class Cluster:
    """JSON requests by the transport alone. Raises DestinationError."""

    def __init__(self, settings: Settings) -> None:
        configs = nodes(settings)
        self._where = addresses_for_people(settings)
        # If a node is down, each other node is tried once.
        self._transport = Transport(configs, node_class=node_class(settings), max_retries=len(configs) - 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def get(self, path: str) -> dict[str, Any] | None:
        """The response body; None for 404."""
        try:
            answer: dict[str, Any] = self._request("GET", path)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise
        return answer

    def put(self, path: str, body: object) -> None:
        self._request("PUT", path, body)

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def _request(self, method: str, path: str, body: object = None) -> Any:
        headers = {"accept": "application/json"} | ({} if body is None else {"content-type": "application/json"})
        try:
            meta, answer = self._transport.perform_request(
                method, path, body=body, headers=headers, request_timeout=REQUEST_TIMEOUT_S
            )
        except elastic_transport.TransportError as error:
            raise unreachable(self._where, error) from error
        if not 200 <= meta.status < 300:
            raise refusal(meta.status, _kind(answer), self._where)
        if meta.headers.get("x-elastic-product") != "Elasticsearch":
            raise not_elasticsearch(self._where)
        return answer


def _kind(answer: object) -> str:
    """The type of an Elasticsearch error; another response as it is."""
    error = answer.get("error", answer) if isinstance(answer, dict) else answer
    return str(error["type"] if isinstance(error, dict) and "type" in error else error)


def connect_reader(settings: Settings) -> Elasticsearch:
    """The official client, for searches. It connects at the first request. Raises SettingsError."""
    from elasticsearch import Elasticsearch, OrjsonSerializer

    configs = nodes(settings)
    return Elasticsearch(
        configs,
        node_class=node_class(settings),
        request_timeout=REQUEST_TIMEOUT_S,
        # If a node is down, each other node is tried once.
        max_retries=len(configs) - 1,
        serializer=OrjsonSerializer(),  # with json, half of the time of reading a whole audit trail is spent on parsing
    )


def with_current_credentials(settings: Settings) -> Settings:
    """The settings with the credentials that the settings file and the environment have now, if those are valid."""
    try:
        now = load()
    except SettingsError:
        return settings
    return replace(settings, api_key=now.api_key, username=now.username, password=now.password)


def nodes(settings: Settings) -> list[NodeConfig]:
    """The configuration of each node: address, TLS, proxy and credentials. Raises SettingsError."""
    urls = settings.elasticsearch
    if settings.cloud_id:
        try:
            urls = (f"https://{_cloud_host(settings.cloud_id)}:443",)
        except (ValueError, TypeError) as wrong:
            raise SettingsError(["The setting 'cloud_id' is not one: copy it from the deployment's page."]) from wrong
    if settings.ca_file and not settings.ca_file.is_file():
        raise SettingsError([f"The setting 'ca_file' names {settings.ca_file}, and there is no such file."])
    return [_node(url, settings) for url in urls]


def _cloud_host(cloud_id: str) -> str:
    address = parse_cloud_id(cloud_id).es_address
    if address is None:
        raise ValueError("it names no Elasticsearch")
    return address[0]


def _node(url: str, settings: Settings) -> NodeConfig:
    node = url_to_node_config(url, use_default_ports_for_scheme=True)
    options: dict[str, Any] = {"_extras": {_PROXY: settings.proxy}}
    if settings.api_key:
        options["headers"] = {"authorization": f"ApiKey {settings.api_key}"}
    elif settings.username:
        options["headers"] = {"authorization": basic_auth_to_header((settings.username, settings.password or ""))}
    if node.scheme == "https":
        if settings.ca_file:
            options["ca_certs"] = str(settings.ca_file)
        if settings.fingerprint:
            options["ssl_assert_fingerprint"] = settings.fingerprint
    return node.replace(**options)


_PROXY = "shipper.proxy"


def node_class(settings: Settings) -> type[BaseNode]:
    """The HTTP implementation: requests if a proxy is set, else urllib3. Raises SettingsError without requests."""
    if not settings.proxy:
        return Urllib3HttpNode
    try:
        import requests  # noqa: F401 - elastic_transport imports it only when a node is created
    except ImportError:
        raise SettingsError(["The setting 'proxy' needs more: pip install 'rq-shipper[proxy]'."]) from None
    return _Proxied


class _Proxied(RequestsHttpNode):
    """A node that is reached through the proxy of its configuration."""

    def __init__(self, config: NodeConfig) -> None:
        super().__init__(config)
        proxy = config._extras[_PROXY]
        self.session.trust_env = False  # only the setting counts, not HTTPS_PROXY
        self.session.proxies = {"http": proxy, "https": proxy}
        # As without a proxy, a redirect is an answer like any other: credentials go to no other host.
        self.session.get_redirect_target = _no_target  # type: ignore[assignment,method-assign]


def _no_target(_response: object) -> None:
    """A Location that is not followed."""


def addresses_for_people(settings: Settings) -> str:
    """The addresses for messages, without passwords in the URLs."""
    if settings.cloud_id:
        return f"the cloud deployment {settings.cloud_id.partition(':')[0]}"
    bare = []
    for url in settings.elasticsearch:
        parts = urlsplit(url)
        bare.append(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])))
    return ", ".join(bare)


@contextmanager
def translated_errors(settings: Settings) -> Iterator[None]:
    """Translate the client's exceptions into Unreachable and Refused, with advice in the message."""
    import elasticsearch

    where = addresses_for_people(settings)
    try:
        yield
    except elasticsearch.ApiError as answer:
        raise refusal(answer.status_code, str(answer.message), where) from answer
    except elasticsearch.UnsupportedProductError as answer:
        raise not_elasticsearch(where) from answer
    except elastic_transport.TransportError as error:
        raise unreachable(where, error) from error


def not_elasticsearch(where: str) -> Refused:
    """Somebody answered."""
    return Refused(f"What answers at {where} is not Elasticsearch. Check SHIPPER_ELASTICSEARCH.")


def unreachable(where: str, error: elastic_transport.TransportError) -> Unreachable:
    """The exception for a request that got no response."""
    reason = str(error.message).split("(<", 1)[0].strip() or type(error).__name__
    if isinstance(error, elastic_transport.TlsError) or "certificate" in reason.lower():
        return Unreachable(
            f"The certificate of Elasticsearch at {where} is not trusted ({reason}). Set SHIPPER_CA_FILE to the "
            "certificate of the authority that signed it, or SHIPPER_FINGERPRINT to its own SHA-256."
        )
    return Unreachable(
        f"Elasticsearch at {where} cannot be reached ({reason}). Is it running, and is SHIPPER_ELASTICSEARCH right?"
    )


def refusal(status: int, reason: str, where: str) -> DestinationError:
    """The exception for an HTTP error status: Unreachable for 429 and 5xx, else Refused."""
    if status == 401:
        return Refused(
            f"Elasticsearch at {where} does not accept the credentials (401). "
            "Set SHIPPER_API_KEY to a valid API key in its encoded form, or SHIPPER_USERNAME and SHIPPER_PASSWORD.",
            status,
        )
    if status == 403:
        return Refused(f"Elasticsearch at {where} forbids this to the key in SHIPPER_API_KEY (403: {reason}).", status)
    if status == 400 and reason.startswith("media_type_header"):
        from importlib.metadata import version

        return Refused(
            f"The Elasticsearch at {where} is older than the Python client {version('elasticsearch')}. "
            f"Install the client of its version: pip install 'elasticsearch>=8.19,<9'.",
            status,
        )
    if status == 429 or status >= 500:
        return Unreachable(f"Elasticsearch at {where} is overloaded or failing ({status}: {reason}).", status)
    return Refused(f"Elasticsearch at {where} refused the request ({status}: {reason}).", status)
