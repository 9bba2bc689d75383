"""Connects to RQ's Redis by the URL of the settings: one server, a Sentinel, or a cluster.

    redis://user:password@host:6379/0                       one server; rediss:// with TLS, unix:///path for a socket
    redis-sentinel://user:password@host:26379,host2/name/0  the master that Sentinels call `name`, database 0
    redis-cluster://user:password@host:6379,host2:6379      a cluster

`rediss-sentinel` and `rediss-cluster` use TLS. Options of redis-py may follow as a query: `?ssl_ca_certs=/etc/ca.pem`;
with a Sentinel also `sentinel_username` and `sentinel_password`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ..errors import SettingsError, ShipperError
from ..settings import Settings

if TYPE_CHECKING:
    from redis import Redis

# A server that does not answer is reported as such, instead of waiting for it for ever.
CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0

_SENTINEL_PORT, _REDIS_PORT = 26379, 6379


def connect(settings: Settings) -> Redis:
    """A client for `settings.redis`. It connects at the first command. Raises SettingsError.

    A RedisCluster is typed as a Redis: it has the same commands. It connects at once, and raises ShipperError.
    """
    from redis import Redis, RedisError

    scheme, _, rest = settings.redis.partition("://")
    try:
        if scheme.endswith("-sentinel"):
            master: Redis = _through_sentinel(scheme.removesuffix("-sentinel"), rest)
            return master
        if scheme.endswith("-cluster"):
            cluster: Redis = _to_cluster(scheme.removesuffix("-cluster"), rest)
            return cluster
        one: Redis = Redis.from_url(settings.redis, **(_options() | _given(settings.redis)))
    except (ValueError, TypeError) as wrong:
        raise SettingsError([f"The setting 'redis' is no address that can be used: {wrong}"]) from wrong
    except RedisError as error:
        raise unreachable(error) from error
    return one


def unreachable(error: Exception) -> ShipperError:
    """The exception for a Redis that does not answer, or refuses a command."""
    reason = str(error) or type(error).__name__
    return ShipperError(f"Redis cannot be asked ({reason}). Is it running, and is SHIPPER_REDIS right?")


def nodes(connection: Any) -> list[Any]:
    """A client for each server that holds keys: of a cluster each primary, else the connection itself."""
    if not hasattr(connection, "get_primaries"):
        return [connection]
    return [connection.get_redis_connection(node) for node in connection.get_primaries()]


def address(connection: Any) -> tuple[str, int]:
    """(host:port or path of the socket, database) of a client, without credentials."""
    pool = getattr(connection, "connection_pool", None)
    options = pool.connection_kwargs if pool is not None else {}
    database = int(options.get("db") or 0)
    if path := options.get("path"):
        return str(path), database
    if name := getattr(pool, "service_name", None):
        return str(name), database  # the master changes; its name does not
    return f"{options.get('host', '?')}:{options.get('port', _REDIS_PORT)}", database


def _options() -> dict[str, Any]:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    # One more attempt, for a connection that the server closed meanwhile. Whoever asks regularly asks again anyway.
    return {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 1),
    }


def _given(url: str) -> dict[str, Any]:
    """The options that the URL itself has, which take precedence over ours."""
    from redis.connection import parse_url

    return dict(parse_url(url))  # type: ignore[no-untyped-call]


def _parts(scheme: str, rest: str) -> tuple[list[tuple[str, int | None]], str, dict[str, Any], dict[str, str]]:
    """(hosts and ports, path, options for redis-py, other options) of `user:password@host:1,host2:2/path?query`."""
    credentials, at, after = rest.rpartition("@")
    hosts_text, _, tail = after.partition("/")
    hosts_text, question, query = hosts_text.partition("?")  # without a path
    if not question:
        tail, _, query = tail.partition("?")
    given = dict(parse_qsl(query))
    ours: dict[str, str] = {
        name: given.pop(name) for name in ("sentinel_username", "sentinel_password") if name in given
    }
    options = _given(f"{scheme}://{credentials}{at}localhost?{urlencode(given)}")
    if options.pop("connection_class", None) is not None:
        options["ssl"] = True
    options.pop("host", None)
    hosts = []
    for one in hosts_text.split(","):
        place = urlsplit(f"//{one}")
        if not place.hostname:
            raise ValueError("it names no host")
        hosts.append((place.hostname, place.port))
    return hosts, tail, options, ours


def _through_sentinel(scheme: str, rest: str) -> Redis:
    from redis import sentinel as redis_sentinel

    sentinels: Any = redis_sentinel.Sentinel

    hosts, path, options, ours = _parts(scheme, rest)
    name, _, database = path.partition("/")
    if not name:
        raise ValueError("after the Sentinels' hosts it has to name the master: redis-sentinel://host:26379/mymaster/0")
    about_sentinels = {key.removeprefix("sentinel_"): value for key, value in ours.items()}
    if options.get("ssl"):
        about_sentinels |= {key: value for key, value in options.items() if key.startswith("ssl")}
    common = {"socket_connect_timeout": CONNECT_TIMEOUT_S, "socket_timeout": ANSWER_TIMEOUT_S}
    sentinel = sentinels(
        [(host, port or _SENTINEL_PORT) for host, port in hosts], sentinel_kwargs={**common, **about_sentinels}
    )
    master: Redis = sentinel.master_for(name, **{**_options(), **options, "db": int(database or 0)})
    return master


def _to_cluster(scheme: str, rest: str) -> Any:
    from redis import cluster

    node: Any = cluster.ClusterNode

    hosts, _, options, _ = _parts(scheme, rest)
    common = {"socket_connect_timeout": CONNECT_TIMEOUT_S, "socket_timeout": ANSWER_TIMEOUT_S}
    return cluster.RedisCluster(
        startup_nodes=[node(host, port or _REDIS_PORT) for host, port in hosts], **{**common, **options}
    )
