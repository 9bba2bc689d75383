"""Reads the values of settings, each from what TOML, a variable or a flag has: text, a number, a list or a table.

Each function returns the value for `Settings`, or raises ValueError with what it must be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

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


READERS: dict[str, Callable[[Any], Any]] = {
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
