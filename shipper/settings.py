"""Settings: one frozen object, built once from shipper.toml, the environment and flags. The later take precedence.

This is the only module that reads the environment and TOML. A setting `name` is the TOML key `name`, the variable
`SHIPPER_NAME` and, where a command has it, the flag `--name`. In variables, a list is separated by commas, and a table
is `key=value` pairs separated by commas. A framework can add its own configuration with `set_application_settings`,
which overrides shipper.toml and is overridden by the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .errors import SettingsError

DEFAULT_REDIS = "redis://127.0.0.1:6379/0"
DEFAULT_LINK_ROOTS = ("/var/log", "/var/lib/docker/containers")  # where container engines' links lead
DEFAULT_RETENTION_DAYS = MappingProxyType(
    {"job": 90, "app": 30, "metric": 30, "shipper": 30, "alert": 365, "audit": 1095, "state": 90}
)


class IndexPeriod(NamedTuple):
    """How much one index of records holds: a month or a day. Before `since` (year, month) it was the other one.

    So the index of a record follows from its time alone, and a line that is read again is found in the same one.
    """

    monthly: bool
    since: tuple[int, int] | None = None

    def is_monthly(self, year: int, month: int) -> bool:
        """Whether records of this month are in an index of the month."""
        return self.monthly == (self.since is None or (year, month) >= self.since)

    def __str__(self) -> str:
        name = "month" if self.monthly else "day"
        return f"{name} since {self.since[0]}-{self.since[1]:02}" if self.since else name


DAILY = IndexPeriod(monthly=False)


def state_home(environment: Mapping[str, str]) -> Path:
    """The default folder for log and state: in $XDG_STATE_HOME or ~/.local/state (XDG Base Directory 0.8)."""
    return Path(environment.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "shipper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings. Build it with `load`."""

    log: Path
    """The file that emitters append records to."""
    log_mode: int | None = None
    """The permissions of `log` when an emitter creates it, such as 0o660. None: 0660 less the umask."""
    files: tuple[str, ...]
    """Globs of the files that the shipper tails. Default: `log` and its rotated files."""
    trusted_files: tuple[str, ...] = ()
    """Globs of files that may hold records of jobs and of the audit trail, beside `log` and its rotated files.

    Such records in any other file are indexed as an application's log lines (`rq.app`).
    """
    link_roots: tuple[str, ...] = DEFAULT_LINK_ROOTS
    """Folders that symbolic links among `files` may lead into, beside the folders of `files` themselves."""
    state: Path
    """The folder of the shipper's positions and dead letters."""
    elasticsearch: tuple[str, ...] = field(default=("http://127.0.0.1:9200",), repr=False)
    """URLs of the cluster's nodes. Not shown, as they may contain a password."""
    api_key: str | None = field(default=None, repr=False)
    """An Elasticsearch API key, in the encoded form. Not a flag, as all users see command lines."""
    username: str | None = None
    """For basic authentication, with `password`. An API key is preferable."""
    password: str | None = field(default=None, repr=False)
    """Not a flag."""
    cloud_id: str | None = None
    """An Elastic Cloud deployment, instead of `elasticsearch`."""
    ca_file: Path | None = None
    """A file of CA certificates to verify the cluster's certificate with, if the system does not know its CA."""
    fingerprint: str | None = None
    """The SHA-256 of the cluster's certificate in hex: another way to trust a self-signed one."""
    proxy: str | None = field(default=None, repr=False)
    """The HTTP proxy for requests to the cluster. Not shown, as it may contain a password."""
    format: str = "json"
    """The format of `files`: `json` (one JSON object per line), or `legacy` (RQ's text logs)."""
    timezone: str = "UTC"
    """The time zone of times without one in text logs, by its IANA name: Europe/Berlin."""
    job_ids: str | None = None
    """A regular expression for job ids in text logs that are no UUIDs: `nightly-\\d+|report:\\w+`."""
    gzip: bool = False
    """Compress requests: less network for more CPU."""
    kibana: str | None = field(default=None, repr=False)
    """The URL of Kibana for `setup`, with its server.basePath. None: do not set up Kibana."""
    kibana_space: str | None = None
    """The Kibana space for the dashboards. None: the default space."""
    kibana_public_url: str | None = None
    """The URL under which people open Kibana, for what `setup` prints. None: that of `kibana`."""
    kibana_api_key: str | None = field(default=None, repr=False)
    """An API key for Kibana, in the encoded form. Default: the credentials for Elasticsearch."""
    kibana_username: str | None = None
    """A user for Kibana, with `kibana_password`."""
    kibana_password: str | None = field(default=None, repr=False)
    """Not a flag."""
    redis: str = field(default=DEFAULT_REDIS, repr=False)
    """The URL of RQ's Redis. Not shown, as it may contain a password."""
    service: str = "rq"
    """service.name: the application that the jobs belong to."""
    services: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Prefixes of queue names → service.name, if several services share one Redis."""
    version: str | None = None
    """service.version: the running release."""
    environment: str | None = None
    """service.environment: production, staging, …"""
    namespace: str = "default"
    """The part of the index names that separates several installations on one cluster."""
    redact: tuple[str, ...] = ()
    """Names of arguments and fields whose values are redacted, in addition to the built-in ones."""
    states: bool = True
    """Index one state document for each job, in addition to the records."""
    labels: tuple[str, ...] = ()
    """Labels that get a keyword field of their own, for Kibana's Lens and controls."""
    actor: str | None = None
    """The operator on audit records of this command line and of RQ's. Default: the login name."""
    audit_key: str | None = field(default=None, repr=False)
    """The HMAC-SHA256 key of the audit chain, 16 characters or more. Not a flag."""
    audit_retired_keys: tuple[str, ...] = field(default=(), repr=False)
    """Keys that `audit_key` was before, oldest first: what they made is still verified. Not a flag."""
    audit_sign_key: Path | None = None
    """The file of the Ed25519 private key that seals of the audit chain are signed with."""
    audit_public_keys: tuple[str, ...] = ()
    """Files of the public keys that signatures are verified with, oldest first."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks of the proxies whose X-Forwarded-For is trusted."""
    on_fail: tuple[str, ...] = ()
    """Functions, `package.module:function`, that are called with the record of each failed attempt."""
    on_dead: tuple[str, ...] = ()
    """Functions that are called with the record of each job that failed for good."""
    retention: Mapping[str, int] = field(default_factory=lambda: DEFAULT_RETENTION_DAYS)
    """Dataset without its `rq.` → days for which its indices are kept. `state`: the states of jobs that have ended."""
    prune: bool = True
    """`run` also deletes indices past their retention, once a day. False: something else does, such as `prune`."""
    lifecycle: str = "prune"
    """What deletes indices past their retention: `prune` (the shipper), or `ilm` (policies that `setup` installs).

    It is never both. Ended states are deleted by the shipper in any case, if `prune` is true.
    """
    index_period: IndexPeriod = DAILY
    """`day` or `month`: how much one index of records holds. `month since 2027-01`: daily indices before."""
    shards: int = 1
    """Primary shards of each new index of job and application records. Not on Serverless."""
    replicas: str = "0-1"
    """Replicas of each index, or a range that follows the number of nodes. Not on Serverless."""
    logsdb: bool = False
    """Store job and application records in the index mode `logsdb`: smaller, for more CPU. Never the audit trail."""
    standby: bool = False
    """While another shipper uses the state folder, `run` waits for it to end instead of refusing to start."""
    rotate_mb: int = 256
    """The shipper rotates `log` when it is larger than this. 0: it does not."""
    compress_logs: bool = False
    """Compress a rotated log (gzip) once all of it is indexed and no process has it open for writing."""
    keep_days: int = 7
    """A rotated log is deleted after this, if all of it is indexed and no process has it open for writing."""
    keep_mb: int = 4096
    """Rotated logs beyond this total size are deleted, oldest first, under the same conditions."""
    listen: str | None = "127.0.0.1:9465"
    """The address of GET /metrics (Prometheus) and /health. None: do not listen."""
    job_metrics: bool = False
    """Count what jobs do, by service, queue and function, and give it at /metrics."""
    statsd: str | None = None
    """Send the counts to a StatsD server: host:port, or unix:///path of a datagram socket. None: do not."""
    statsd_tags: bool = False
    """Send service, queue and function as DogStatsD's tags, and not in the name."""
    otlp: str | None = None
    """The URL of an OpenTelemetry collector (OTLP over HTTP), for spans and metrics of jobs. None: send none."""
    otlp_headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    """Headers of requests to it, such as an API key. Not a flag."""
    label_sets: int = 500
    """How many sets of service, queue and function are counted apart. The rest is counted under `other`."""
    fresh_s: int = 600
    """Records older than this, in seconds, are counted, but do not say how long jobs wait (lag, total)."""
    watch_every: float = 15.0
    """Seconds between two samples of `shipper watch`."""
    objectives: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Pattern of queue names → seconds within which their jobs are to start. The first that matches counts."""
    alarms: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    """Rule → its options, for `shipper watch` and `shipper check`, which check them."""
    notify: tuple[str, ...] = field(default=("log",), repr=False)
    """Where notices of alarms go. Not shown, as addresses of chats and webhooks are secrets."""
    past_days: int = 730
    """Records older than this are dead letters: the writer's clock was wrong."""
    future_days: int = 1
    """Records further in the future than this are dead letters."""

    @property
    def counts(self) -> bool:
        """Whether anybody wants to know what jobs do."""
        return self.job_metrics or self.statsd is not None or self.otlp is not None

    @property
    def every_service(self) -> tuple[str, ...]:
        """All services of this installation: `service` and those of `services`."""
        return tuple(dict.fromkeys((self.service, *self.services.values())))


def _text(value: Any) -> str:
    if not isinstance(value, str | int | float | os.PathLike) or value == "":
        raise ValueError("must be text that is not empty")
    return str(value)


def _path(value: Any) -> Path:
    return Path(_text(value)).expanduser().absolute()


def _mode(value: Any) -> int:
    mode = int(value, 8) if isinstance(value, str) else int(value)
    if mode & ~0o666 or mode & 0o600 != 0o600:
        raise ValueError("must be permissions in octal such as 0660, without x, that let the owner read and write")
    return mode


def _list(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be a list, or text separated by commas")
    return tuple(text for part in parts if (text := str(part).strip()))


def _credential(value: Any) -> str:
    """A key or password for an HTTP header. Files of secrets end in a newline, which is not a part of it."""
    text = _text(value).strip("\r\n")
    if not text or not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


def _api_key(value: Any) -> str:
    text = _credential(value).strip()
    if not re.fullmatch(r"[A-Za-z0-9+/=_.:-]+", text):
        raise ValueError("must be an API key in its encoded form: letters, digits, +, /, = and -")
    return text


def _key(value: Any) -> str:
    text = _text(value)
    if len(text) < 16:
        raise ValueError("must be 16 characters or more")
    return text


def _keys(value: Any) -> tuple[str, ...]:
    return tuple(_key(key) for key in _list(value))


def _networks(value: Any) -> tuple[str, ...]:
    from ipaddress import ip_network

    networks = _list(value)
    for network in networks:
        if network != "unix":
            ip_network(network)
    return networks


def _names(value: Any) -> tuple[str, ...]:
    names = _list(value)
    if wrong := [name for name in names if not re.fullmatch(r"[A-Za-z0-9_]+", name)]:
        raise ValueError(f"must be names of letters, digits and _, unlike {wrong[0]!r}")
    return names


def _globs(value: Any) -> tuple[str, ...]:
    globs = tuple(str(Path(part).expanduser().absolute()) for part in _list(value))
    if not globs:
        raise ValueError("must name at least one file")
    return globs


def _folders(value: Any) -> tuple[str, ...]:
    return tuple(str(Path(part).expanduser().absolute()) for part in _list(value))


def _urls(value: Any) -> tuple[str, ...]:
    urls = _list(value)
    for url in urls:
        if not _is_http(url):
            raise ValueError(
                "must be URLs such as https://search.example:9200; in a user or password, characters such as / @ : ? # "
                "are written as %2F %40 %3A %3F %23"
            )
    if not urls:
        raise ValueError("must name at least one URL")
    return tuple(url.rstrip("/") for url in urls)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # which raises ValueError, with a part of the URL in its message
    except ValueError:
        return False
    # Another @ means that the first / or ? belongs to a password, which would be taken for a part of the path.
    clear = url.isprintable() and " " not in url and "@" not in f"{parts.path}{parts.query}{parts.fragment}"
    return parts.scheme in ("http", "https") and bool(host) and clear


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[str(value).lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


def _megabytes(value: Any) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("must be a number of megabytes, 0 or more")
    return number


def _listen(value: Any) -> str | None:
    if value == "off":
        return None
    host, _, port = _text(value).rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError("must be an address such as 127.0.0.1:9465, or off")
    return _text(value)


def _statsd(value: Any) -> str:
    text = _text(value)
    host, _, port = text.rpartition(":")
    if not text.startswith("unix:///") and not (host and port.isdigit() and int(port) <= 65_535):
        raise ValueError("must be an address such as 127.0.0.1:8125, or unix:///var/run/statsd.socket")
    return text


def _headers(value: Any) -> Mapping[str, str]:
    headers = {str(name).strip(): str(one).strip() for name, one in _pairs(value).items()}
    if any(not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or "\n" in one for name, one in headers.items()):
        raise ValueError("must be a table of HTTP headers, or name=value pairs separated by commas")
    return MappingProxyType(headers)


def _positive(value: Any) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("must be a whole number, 1 or more")
    return number


def _fingerprint(value: Any) -> str:
    text = _text(value).replace(":", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("must be the 64 hex digits of a SHA-256")
    return text


def _url(value: Any) -> str:
    (url,) = _urls([value])
    return url


def _format(value: Any) -> str:
    if value not in ("json", "legacy"):
        raise ValueError("must be json or legacy")
    return str(value)


def _expression(value: Any) -> str:
    text = _text(value)
    try:
        groups = re.compile(text).groups
    except re.error as wrong:
        raise ValueError(f"a regular expression; this one is none: {wrong}") from wrong
    if groups or text.startswith("^") or text.endswith("$"):
        raise ValueError("a regular expression for a whole id, without ^ and $, with (?:…) instead of (…)")
    return text


def _timezone(value: Any) -> str:
    from zoneinfo import ZoneInfo

    text = _text(value)
    try:
        if text != "UTC":  # works without tzdata
            ZoneInfo(text)
    except (LookupError, ValueError, OSError):
        raise ValueError(
            "must be the name of a time zone, such as Europe/Berlin, that this machine knows: where there are none, "
            "`pip install tzdata` brings them"
        ) from None
    return text


def _space(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[a-z0-9_-]+", text):
        raise ValueError("must be the identifier of a space: small letters, digits, _ and -")
    return text


def _namespace(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9_-]{0,98}[a-z0-9_])?", text):
        raise ValueError("must be small letters, digits, _ and, between them, -; 100 characters at most")
    return text


def _days(value: Any) -> int:
    """`90`, or `90d`."""
    found = None if isinstance(value, bool | float) else re.fullmatch(r"(\d{1,7})\s*d?", str(value).strip(), re.ASCII)
    if found is None or not int(found[1]):
        raise ValueError("must be a number of days, 1 or more, such as 90 or 90d")
    return int(found[1])


def _pairs(value: Any) -> dict[str, Any]:
    if not isinstance(value, str | Mapping) or (isinstance(value, str) and any("=" not in one for one in _list(value))):
        raise ValueError("must be a table, or key=value pairs separated by commas")
    return dict(part.split("=", 1) for part in _list(value)) if isinstance(value, str) else dict(value)


def _lifecycle(value: Any) -> str:
    if value not in ("prune", "ilm"):
        raise ValueError("must be prune or ilm")
    return str(value)


def _index_period(value: Any) -> IndexPeriod:
    found = re.fullmatch(r"(day|month)(?: since (\d{4})-(0[1-9]|1[0-2]))?", _text(value).strip())
    if found is None:
        raise ValueError("must be day, month, or one of them with its first month: month since 2027-01")
    return IndexPeriod(found[1] == "month", (int(found[2]), int(found[3])) if found[2] else None)


def _replicas(value: Any) -> str:
    text = str(value).strip()
    if not re.fullmatch(r"\d+|\d+-(?:\d+|all)", text):
        raise ValueError("must be a number such as 1, or a range such as 0-1 or 0-all")
    return text


def _services(value: Any) -> Mapping[str, str]:
    return MappingProxyType({prefix.strip(): _text(name).strip() for prefix, name in _pairs(value).items()})


def _retention(value: Any) -> Mapping[str, int]:
    pairs = {str(name).strip(): days for name, days in _pairs(value).items()}
    unknown = set(pairs) - set(DEFAULT_RETENTION_DAYS)
    if unknown:
        raise ValueError(f"knows only {', '.join(DEFAULT_RETENTION_DAYS)}, not {', '.join(sorted(unknown))}")
    days = {name: _days(one) for name, one in pairs.items()}
    if "job" in days:
        days.setdefault("state", days["job"])
    return MappingProxyType({**DEFAULT_RETENTION_DAYS, **days})


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, None: 1.0}


def duration(value: Any) -> float:
    """Seconds of a number, or of text such as `90`, `90s`, `15m`, `2h`, `7d`. ValueError for anything else."""
    found = None if isinstance(value, bool) else _DURATION.fullmatch(str(value).strip())
    if found is None:
        raise ValueError("must be a time such as 30s, 15m or 2h")
    return float(found[1]) * _UNITS[found[2]]


def _interval(value: Any) -> float:
    seconds = duration(value)
    if not 1 <= seconds <= 3600:
        raise ValueError("must be a time between 1s and 1h")
    return seconds


def _objectives(value: Any) -> Mapping[str, float]:
    return MappingProxyType({name.strip(): duration(seconds) for name, seconds in _pairs(value).items()})


def _alarms(value: Any) -> Mapping[str, Mapping[str, Any]]:
    """A table of tables, or `rule.option=value` pairs."""
    rules: dict[str, dict[str, Any]] = {}
    for name, given in _pairs(value).items():
        rule, _, option = name.strip().partition(".")
        if isinstance(given, Mapping):
            rules.setdefault(rule, {}).update(given)
        elif option:
            rules.setdefault(rule, {})[option] = given
        else:
            raise ValueError(f"must be tables of options, such as [alarms.{rule}], or {rule}.option=value pairs")
    return MappingProxyType({name: MappingProxyType(options) for name, options in rules.items()})


_READERS: dict[str, Callable[[Any], Any]] = {
    "log": _path,
    "log_mode": _mode,
    "files": _globs,
    "trusted_files": _globs,
    "link_roots": _folders,
    "state": _path,
    "elasticsearch": _urls,
    "api_key": _api_key,
    "username": _credential,
    "password": _credential,
    "cloud_id": _text,
    "ca_file": _path,
    "fingerprint": _fingerprint,
    "proxy": _url,
    "format": _format,
    "timezone": _timezone,
    "job_ids": _expression,
    "gzip": _flag,
    "kibana": _url,
    "kibana_space": _space,
    "kibana_public_url": _url,
    "kibana_api_key": _api_key,
    "kibana_username": _credential,
    "kibana_password": _credential,
    "redis": _text,
    "service": _text,
    "services": _services,
    "version": _text,
    "environment": _text,
    "namespace": _namespace,
    "redact": _list,
    "states": _flag,
    "labels": _names,
    "actor": _text,
    "audit_key": _key,
    "audit_retired_keys": _keys,
    "audit_sign_key": _path,
    "audit_public_keys": _globs,
    "trusted_proxies": _networks,
    "on_fail": _list,
    "on_dead": _list,
    "retention": _retention,
    "prune": _flag,
    "lifecycle": _lifecycle,
    "index_period": _index_period,
    "shards": _positive,
    "replicas": _replicas,
    "logsdb": _flag,
    "standby": _flag,
    "rotate_mb": _megabytes,
    "compress_logs": _flag,
    "keep_days": _days,
    "keep_mb": _megabytes,
    "listen": _listen,
    "job_metrics": _flag,
    "statsd": _statsd,
    "statsd_tags": _flag,
    "otlp": _url,
    "otlp_headers": _headers,
    "label_sets": _positive,
    "fresh_s": _positive,
    "watch_every": _interval,
    "objectives": _objectives,
    "alarms": _alarms,
    "notify": _list,
    "past_days": _days,
    "future_days": _days,
}
NAMES = frozenset(setting.name for setting in fields(Settings))
SECRET = frozenset({
    "api_key", "audit_key", "audit_retired_keys", "password", "proxy", "redis", "elasticsearch", "kibana",
    "kibana_api_key", "kibana_password", "otlp_headers", "notify",
})  # fmt: skip

CONFIG_VARIABLE = "SHIPPER_CONFIG"  # the path of the TOML file; default: shipper.toml in the working directory
# Kubernetes sets such variables in every container if there is a Service called shipper, shipper-metrics, …
# (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables). Docker did for links.
_LINK = re.compile(r"SHIPPER_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_[A-Z]+(_(PROTO|PORT|ADDR))?|ENV_\w+)")
_LINK_PORT = re.compile(r"[a-z]+://\S+:\d+")  # of SHIPPER_…_PORT; another value may be a misspelled setting


def is_service_link(variable: str, value: str) -> bool:
    """Whether a container engine has set this variable, so that it is no setting."""
    if variable.endswith("_PORT") and _LINK_PORT.fullmatch(value):
        return True
    if variable.endswith("_NAME") and value.startswith("/"):  # /container/alias
        return True
    return bool(_LINK.fullmatch(variable))


_application: tuple[str, Any] | None = None


def set_application_settings(source: str, values: Any) -> None:
    """Make `load` include `values`, a mapping of settings from this process's framework, such as Django's SHIPPER.

    They override shipper.toml and are overridden by the environment. `source` is named in messages about wrong values.
    """
    global _application  # noqa: PLW0603 - one application is configured in a process
    _application = (source, values)


def load(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] = os.environ,
    *,
    complain: Callable[[str], None] | None = None,
) -> Settings:
    """Build the settings. `flags` with the value None are ignored.

    Raises SettingsError with all problems. With `complain`, calls it with each problem instead and ignores the wrong
    values: emitters use that, as a job must never fail because of us.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    for source, found in (
        *_from_toml(environment, problems),
        # They belong to this process: with another environment, the settings of another process are wanted.
        *(_from_application(problems) if environment is os.environ else ()),
        ("the environment", _from_environment(environment, problems)),
        ("the flags", given),
    ):
        for name, raw in found.items():
            try:
                values[name] = _READERS[name](raw)
            except (ValueError, TypeError, AttributeError) as wrong:
                # What has an @ in it may be a URL with a password.
                shown = "" if name in SECRET or "@" in str(raw) else f" (it is {raw!r})"
                problems.append(f"The setting {name!r} from {source} {wrong}{shown}.")
    if problems:
        if complain is None:
            raise SettingsError(problems)
        for problem in problems:
            complain(problem)
    return _with_defaults(values, environment)


def _with_defaults(values: dict[str, Any], environment: Mapping[str, str]) -> Settings:
    home = state_home(environment)
    log = values.setdefault("log", home / "records.jsonl")
    values.setdefault("files", (f"{log}*",))
    values.setdefault("state", home / "state")
    return Settings(**values)


def _from_toml(environment: Mapping[str, str], problems: list[str]) -> list[tuple[str, dict[str, Any]]]:
    named = environment.get(CONFIG_VARIABLE)
    path = Path(named or "shipper.toml")
    if not named and not path.is_file():
        return []
    import tomllib  # slow to import, and emitters rarely have a file

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as wrong:
        problems.append(f"The settings file {path} cannot be read: {wrong.strerror}.")
        return []
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        problems.append(f"The settings file {path} is not TOML: {wrong}.")
        return []
    for name in sorted(set(found) - NAMES):
        problems.append(_unknown(name, f"in {path}", sorted(NAMES)))
    return [(str(path), {name: value for name, value in found.items() if name in NAMES})]


def _from_application(problems: list[str]) -> list[tuple[str, dict[str, Any]]]:
    if _application is None:
        return []
    source, values = _application
    if not isinstance(values, Mapping):
        problems.append(f"{source} must be a dict of settings, such as {{'log': '/var/log/shop/records.jsonl'}}.")
        return []
    for name in sorted(str(name) for name in values if name not in NAMES):
        problems.append(_unknown(name, f"in {source}", sorted(NAMES)))
    return [(source, {name: value for name, value in values.items() if name in NAMES and value is not None})]


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for variable, value in environment.items():
        if not variable.startswith("SHIPPER_") or variable == CONFIG_VARIABLE:
            continue
        name = variable.removeprefix("SHIPPER_").lower()
        if name in NAMES:
            if value:  # in compose files and shells, an empty variable means that it is not set
                found[name] = value
        elif not is_service_link(variable, value):
            known = sorted(f"SHIPPER_{known.upper()}" for known in NAMES)
            problems.append(_unknown(variable, "in the environment", known))
    return found


def _unknown(name: str, where: str, known: list[str]) -> str:
    return f"There is no setting {name} ({where}). {nearest(name, known)}"


def nearest(name: str, known: Collection[str], otherwise: str | None = None) -> str:
    """For an error about an unknown name: "Did you mean x?", else the sentence `otherwise`, else all known names."""
    from difflib import get_close_matches  # only for errors: emitting processes do without it

    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}?" if close else otherwise or f"Known are {', '.join(known)}."
