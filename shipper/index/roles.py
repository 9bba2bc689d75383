"""Roles of least privilege, and an API key for each: `shipper setup --roles`.

The shipper's key can create records and write states, and nothing else: not even the machine that wrote an audit
record can read, change or delete it afterwards.
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
from ..settings import Settings
from ..state import index_name

ROLES = ("shipper", "reader", "operator", "pruner", "eraser")
_JSON = {"content-type": "application/json", "accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Role:
    """A role of a namespace. `descriptor` is as Elasticsearch's security API takes it."""

    purpose: str
    name: str
    description: str
    descriptor: dict[str, Any]


def wanted(settings: Settings) -> list[Role]:
    """Every role of the namespace: `rq-shipper-default`, `rq-reader-default`, …"""
    return [_role(purpose, settings.namespace) for purpose in ROLES]


def apply(client: Elasticsearch, settings: Settings, folder: Path) -> list[tuple[Role, Path, bool]]:
    """Install the roles, the state index, and a key of each role in a file of its own (mode 0600) in `folder`.

    A key whose file is there already is kept: delete the file to get a new one. Gives back each role, its file,
    and whether a key was made. Needs the cluster privilege `manage_security`, by name and password: Elasticsearch
    lets no API key make others. Raises DestinationError, ShipperError if the folder cannot be written.
    """
    done = []
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with translated_errors(settings):
        try:
            _make_state_index(client, settings)
            for role in wanted(settings):
                _request(client, "PUT", f"/_security/role/{role.name}", role.descriptor)
                file = folder / f"{role.name}.key"
                made = not file.exists()
                if made:
                    _keep(file, _new_key(client, role))
                done.append((role, file, made))
        except ApiError as answer:
            if answer.status_code in (400, 405, 500) and "security" in str(answer.message).lower():
                raise Refused("This Elasticsearch has its security switched off: there are no roles to make.") from None
            raise
    return done


def _make_state_index(client: Elasticsearch, settings: Settings) -> None:
    """The one index that no record makes: the shipper's key may write to it, and may not create it."""
    name = index_name(settings.namespace)
    if not client.indices.exists(index=name):
        client.indices.create(index=name)


def _new_key(client: Elasticsearch, role: Role) -> str:
    body = {
        "name": role.name,
        "role_descriptors": {role.name: role.descriptor},
        "metadata": {"managed_by": "rq-shipper"},
    }
    return str(_request(client, "POST", "/_security/api_key", body)["encoded"])


def _request(client: Elasticsearch, method: str, path: str, body: dict[str, Any]) -> Any:
    return client.perform_request(method, path, headers=_JSON, body=body).body


def _keep(file: Path, key: str) -> None:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="ascii") as out:
            out.write(f"{key}\n")
    except OSError as error:
        raise ShipperError(f"The key cannot be written to {file}: {error.strerror}.") from error


def _role(purpose: str, namespace: str) -> Role:
    text = files(__package__).joinpath(f"roles/{purpose}.json").read_text(encoding="utf-8")
    content = json.loads(text.replace("{namespace}", namespace))
    description = content.pop("description")
    return Role(purpose, f"rq-{purpose}-{namespace}", description, content)
