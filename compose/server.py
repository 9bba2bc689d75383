"""What only Elasticsearch can make: the users' passwords, an API key for each role, Kibana's token."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from elasticsearch import Elasticsearch

from shipper import client
from shipper.errors import Refused, Unreachable
from shipper.index import roles, setup
from shipper.index.roles import Role
from shipper.settings import Settings

from . import credentials as store
from .credentials import Credentials

ADMINISTRATOR = "elastic"
READER = "reader"
TOKENS = "/_security/service/elastic/kibana/credential/token"
_JSON = {"content-type": "application/json", "accept": "application/json"}


def wait(settings: Settings, credentials: Credentials, wait_s: float) -> Settings:
    """Wait until the cluster answers the administrator. Returns the settings that are the administrator's.

    Raises Unreachable after `wait_s`, and Refused if it does not accept the password.
    """

    def attempt() -> Settings:
        refused: Refused | None = None
        for password in filter(None, (credentials.new_password, credentials.passwords[ADMINISTRATOR])):
            mine = replace(settings, username=ADMINISTRATOR, password=password, api_key=None)
            try:
                with client.connect(mine) as cluster:
                    cluster.get("/_cluster/health?wait_for_status=yellow&timeout=5s")
            except Refused as error:
                refused = error
            else:
                return mine
        raise refused or Unreachable("There is no password.")

    try:
        return client.patiently(attempt, wait_s)
    except Refused as refused:
        if refused.status != 401:
            raise
        raise Refused(
            "Elasticsearch does not accept the password in the volume `keys-admin`: its data was made with another "
            "one. Bring that volume back, or start with new data: docker compose down --volumes (which deletes all "
            "records).",
            401,
        ) from refused


def make_all(settings: Settings, credentials: Credentials, root: Path) -> list[str]:
    """Templates, roles, an API key for each, the user `reader`, and Kibana's token. Returns what is new.

    `settings` are the administrator's. Keys and tokens that the server does not know are made anew. What the keys may
    do is brought up to date. Raises DestinationError, ShipperError.
    """
    with client.connect(settings) as cluster:
        setup.apply(cluster, setup.plan(cluster, settings))
        setup.update_state_mapping(cluster, settings)
    folder = _folder(root)
    with _administrator(settings) as server:
        for file in folder.glob("*.key"):
            if not _is_known(settings, f"ApiKey {file.read_text().strip()}"):
                file.unlink()
        made = [f"API key {role.name}" for role, _, is_new in roles.apply(server, settings, folder) if is_new]
        for role, file in [*_files(settings, folder), (_logstash(settings), _logstash_file(settings, folder))]:
            if file.exists():
                _update(server, role, file)
            else:
                roles.save_key(file, roles.new_key(server, role))
                made.append(f"API key {role.name}")
        if not _exists(server, f"/_security/user/{READER}"):
            set_reader(server, settings, credentials.passwords[READER])
            made.append(f"user {READER}")
        if not credentials.kibana_token or not _is_known(settings, f"Bearer {credentials.kibana_token}"):
            credentials.kibana_token = _new_token(server)
            made.append("Kibana's token")
    return made


def api_keys(settings: Settings, root: Path) -> dict[str, str]:
    """Role → its API key, for those that are there."""
    folder = _folder(root)
    named = [(role.purpose, file) for role, file in _files(settings, folder)]
    named.append(("logstash", _logstash_file(settings, folder)))
    return {purpose: file.read_text().strip() for purpose, file in named if file.exists()}


def forget_keys(root: Path) -> list[str]:
    """Take the API keys away from here, so that `make_all` makes new ones. Returns their ids, for `revoke`."""
    ids = []
    for file in _folder(root).glob("*.key"):
        ids.append(_id(file))
        file.unlink()
    return ids


def revoke(settings: Settings, key_ids: list[str], tokens: list[str]) -> None:
    """Make old API keys and all other tokens of Kibana's worthless. `tokens` are those that stay."""
    with _administrator(settings) as server:
        if key_ids:
            _request(server, "DELETE", "/_security/api_key", {"ids": key_ids})
        listed = _request(server, "GET", "/_security/service/elastic/kibana/credential")
        for name in listed["tokens"]:
            if name.startswith("rq-shipper-") and not any(_token_name(token) == name for token in tokens):
                _request(server, "DELETE", f"{TOKENS}/{name}")


def set_administrator(settings: Settings, password: str) -> None:
    """Change the administrator's password."""
    with _administrator(settings) as server:
        _request(server, "POST", f"/_security/user/{ADMINISTRATOR}/_password", {"password": password})


def set_reader(server: Elasticsearch, settings: Settings, password: str) -> None:
    """Create the user who reads, or change the password. Its role is that of the reader's key."""
    (role,) = [role.name for role in roles.wanted(settings) if role.purpose == "reader"]
    body = {"password": password, "roles": [role], "full_name": "Reads what the shipper has recorded"}
    _request(server, "PUT", f"/_security/user/{READER}", body)


def change_reader(settings: Settings, password: str) -> None:
    with _administrator(settings) as server:
        set_reader(server, settings, password)


@contextmanager
def _administrator(settings: Settings) -> Iterator[Elasticsearch]:
    with client.translated_errors(settings), client.connect_reader(settings) as server:
        yield server


def _is_known(settings: Settings, authorization: str) -> bool:
    """Whether the server accepts this key or token."""
    with client.connect_reader(replace(settings, username=None, password=None)) as server:
        meta = server.options(ignore_status=401).perform_request(
            "GET", "/_security/_authenticate", headers={"accept": "application/json", "authorization": authorization}
        )
        return meta.meta.status == 200


def _new_token(server: Elasticsearch) -> str:
    answer = _request(server, "POST", f"{TOKENS}/rq-shipper-{store.password()[:8].lower()}")
    return str(answer["token"]["value"])


def _token_name(token: str) -> str:
    """A token is base64 of four bytes and `elastic/kibana/NAME:SECRET`."""
    return base64.b64decode(token + "==")[4:].decode().rsplit(":", 1)[0].rpartition("/")[2]


def _update(server: Elasticsearch, role: Role, file: Path) -> None:
    """A key has what its role could do when it was made: give it what the role can do now."""
    _request(server, "PUT", f"/_security/api_key/{_id(file)}", {"role_descriptors": {role.name: role.descriptor}})


def _id(file: Path) -> str:
    return base64.b64decode(file.read_text().strip()).decode().partition(":")[0]


def _exists(server: Elasticsearch, path: str) -> bool:
    return bool(server.options(ignore_status=404).perform_request("GET", path, headers=_JSON).meta.status == 200)


def _request(server: Elasticsearch, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    return server.perform_request(method, path, headers=_JSON, body=body).body


def _folder(root: Path) -> Path:
    return root / "admin/api-keys"


def _files(settings: Settings, folder: Path) -> list[tuple[Role, Path]]:
    return [(role, folder / f"{role.name}.key") for role in roles.wanted(settings)]


def _logstash(settings: Settings) -> Role:
    """Logstash creates records as the shipper does, with a key of its own."""
    (shipper,) = [role for role in roles.wanted(settings) if role.purpose == "shipper"]
    return Role("logstash", f"rq-logstash-{settings.namespace}", shipper.description, shipper.descriptor)


def _logstash_file(settings: Settings, folder: Path) -> Path:
    return folder / f"{_logstash(settings).name}.key"
