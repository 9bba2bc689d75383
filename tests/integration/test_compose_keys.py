"""`python -m compose setup` and `rotate`, on an Elasticsearch with security on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from elasticsearch import AuthenticationException, AuthorizationException, Elasticsearch

from compose import credentials as store
from stack.elasticsearch import Elasticsearch as OwnElasticsearch
from tests.programs import ROOT, patient

pytestmark = pytest.mark.slow


@dataclass
class Installation:
    """The folder of all credentials, and the server they are for."""

    folder: Path
    url: str
    namespace: str

    def run(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {"SHIPPER_ELASTICSEARCH": self.url, "SHIPPER_NAMESPACE": self.namespace, "HOME": "/tmp"}  # noqa: S108
        command = [sys.executable, "-m", "compose", *words, "--keys", str(self.folder)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def files(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}

    def key(self, service: str) -> str:
        return str(tomllib.loads((self.folder / service / "shipper.toml").read_text())["api_key"])

    def password(self, user: str) -> str:
        return store.load(self.folder).passwords[user]


@pytest.fixture(scope="module")
def made(own_server: OwnElasticsearch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One for all tests: each leaves it whole, and the last one need not."""
    installation = Installation(
        tmp_path_factory.mktemp("keys"), f"http://{own_server.address}", f"t{uuid.uuid4().hex[:12]}"
    )
    installation.run("secrets")
    with patient(own_server.url) as client:
        client.security.change_password(username="elastic", password=installation.password("elastic"))
        installation.run("setup")
        yield installation
        client.options(ignore_status=404).security.delete_user(username="reader")


def test_a_second_set_up_changes_nothing(made: Installation) -> None:
    before = made.files()
    assert made.run("setup").stdout == "nothing was missing\n"
    assert made.files() == before


def test_each_service_may_do_its_own_work_and_no_other(made: Installation) -> None:
    index = f"rq-job-{made.namespace}-2026.11.20"
    with (
        patient(made.url, api_key=made.key("shipper")) as shipper,
        patient(made.url, api_key=made.key("watch")) as watch,
    ):
        shipper.create(index=index, id="1", document={"@timestamp": "2026-11-20T10:00:00Z"}, refresh=True)
        assert watch.count(index=index)["count"] == 1
        for refused in (
            lambda: shipper.count(index=index),
            lambda: watch.index(index=index, document={}),
            lambda: watch.indices.delete(index=index),
        ):
            with pytest.raises(AuthorizationException):
                refused()
    with patient(made.url, basic_auth=("reader", made.password("reader"))) as reader:
        assert reader.count(index=index)["count"] == 1
        with pytest.raises(AuthorizationException):
            reader.index(index=index, document={})
    with patient(made.url, api_key=made.key("prune")) as prune:
        prune.indices.delete(index=index)


def test_keys_that_the_server_has_lost_are_made_anew(made: Installation, own_search: Elasticsearch) -> None:
    lost = made.key("shipper")
    own_search.security.invalidate_api_key(name=f"rq-shipper-{made.namespace}")
    said = made.run("setup").stdout
    assert said.startswith(f"made API key rq-shipper-{made.namespace}\n")
    assert made.key("shipper") != lost


def test_rotated_credentials_are_new_and_the_old_ones_are_worthless(made: Installation) -> None:
    old = store.load(made.folder)
    keys = {service: made.key(service) for service in ("shipper", "watch", "prune", "dashboards")}
    made.run("rotate")
    new = store.load(made.folder)
    assert not set(old.passwords.values()) & set(new.passwords.values())
    assert (new.audit_key, new.kibana_keys, new.authority) == (old.audit_key, old.kibana_keys, old.authority)
    for service, key in keys.items():
        assert made.key(service) != key
        with patient(made.url, api_key=key) as client, pytest.raises(AuthenticationException):
            client.info()
    for token, works in ((old.kibana_token, False), (new.kibana_token, True)):
        with patient(made.url, bearer_auth=token) as client:
            assert (client.options(ignore_status=401).perform_request("GET", "/").meta.status == 200) is works
    assert made.run("setup").stdout == "nothing was missing\n"


def test_another_installation_s_data_is_told(made: Installation) -> None:
    for file in (made.folder / "admin").glob("*.json"):
        file.unlink()
    made.run("secrets")
    done = made.run("setup", check=False)
    assert done.returncode == 1
    assert "keys-admin" in done.stderr
