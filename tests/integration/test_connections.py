"""The ways to a cluster: TLS, credentials, several nodes, gzip, a proxy."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trustme

from tests.bulk_server import BulkServer, serving
from tests.integration.test_shipping import append, lines
from tests.programs import Programs
from tests.proxy import proxying

PASSWORD = {"SHIPPER_PASSWORD": "s3cret"}


@contextmanager
def serving_tls(folder: Path) -> Iterator[tuple[BulkServer, Path, str]]:
    """(server, its authority's certificate, the fingerprint of its own)."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority_file = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(authority_file))
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    with serving() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield server, authority_file, hashlib.sha256(der).hexdigest()


def ship(programs: Programs, *, check: Any = True, **environment: str) -> str:
    append(programs, lines(10))
    done = programs.run("shipper", "run", "--once", check=check, **environment)
    return done.stderr


def test_a_certificate_is_trusted_by_its_authority_or_its_fingerprint(programs: Programs) -> None:
    with serving_tls(programs.folder) as (server, authority, fingerprint):
        url = server.url.replace("http:", "https:")
        ship(programs, SHIPPER_ELASTICSEARCH=url, SHIPPER_CA_FILE=str(authority))
        assert len(server.jobs) == 10
        ship(programs, SHIPPER_ELASTICSEARCH=url, SHIPPER_FINGERPRINT=fingerprint)
        assert len(server.jobs) == 20


def test_a_certificate_that_is_not_trusted_is_said_with_what_to_do(programs: Programs) -> None:
    with serving_tls(programs.folder) as (server, _, fingerprint):
        url = server.url.replace("http:", "https:")
        # `setup` says at once what `run --once` says after its patience.
        wrong = {"SHIPPER_FINGERPRINT": fingerprint[::-1]}
        for environment in ({}, wrong):
            done = programs.run("shipper", "setup", check=False, SHIPPER_ELASTICSEARCH=url, **environment)
            assert done.returncode == 1
            assert "SHIPPER_CA_FILE" in done.stderr
        assert not server.documents


def test_a_file_of_certificates_that_is_not_there_is_said(programs: Programs) -> None:
    done = programs.run("shipper", "setup", check=False, SHIPPER_CA_FILE="/nowhere/ca.pem")
    assert (done.returncode, "/nowhere/ca.pem" in done.stderr) == (2, True)


def test_credentials_go_along_and_are_not_shown(programs: Programs) -> None:
    with serving() as server:
        output = ship(programs, SHIPPER_ELASTICSEARCH=server.url, SHIPPER_USERNAME="elastic", **PASSWORD)
        basic = base64.b64encode(b"elastic:s3cret").decode()
        assert {headers["authorization"] for headers in server.headers} == {f"Basic {basic}"}
        output += ship(programs, SHIPPER_ELASTICSEARCH=server.url, SHIPPER_API_KEY="a2V5")
        assert server.headers[-1]["authorization"] == "ApiKey a2V5"
        assert "s3cret" not in output


def test_gzip_is_sent_when_it_is_asked_for(programs: Programs) -> None:
    with serving() as server:
        ship(programs, SHIPPER_ELASTICSEARCH=server.url, SHIPPER_GZIP="true")
        assert server.headers[-1]["content-encoding"] == "gzip"
        assert len(server.jobs) == 10


def test_a_node_that_is_dead_is_left_aside(programs: Programs) -> None:
    with serving() as server:
        urls = f"http://127.0.0.1:1,{server.url},http://127.0.0.1:2"
        ship(programs, SHIPPER_ELASTICSEARCH=urls)
        assert len(server.jobs) == 10


def test_a_cloud_id_names_the_cluster(programs: Programs) -> None:
    wrong = programs.run("shipper", "setup", check=False, SHIPPER_CLOUD_ID="prod:no-cloud-id")
    assert (wrong.returncode, "cloud_id" in wrong.stderr) == (2, True)
    there = base64.b64encode(b"example.invalid$abc$def").decode()
    unreachable = programs.run("shipper", "setup", check=False, SHIPPER_CLOUD_ID=f"prod:{there}")
    assert unreachable.returncode == 1
    assert "the cloud deployment prod cannot be reached" in unreachable.stderr


def test_a_proxy_is_gone_through(programs: Programs) -> None:
    with serving() as server, proxying() as proxy:
        ship(programs, SHIPPER_ELASTICSEARCH=server.url, SHIPPER_PROXY=proxy.url)
        assert len(server.jobs) == 10
        assert any(path.startswith(f"{server.url}/_bulk") for path in proxy.seen)
