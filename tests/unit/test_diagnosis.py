"""What a failed request to Elasticsearch means: each cause is told apart from the others, by real connections."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from shipper import client, settings
from shipper.diagnosis import refusal
from shipper.errors import DestinationError, Refused, SettingsError, Unreachable
from shipper.index import kibana, setup

OPENSEARCH = {"version": {"distribution": "opensearch", "number": "2.11.0"}, "tagline": "The OpenSearch Project"}


def version(number: str) -> dict[str, Any]:
    return {"version": {"number": number, "build_flavor": "default"}, "tagline": "You Know, for Search"}


@contextmanager
def server(
    root: dict[str, Any] | None = None, *, product: str | None = None, tls: trustme.CA | None = None
) -> Iterator[str]:
    """Host and port of a server that says `root` at / and 404 elsewhere."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            known = self.path == "/" and root is not None
            body = json.dumps(root if known else {"error": "no such index", "status": 404}).encode()
            self.send_response(200 if known else 404)
            if product:
                self.send_header("x-elastic-product", product)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815 - the names are http.server's

        def log_message(self, *_: Any) -> None:
            """Silent."""

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """A client that does not speak TLS."""

    running = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.issue_cert("127.0.0.1").configure_cert(context)
        running.socket = context.wrap_socket(running.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


def load(**environment: str) -> settings.Settings:
    return settings.load(environment={f"SHIPPER_{name.upper()}": value for name, value in environment.items()})


def said_at(url: str, **environment: str) -> tuple[DestinationError, DestinationError]:
    """What is said by the shipper's requests, and by the official client's."""
    config = load(elasticsearch=url, **environment)
    with client.connect(config) as cluster, pytest.raises(DestinationError) as by_us:
        setup.plan(cluster, config)
    with (
        client.connect_reader(config) as search,
        pytest.raises(DestinationError) as by_client,
        client.translated_errors(config),
    ):
        search.search(index="rq-job-default-*")
    return by_us.value, by_client.value


def test_https_to_a_port_that_speaks_http_says_so() -> None:
    with server(version("9.0.0"), product="Elasticsearch") as address:
        for error in said_at(f"https://{address}"):
            assert isinstance(error, Unreachable)
            assert "does not speak TLS" in str(error)
            assert "http:// instead of https://" in str(error)
            assert "CA_FILE" not in str(error)


def test_http_to_a_port_that_speaks_https_says_so() -> None:
    with server(version("9.0.0"), product="Elasticsearch", tls=trustme.CA()) as address:
        for error in said_at(f"http://{address}"):
            assert isinstance(error, Unreachable)
            assert f"speaks TLS: write https://{address}" in str(error)


def test_kibana_s_address_is_told_in_the_same_way() -> None:
    with server(version("9.0.0")) as plain, server(version("9.0.0"), tls=trustme.CA()) as encrypted:
        for url, said in (
            (f"https://{plain}", "http:// instead of https:// in SHIPPER_KIBANA"),
            (f"http://{encrypted}", f"speaks TLS: write https://{encrypted} in SHIPPER_KIBANA"),
            (f"https://{encrypted}", "The certificate of Kibana"),
        ):
            with pytest.raises(Unreachable) as wrong:
                kibana.check(load(kibana=url))
            assert said in str(wrong.value)


def test_a_certificate_that_is_not_trusted_is_still_told_apart() -> None:
    with server(version("9.0.0"), product="Elasticsearch", tls=trustme.CA()) as address:
        for error in said_at(f"https://{address}"):
            assert "is not trusted" in str(error)
            assert "SHIPPER_CA_FILE" in str(error)


@pytest.mark.parametrize("content", [b"", b"no certificate", b"\x30\x82\x01\x0a", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_a_ca_file_that_is_none_is_a_wrong_setting(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    with pytest.raises(SettingsError, match="there is no certificate in it"):
        client.nodes(load(elasticsearch="https://search:9200", ca_file=str(file)))


def test_a_ca_file_that_is_a_folder_or_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    for file, said in ((tmp_path, "which is a folder"), (tmp_path / "ca.pem", "cannot be read: No such file")):
        with pytest.raises(SettingsError, match=said):
            client.nodes(load(elasticsearch="https://search:9200", ca_file=str(file)))


def test_a_good_ca_file_is_taken(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.nodes(load(elasticsearch="https://search:9200", ca_file=str(tmp_path / "ca.pem")))


def test_opensearch_is_named() -> None:
    with server(OPENSEARCH) as address:
        for error in said_at(f"http://{address}"):
            assert isinstance(error, Refused)
            assert "OpenSearch 2.11.0, which is not supported" in str(error)


@pytest.mark.parametrize("number", ["7.17.9", "7.10.2"])
def test_elasticsearch_7_is_named(number: str) -> None:
    product = None if number == "7.10.2" else "Elasticsearch"  # it says what it is since 7.14
    config_error = "is not supported. rq-shipper needs Elasticsearch 8 or 9"
    with server(version(number), product=product) as address:
        config = load(elasticsearch=f"http://{address}")
        with client.connect(config) as cluster, pytest.raises(Refused) as refused:
            setup.plan(cluster, config)
    assert f"Elasticsearch {number}" in str(refused.value)
    assert config_error in str(refused.value)


def test_something_else_is_not_elasticsearch() -> None:
    with server({"hello": "world"}) as address:
        for error in said_at(f"http://{address}"):
            assert "is not Elasticsearch. Check SHIPPER_ELASTICSEARCH" in str(error)


@pytest.mark.parametrize(
    ("action", "role"),
    [
        ("indices:data/read/search", "`reader`"),
        ("indices:data/read/open_point_in_time", "`reader`"),
        ("indices:data/write/bulk[s]", "`shipper`"),
        ("indices:admin/auto_create", "`shipper`"),
        ("indices:admin/delete", "`pruner`"),
        ("indices:data/write/delete/byquery", "`pruner`"),
        ("indices:data/write/update/byquery", "`eraser`"),
        ("indices:admin/index_template/put", "`operator`"),
        ("cluster:admin/component_template/put", "`operator`"),
        ("cluster:admin/ingest/pipeline/put", "`operator`"),
        ("cluster:admin/xpack/security/role/put", "`manage_security`"),
    ],
)
def test_a_403_says_whose_key_is_needed(action: str, role: str) -> None:
    reason = f"security_exception: action [{action}] is unauthorized for API key id [x] of user [y]"
    said = str(refusal(403, reason, "https://search:9200"))
    assert f"needs the key of the role {role}" in said or f"needs an account with {role}" in said
    assert action in said


def test_a_403_of_a_proxy_says_nothing_of_roles() -> None:
    assert "role" not in str(refusal(403, "<html>Forbidden</html>", "https://search:9200"))
