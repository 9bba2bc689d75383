"""`python -m compose secrets`: what is made, for whom, and what a second start changes."""

from __future__ import annotations

import json
import stat
import tomllib
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from compose import certificates, folders
from compose import credentials as store
from compose.__main__ import cli
from compose.credentials import Credentials
from compose.folders import File
from shipper import settings

ROLES = {"shipper": "S", "reader": "R", "operator": "O", "pruner": "P", "logstash": "L"}


@pytest.fixture(scope="module")
def credentials() -> Credentials:
    made = Credentials(kibana_token="T")  # noqa: S106 - a test's
    store.complete(made)
    return made


def content(credentials: Credentials, service: str, name: str) -> str:
    (found,) = [
        file.content for file in store.files(credentials, ROLES) if (file.service, file.name) == (service, name)
    ]
    return found


def test_a_second_start_changes_no_file(tmp_path: Path) -> None:
    first = CliRunner().invoke(cli, ["secrets", "--keys", str(tmp_path)])
    assert "password of elastic" in first.output
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    second = CliRunner().invoke(cli, ["secrets", "--keys", str(tmp_path)])
    assert second.output == "nothing was missing\n"
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_nothing_that_is_made_is_said(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli, ["secrets", "--keys", str(tmp_path)]).output
    stored = json.loads((tmp_path / "admin/credentials.json").read_text())
    assert not any(password in said for password in stored["passwords"].values())


def test_secrets_are_for_their_service_alone(tmp_path: Path) -> None:
    CliRunner().invoke(cli, ["secrets", "--keys", str(tmp_path)])
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in tmp_path.iterdir()} == {0o700}
    modes = {path.suffix: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {".crt": 0o444, ".key": 0o400, ".toml": 0o400, ".acl": 0o400, ".json": 0o400, "": 0o400}


def test_no_secret_is_made_for_a_service_that_does_not_need_it(credentials: Credentials) -> None:
    for_jobs = content(credentials, "jobs", "shipper.toml")
    assert set(tomllib.loads(for_jobs)) == {"redis", "audit_key"}
    assert set(tomllib.loads(content(credentials, "shipper", "shipper.toml"))) == {"api_key", "ca_file"}
    keys = {
        service: tomllib.loads(content(credentials, service, "shipper.toml"))["api_key"]
        for service in ("shipper", "watch", "prune", "dashboards")
    }
    assert keys == {"shipper": "S", "watch": "R", "prune": "P", "dashboards": "O"}


def test_every_settings_file_is_valid(credentials: Credentials, tmp_path: Path) -> None:
    for file in store.files(credentials, ROLES):
        if file.name == "shipper.toml":
            (tmp_path / file.name).write_text(file.content)
            settings.load(environment={"SHIPPER_CONFIG": str(tmp_path / file.name), "XDG_STATE_HOME": "/s"})


def test_redis_knows_only_the_hash_of_its_password(credentials: Credentials) -> None:
    users = content(credentials, "redis", "users.acl")
    assert credentials.passwords["redis"] not in users
    assert sha256(credentials.passwords["redis"].encode()).hexdigest() in users


def test_kibana_has_its_token_and_keys_of_its_own(credentials: Credentials) -> None:
    values = yaml.safe_load(content(credentials, "kibana", "kibana.yml"))
    assert values["elasticsearch.serviceAccountToken"] == "T"
    keys = [value for name, value in values.items() if name.endswith("encryptionKey")]
    assert len(set(keys)) == 3
    assert min(map(len, keys)) >= 32


@pytest.mark.parametrize("server", store.SERVERS)
def test_a_certificate_is_good_for_each_name_of_its_server(credentials: Credentials, server: str) -> None:
    trusted = Store([x509.load_pem_x509_certificate(credentials.authority[0].encode())])
    certificate = x509.load_pem_x509_certificate(credentials.certificates[server][0].encode())
    for name in (server, "localhost"):
        PolicyBuilder().store(trusted).build_server_verifier(x509.DNSName(name)).verify(certificate, [])
    client = PolicyBuilder().store(trusted).build_client_verifier()
    if server == "kibana":  # or it could join the cluster
        with pytest.raises(VerificationError):
            client.verify(certificate, [])
    else:
        client.verify(certificate, [])


def test_a_certificate_is_renewed_before_it_ends() -> None:
    signer = certificates.authority()
    pem, _ = certificates.certificate(signer, ["here"], is_client=False)
    now = datetime.now(UTC)
    assert not certificates.is_due(pem, now)
    assert certificates.is_due(pem, now + timedelta(days=certificates.CERTIFICATE_DAYS - certificates.RENEW_DAYS + 1))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folders.prepare(tmp_path)
    assert folders.write(tmp_path, File("redis", "users.acl", "one"))
    assert not folders.write(tmp_path, File("redis", "users.acl", "one"))
    assert folders.write(tmp_path, File("redis", "users.acl", "two"))
    assert [path.name for path in (tmp_path / "redis").iterdir()] == ["users.acl"]


def test_without_credentials_the_next_step_is_named(tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["login", "--keys", str(tmp_path)])
    assert "docker compose up secrets" in str(done.exception)
