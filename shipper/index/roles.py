"""`shipper setup --roles`: creates roles of least privilege, and an API key for each.

The shipper's key can only create records and write states. It cannot read, change or delete them, so that not even the
machine that wrote an audit record can change it afterwards.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from elasticsearch import ApiError, Elasticsearch

from ..client import translated_errors
from ..errors import Refused, ShipperError
from ..folders import make_folder
from ..settings import Settings
from ..state import index_name
from .kibana_client import DEFAULT_SPACE

ROLES = ("shipper", "reader", "operator", "pruner", "eraser")
_JSON = {"content-type": "application/json", "accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Role:
    """A role for a namespace. `descriptor` is the body for Elasticsearch's security API."""

    purpose: str
    name: str
    description: str
    descriptor: dict[str, Any]


def wanted(settings: Settings) -> list[Role]:
    """All roles for the namespace: `rq-shipper-default`, `rq-reader-default`, …"""
    return [_role(purpose, settings) for purpose in ROLES]


def apply(client: Elasticsearch, settings: Settings, folder: Path) -> list[tuple[Role, Path, bool]]:
    """Create the roles, the state index, and an API key for each role in a file of mode 0600 in `folder`.

    Existing files are kept: delete a file to get a new key. Returns (role, file, whether a key was created). Needs the
    cluster privilege `manage_security` and basic authentication, as an API key cannot create others. Raises
    DestinationError, ShipperError if the folder cannot be written.
    """
    results = []
    make_folder(folder, 0o700)
    with translated_errors(settings):
        try:
            _make_state_index(client, settings)
            for role in wanted(settings):
                _request(client, "PUT", f"/_security/role/{role.name}", role.descriptor)
                file = folder / f"{role.name}.key"
                is_new = not file.exists()
                if is_new:
                    save_key(file, new_key(client, role))
                results.append((role, file, is_new))
        except ApiError as answer:
            if answer.status_code in (400, 405, 500) and "security" in str(answer.message).lower():
                raise Refused("This Elasticsearch has its security switched off: there are no roles to make.") from None
            raise
    return results


def _make_state_index(client: Elasticsearch, settings: Settings) -> None:
    """Create the state index. The shipper's key can write to it, but cannot create it."""
    name = index_name(settings.namespace)
    if not client.indices.exists(index=name):
        client.indices.create(index=name)


def new_key(client: Elasticsearch, role: Role) -> str:
    """A new API key with what the role may do, in the encoded form."""
    body = {
        "name": role.name,
        "role_descriptors": {role.name: role.descriptor},
        "metadata": {"managed_by": "rq-shipper"},
    }
    return str(_request(client, "POST", "/_security/api_key", body)["encoded"])


def _request(client: Elasticsearch, method: str, path: str, body: dict[str, Any]) -> Any:
    return client.perform_request(method, path, headers=_JSON, body=body).body


def save_key(file: Path, key: str) -> None:
    """Write the key to a new file of mode 0600. Raises ShipperError."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as out:
            out.write(f"{key}\n")
    except OSError as error:
        raise ShipperError(f"The key cannot be written to {file}: {error.strerror}.") from error


def _role(purpose: str, settings: Settings) -> Role:
    text = files(__package__).joinpath(f"roles/{purpose}.json").read_text(encoding="utf-8")
    space = settings.kibana_space or DEFAULT_SPACE
    content = json.loads(text.replace("{namespace}", settings.namespace).replace("{space}", space))
    description = content.pop("description")
    return Role(purpose, f"rq-{purpose}-{settings.namespace}", description, content)
