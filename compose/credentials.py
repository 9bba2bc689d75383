"""What the services' files are made of: one JSON file in the folder `admin`, and pure functions from it to files."""

from __future__ import annotations

import json
import secrets
import string
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from . import certificates
from .certificates import Pair
from .folders import File, write

HERE = "/run/keys"
"""Where a service's folder is mounted in its container. Elasticsearch reads only files below its own `config`."""

USERS = ("elastic", "reader", "redis")
KIBANA_KEYS = (
    "xpack.security.encryptionKey",
    "xpack.encryptedSavedObjects.encryptionKey",
    "xpack.reporting.encryptionKey",
)
LOCAL = ["localhost", "127.0.0.1"]
SERVERS = {name: [name, *LOCAL] for name in ("elasticsearch", "elasticsearch-2", "elasticsearch-3", "kibana")}
"""Host names and addresses on the certificate of each server."""

# Which role's key a service has (shipper/index/roles/).
SERVICE_ROLES = {"shipper": "shipper", "watch": "reader", "prune": "pruner", "dashboards": "operator"}
_LETTERS = string.ascii_letters + string.digits  # what needs no quotes in any of the files, and none in a URL


@dataclass
class Credentials:
    """All credentials that can be made without a server, and Kibana's token, which Elasticsearch has made."""

    passwords: dict[str, str] = field(default_factory=dict)
    """Of Elasticsearch's users `elastic` (the administrator) and `reader`, and of Redis."""
    audit_key: str = ""
    """SHIPPER_AUDIT_KEY of the application and its workers."""
    kibana_keys: dict[str, str] = field(default_factory=dict)
    """Kibana's setting → key. A new one makes unreadable what Kibana has encrypted, so they are never renewed."""
    authority: Pair = ("", "")
    certificates: dict[str, Pair] = field(default_factory=dict)
    kibana_token: str = ""
    new_password: str = ""
    """The administrator's next password, while it is being changed."""


def load(root: Path) -> Credentials:
    """The credentials of `root`; empty ones if there are none yet."""
    path = _path(root)
    if not path.is_file():
        return Credentials()
    stored = json.loads(path.read_text())
    stored["authority"] = tuple(stored["authority"])
    stored["certificates"] = {name: tuple(pair) for name, pair in stored["certificates"].items()}
    return Credentials(**stored)


def save(root: Path, credentials: Credentials) -> None:
    write(root, File("admin", _path(root).name, json.dumps(asdict(credentials), indent=1)))


def complete(credentials: Credentials) -> list[str]:
    """Make what is missing, and renew certificates that end soon. Returns what was made."""
    made = []
    for user in USERS:
        if user not in credentials.passwords:
            credentials.passwords[user] = password()
            made.append(f"password of {user}")
    for name in KIBANA_KEYS:
        credentials.kibana_keys.setdefault(name, password())
    credentials.audit_key = credentials.audit_key or password()
    if not credentials.authority[0]:
        credentials.authority = certificates.authority()
        made.append("certificate authority")
    for server, names in SERVERS.items():
        pair = credentials.certificates.get(server)
        if pair is None or certificates.is_due(pair[0], datetime.now(UTC)):
            is_node = server != "kibana"  # whoever is a client for this authority can join the cluster
            credentials.certificates[server] = certificates.certificate(credentials.authority, names, is_client=is_node)
            made.append(f"certificate of {server}")
    return made


def password() -> str:
    """A random password of 32 letters and digits (190 bits)."""
    return "".join(secrets.choice(_LETTERS) for _ in range(32))


def files(credentials: Credentials, api_keys: dict[str, str]) -> list[File]:
    """The files of all services. `api_keys`: role → encoded key; none before Elasticsearch has made them."""
    made = [*_elasticsearch(credentials), *_redis(credentials), *_kibana(credentials), *_ours(credentials, api_keys)]
    if "logstash" in api_keys:
        variables = {"SHIPPER_API_KEY": api_keys["logstash"], "SHIPPER_CA_FILE": f"{HERE}/ca.crt"}
        content = "".join(f"{name}='{value}'\n" for name, value in variables.items())
        made.append(File("logstash", "logstash.env", content))
    services = ("elasticsearch", "kibana", "logstash", *SERVICE_ROLES)
    authority = credentials.authority[0]
    return made + [File(service, "ca.crt", authority, secret=False) for service in services]


def _elasticsearch(credentials: Credentials) -> list[File]:
    made = [File("elasticsearch", "elastic_password", credentials.passwords["elastic"])]
    for server, (certificate, key) in credentials.certificates.items():
        service = "kibana" if server == "kibana" else "elasticsearch"
        made += [File(service, f"{server}.crt", certificate, secret=False), File(service, f"{server}.key", key)]
    return made


def _redis(credentials: Credentials) -> list[File]:
    hashed = sha256(credentials.passwords["redis"].encode()).hexdigest()
    # `health` is for the health check, which should not need the password.
    users = f"user default on #{hashed} ~* &* +@all\nuser health on nopass resetkeys resetchannels -@all +ping\n"
    return [File("redis", "users.acl", users)]


def _kibana(credentials: Credentials) -> list[File]:
    if not credentials.kibana_token:
        return []
    values = {
        **credentials.kibana_keys,
        "elasticsearch.serviceAccountToken": credentials.kibana_token,
        "elasticsearch.ssl.certificateAuthorities": f"{HERE}/ca.crt",
    }
    return [File("kibana", "kibana.yml", "".join(f"{name}: {json.dumps(value)}\n" for name, value in values.items()))]


def _ours(credentials: Credentials, api_keys: dict[str, str]) -> list[File]:
    queue = {"redis": redis_url(credentials), "audit_key": credentials.audit_key}
    made = [_settings("jobs", queue)]
    for service, role in SERVICE_ROLES.items():
        if role in api_keys:
            values = {"api_key": api_keys[role], "ca_file": f"{HERE}/ca.crt"}
            made.append(_settings(service, values | queue if service == "watch" else values))
    return made


def redis_url(credentials: Credentials) -> str:
    return f"redis://:{credentials.passwords['redis']}@redis:6379/0"


def _settings(service: str, values: dict[str, str]) -> File:
    """A settings file for SHIPPER_CONFIG."""
    return File(service, "shipper.toml", "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items()))


def _path(root: Path) -> Path:
    return root / "admin/credentials.json"
