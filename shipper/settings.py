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
from typing import Any

from .errors import SettingsError
from .setting_values import DAILY, DEFAULT_RETENTION_DAYS, READERS, IndexPeriod

DEFAULT_REDIS = "redis://127.0.0.1:6379/0"
DEFAULT_LINK_ROOTS = ("/var/log", "/var/lib/docker/containers")  # where container engines' links lead


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
    compress_logs: bool = True
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
                values[name] = READERS[name](raw)
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
