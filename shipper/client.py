"""Builds Elasticsearch clients from the settings, and translates their exceptions into those of errors.py.

The official client takes more time and memory to import than everything else together. Whoever searches uses it
(`connect_reader`); the shipper, `setup` and `prune` need only its transport (`connect`).
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

import elastic_transport
from elastic_transport import BaseNode, NodeConfig, RequestsHttpNode, Transport, Urllib3HttpNode
from elastic_transport.client_utils import basic_auth_to_header, parse_cloud_id, url_to_node_config

from .diagnosis import reason_of, refusal, unreachable, unsupported
from .errors import Refused, SettingsError, Unreachable
from .settings import Settings, load

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

log = logging.getLogger("shipper")

REQUEST_TIMEOUT_S = 30.0
TRY_EVERY_S = 2.0
OLDEST = 8  # major version of Elasticsearch

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
        self._settings = settings
        self._where = addresses_for_people(settings)
        # If a node is down, each other node is tried once.
        self._transport = Transport(configs, node_class=node_class(settings), max_retries=len(configs) - 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()

    def version(self) -> Mapping[str, Any]:
        """What it says of itself: `number`, `build_flavor`, …. Needs the cluster privilege `monitor`.

        Raises DestinationError; Refused if it is an Elasticsearch that is not supported.
        """
        said = (self.get("/") or {}).get("version")
        version = said if isinstance(said, dict) else {}
        number = str(version.get("number", ""))
        major = number.partition(".")[0]
        if major.isdigit() and int(major) < OLDEST:
            raise unsupported(f"Elasticsearch {number}", self._where)
        return version

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

    def post(self, path: str, body: object) -> dict[str, Any]:
        """The response body."""
        answer: dict[str, Any] = self._request("POST", path, body)
        return answer

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
        if (200 <= meta.status < 300 or meta.status == 404) and "x-elastic-product" not in meta.headers:
            raise not_elasticsearch(self._settings)
        if not 200 <= meta.status < 300:
            raise refusal(meta.status, reason_of(answer), self._where)
        return answer


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
    if settings.ca_file:
        _check_authorities(settings.ca_file)
    return [_node(url, settings) for url in urls]


def _check_authorities(file: Path) -> None:
    """Raise SettingsError if the file has no CA certificates that OpenSSL can load."""
    try:
        if file.is_dir():
            raise SettingsError([f"The setting 'ca_file' names {file}, which is a folder. Name the PEM file in it."])
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise SettingsError([
            f"The setting 'ca_file' names {file}, and there is no certificate in it. It has to be a PEM file, with "
            "-----BEGIN CERTIFICATE----- in it: `openssl x509 -inform DER -in FILE` makes one of a DER file."
        ]) from None  # fmt: skip
    except OSError as error:
        raise SettingsError([f"The setting 'ca_file' names {file}, which cannot be read: {error.strerror}."]) from error


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
        if answer.status_code in (400, 404, 405) and "x-elastic-product" not in answer.meta.headers:
            raise not_elasticsearch(settings) from answer
        raise refusal(answer.status_code, reason_of(answer.body), where) from answer
    except elasticsearch.UnsupportedProductError as answer:
        raise not_elasticsearch(settings) from answer
    except elastic_transport.TransportError as error:
        raise unreachable(where, error) from error


def not_elasticsearch(settings: Settings) -> Refused:
    """Somebody answered: OpenSearch, an Elasticsearch before 7.14, or something else."""
    where, product = addresses_for_people(settings), product_at(settings)
    if product is None:
        return Refused(f"What answers at {where} is not Elasticsearch. Check SHIPPER_ELASTICSEARCH.")
    return unsupported(product, where)


def product_at(settings: Settings) -> str | None:
    """`OpenSearch 2.11.0`, or `Elasticsearch 7.13.0`, as the server itself says; None if it says no such thing."""
    transport = Transport(nodes(settings), node_class=node_class(settings), max_retries=0)
    try:
        answer = transport.perform_request("GET", "/", headers={"accept": "application/json"}, request_timeout=5).body
    except (elastic_transport.TransportError, elastic_transport.ApiError):
        return None
    finally:
        transport.close()
    version = answer.get("version") if isinstance(answer, dict) else None
    if not isinstance(version, dict) or "number" not in version:
        return None
    name = {"opensearch": "OpenSearch"}.get(str(version.get("distribution")), "Elasticsearch")
    return f"{name} {version['number']}"
