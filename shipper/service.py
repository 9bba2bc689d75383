"""The fields that all records of a process share: service, host, pid and ECS version."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from types import MappingProxyType

from .records import ECS_VERSION
from .settings import Settings


class ServiceInfo:
    """The `ecs`, `service` and `host` objects of a process's records, and its `pid`.

    `services` maps prefixes of queue names to the service that such queues belong to. The longest prefix wins.
    """

    __slots__ = ("_by_prefix", "ecs", "host", "pid", "service")

    def __init__(
        self,
        *,
        service: str,
        version: str | None,
        environment: str | None,
        host: str,
        pid: int,
        services: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        named = {"name": service, "version": version, "environment": environment}
        self.service = {name: value for name, value in named.items() if value}
        self._by_prefix = sorted(services.items(), key=lambda one: -len(one[0]))
        self.ecs = {"version": ECS_VERSION}
        self.host = {"name": host}
        self.pid = pid

    @classmethod
    def here(cls, settings: Settings) -> ServiceInfo:
        """The ServiceInfo of this process."""
        return cls(
            service=settings.service,
            version=settings.version,
            environment=settings.environment,
            services=settings.services,
            host=socket.gethostname(),
            pid=os.getpid(),
        )

    def service_of(self, queue: str | None) -> dict[str, str]:
        """The `service` object for jobs of a queue; without a queue, that of the process."""
        for prefix, name in self._by_prefix:
            if queue and queue.startswith(prefix):
                return {**self.service, "name": name}
        return self.service
